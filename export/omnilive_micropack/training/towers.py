"""The CLIP vision tower as it is trained: same arithmetic and tensor names as the checkpoint's.

Leaner than transformers' class on a CPU (its attention's backward pass takes longer than all the
rest), and checked against it by a test. It knows nothing of labels or losses.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnilive_micropack.configs import CLIP_MEAN, CLIP_STD
from omnilive_micropack.dimensions import VisionDims
from omnilive_micropack.training.common import compute_dtype

QUICK_GELU = 1.702
"""CLIP's activation is x * sigmoid(1.702 x), that is silu(1.702 x) / 1.702."""

INIT_STD = 0.06
"""Spread of matrices at the start; transformers' 0.02 is meant for widths of a thousand."""


class Attention(nn.Module):
    """Full self-attention with biases; ``x`` [B, N, C] → [B, N, C]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend among all N tokens."""
        batch, tokens, width = x.shape
        head = width // self.heads
        scale = head**-0.5
        weight = torch.cat([self.q_proj.weight * scale, self.k_proj.weight, self.v_proj.weight])
        bias = torch.cat([self.q_proj.bias * scale, self.k_proj.bias, self.v_proj.bias])
        qkv = F.linear(x, weight, bias).view(batch, tokens, 3, self.heads, head)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(query @ key.transpose(-1, -2), dim=-1, dtype=query.dtype)
        return self.out_proj((weights @ value).transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    """Linear, quick GELU, linear. 1.702 is moved into the matrices, which are the smaller."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., C] → [..., C]."""
        inner = F.silu(F.linear(x, self.fc1.weight * QUICK_GELU, self.fc1.bias * QUICK_GELU))
        return F.linear(inner, self.fc2.weight / QUICK_GELU, self.fc2.bias)


class Layer(nn.Module):
    """One pre-norm transformer layer."""

    def __init__(self, dims: VisionDims) -> None:
        super().__init__()
        self.self_attn = Attention(dims.width, dims.heads)
        self.layer_norm1 = nn.LayerNorm(dims.width)
        self.mlp = Mlp(dims.width, dims.mlp)
        self.layer_norm2 = nn.LayerNorm(dims.width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, C] → [B, N, C]."""
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Embeddings(nn.Module):
    """Patches to tokens, the class token first."""

    def __init__(self, dims: VisionDims) -> None:
        super().__init__()
        self.patch = dims.patch
        self.class_embedding = nn.Parameter(torch.zeros(dims.width))
        self.patch_embedding = nn.Conv2d(3, dims.width, dims.patch, dims.patch, bias=False)
        self.position_embedding = nn.Embedding(dims.patches + 1, dims.width)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalized pixels [B, P, P, 3] → [B, 1 + patches, C]."""
        batch, side = pixels.shape[:2]
        grid = side // self.patch
        patches = pixels.view(batch, grid, self.patch, grid, self.patch, 3)
        rows = patches.permute(0, 1, 3, 5, 2, 4).reshape(batch, grid * grid, -1)
        tokens = F.linear(rows, self.patch_embedding.weight.flatten(1))
        first = self.class_embedding.to(tokens.dtype).expand(batch, 1, -1)
        return torch.cat([first, tokens], dim=1) + self.position_embedding.weight.to(tokens.dtype)


class Encoder(nn.Module):
    """The layers, under the name the checkpoint has for them."""

    def __init__(self, dims: VisionDims) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(dims) for _ in range(dims.layers)])


class ClipTower(nn.Module):
    """A CLIP vision tower; its state dict has the names of ``layout.clip_vision``.

    ``post_layernorm`` is in every checkpoint and in no hidden state (spec §1.3, §1.7): it is kept
    as it begins.
    """

    def __init__(self, dims: VisionDims) -> None:
        super().__init__()
        self.dims = dims
        self.embeddings = Embeddings(dims)
        self.pre_layrnorm = nn.LayerNorm(dims.width)
        self.encoder = Encoder(dims)
        self.post_layernorm = nn.LayerNorm(dims.width)
        self.register_buffer("mean", torch.tensor(CLIP_MEAN) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(CLIP_STD) * 255, persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Hidden states [B, 1 + patches, C] of uint8 images [B, P, P, 3].

        The first is the input of the first layer, the last the output of the last layer.
        """
        x = self.pre_layrnorm(self.embeddings((images.float() - self.mean) / self.std))
        states = [x]
        for layer in self.encoder.layers:
            states.append(layer(states[-1]))
        return states


def start(tower: ClipTower, generator: torch.Generator) -> None:
    """Random values to train from, drawn from ``generator``."""
    with torch.no_grad():
        for name, parameter in tower.named_parameters():
            if "norm" in name:
                continue
            if name.endswith(".bias"):
                parameter.zero_()
            else:
                parameter.normal_(0.0, INIT_STD, generator=generator)
        for layer in tower.encoder.layers:
            # The residual stream of a fresh tower then stays near its input's size.
            layer.self_attn.out_proj.weight.mul_(0.5)
            layer.mlp.fc2.weight.mul_(0.5)


def mix_2x2(patches: Tensor) -> Tensor:
    """[N, (2g)², C] → [N, g², 4C]: row in block, column in block, channel (spec §2.1.3)."""
    count, tokens, channels = patches.shape
    grid = round(tokens**0.5) // 2
    blocks = patches.reshape(count, grid, 2, grid, 2, channels).transpose(2, 3)
    return blocks.reshape(count, grid * grid, 4 * channels)


def autocast() -> torch.autocast:
    """bfloat16 for the matrix products where the processor is faster with it."""
    dtype = compute_dtype()
    return torch.autocast("cpu", dtype, enabled=dtype != torch.float32)
