"""The audio model's language half as it is trained: Qwen2, whose head is its embedding.

Attention is written out, because its probabilities are guided and because on a CPU the fused
one's backward pass takes longer than all the rest. It knows nothing of sound.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnilive_micropack.dimensions import LmDims
from omnilive_micropack.training.rounding import rounded_to_int4

ROPE_THETA = 10_000.0
"""transformers' default, as config.json has none (spec §1.2)."""

MASKED = -1e9
"""Added to the scores of what must not be attended to."""


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Attention of [B, H, N, D] heads: output [B, N, H·D] and probabilities [B, H, N, N].

    ``bias`` is added to the scores before the softmax.
    """
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)
    shares = (scores.float() + bias).softmax(-1)
    out = shares.to(v.dtype) @ v
    return out.transpose(1, 2).flatten(2), shares


class QuantizedLinear(nn.Linear):
    """A linear that can be trained as its int4 self: rounded on the way forward only."""

    rounded = False

    def forward(self, x: Tensor) -> Tensor:
        """[..., k] → [..., n]."""
        weight = self.weight
        if self.rounded:
            weight = weight + (rounded_to_int4(weight.detach()) - weight.detach())
        return F.linear(x, weight, self.bias)


class RmsNorm(nn.Module):
    """Qwen2's norm."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """[..., C] of any type → float32 [..., C]."""
        x = x.float()
        return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)


class DecoderAttention(nn.Module):
    """Qwen2's grouped-query attention with rotary positions."""

    def __init__(self, dims: LmDims) -> None:
        super().__init__()
        self.dims = dims
        kv = dims.kv_heads * dims.head_dim
        self.q_proj = QuantizedLinear(dims.width, dims.width)
        self.k_proj = QuantizedLinear(dims.width, kv)
        self.v_proj = QuantizedLinear(dims.width, kv)
        self.o_proj = QuantizedLinear(dims.width, dims.width, bias=False)

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        """[B, S, C] → [B, S, C] and attention [B, H, S, S]; ``turn`` is cosines and sines."""
        size = (-1, self.dims.head_dim)
        q, k, v = (
            m(x).unflatten(2, size).transpose(1, 2) for m in (self.q_proj, self.k_proj, self.v_proj)
        )
        share = self.dims.heads // self.dims.kv_heads
        k = rotated(k, turn)
        out, shares = attend(
            rotated(q, turn), k.repeat_interleave(share, 1), v.repeat_interleave(share, 1), bias
        )
        return self.o_proj(out), shares


def rotated(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions: halves of each head are turned against each other."""
    cos, sin = turn
    low, high = x.chunk(2, -1)
    return x * cos.to(x.dtype) + torch.cat([-high, low], -1) * sin.to(x.dtype)


class DecoderLayer(nn.Module):
    """Qwen2's layer."""

    def __init__(self, dims: LmDims) -> None:
        super().__init__()
        self.self_attn = DecoderAttention(dims)
        self.mlp = nn.ModuleDict(
            {
                "gate_proj": QuantizedLinear(dims.width, dims.mlp, bias=False),
                "up_proj": QuantizedLinear(dims.width, dims.mlp, bias=False),
                "down_proj": QuantizedLinear(dims.mlp, dims.width, bias=False),
            }
        )
        self.input_layernorm = RmsNorm(dims.width, dims.eps)
        self.post_attention_layernorm = RmsNorm(dims.width, dims.eps)

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        """[B, S, C] → [B, S, C] and attention [B, H, S, S]."""
        out, shares = self.self_attn(self.input_layernorm(x), turn, bias)
        x = x + out
        y = self.post_attention_layernorm(x)
        gated = F.silu(self.mlp["gate_proj"](y)) * self.mlp["up_proj"](y)
        return x + self.mlp["down_proj"](gated), shares


class Decoder(nn.Module):
    """Qwen2 whose head is its embedding."""

    def __init__(self, dims: LmDims) -> None:
        super().__init__()
        self.dims = dims
        self.embed_tokens = nn.Embedding(dims.vocab, dims.width)
        self.layers = nn.ModuleList(DecoderLayer(dims) for _ in range(dims.layers))
        self.norm = RmsNorm(dims.width, dims.eps)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Embeddings [B, S, C] from position 0 → states [B, S, C] and each layer's attention."""
        count, half = x.shape[1], self.dims.head_dim // 2
        rates = ROPE_THETA ** (-torch.arange(half, dtype=torch.float32) / half)
        angles = torch.arange(count, dtype=torch.float32)[:, None] * rates
        angles = torch.cat([angles, angles], -1)
        bias = torch.full((count, count), MASKED).triu(1)
        attention = []
        for layer in self.layers:
            x, shares = layer(x, (angles.cos(), angles.sin()), bias)
            attention.append(shares)
        return self.norm(x), attention

    def scores(self, states: Tensor) -> Tensor:
        """Logits over the vocabulary."""
        return F.linear(states, self.embed_tokens.weight)

    def round_weights(self, rounded: bool) -> None:
        """Train the layers' matrices as their int4 selves, or no longer."""
        for module in self.modules():
            if isinstance(module, QuantizedLinear):
                module.rounded = rounded
