"""Reference of the reasoner: InternLM2 with Partial-LoRA, its projectors and its image tokens.

Written from spec §1.3 and §1.4 for reading, not for speed; it never caches keys or values, so it
also judges engines that do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.functional import linear, silu

from .checkpoint import load_strict, read_config, read_tensors
from .clip_vision import build_tower, hidden_states, mix_2x2

F32 = npt.NDArray[np.float32]

VISION_PREFIX = "vit.vision_tower.vision_model."


class PartialLoraLinear(nn.Module):
    """y = W x + m · (B (A x)): the low-rank part only where the mask is 1 (scale 1)."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.Plora_A = nn.Linear(inputs, rank, bias=False)
        self.Plora_B = nn.Linear(rank, outputs, bias=False)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """X [S, inputs], mask bool [S] → [S, outputs]."""
        return linear(x, self.weight) + mask[:, None] * self.Plora_B(self.Plora_A(x))


class RmsNorm(nn.Module):
    """x / rms(x) · weight."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """X [S, width] → [S, width]."""
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotary(length: int, head_dim: int, theta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cos and sin [length, head_dim] of positions 0 … length-1, half-split form."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim
    angles = torch.arange(length, dtype=torch.float64)[:, None] * theta**-exponents
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().float(), angles.sin().float()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """X [S, heads, head_dim] rotated by position."""
    first, second = x.chunk(2, dim=-1)
    return x * cos[:, None] + torch.cat([-second, first], dim=-1) * sin[:, None]


class Attention(nn.Module):
    """Causal grouped-query attention over the fused ``wqkv``.

    ``wqkv`` is grouped by KV head: for each, its query heads, then one key, then one value.
    """

    def __init__(self, hidden: int, heads: int, kv_heads: int, rank: int) -> None:
        super().__init__()
        self.kv_heads = kv_heads
        self.per_kv = heads // kv_heads
        self.head_dim = hidden // heads
        self.wqkv = PartialLoraLinear(hidden, (heads + 2 * kv_heads) * self.head_dim, rank)
        self.wo = PartialLoraLinear(hidden, hidden, rank)

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> torch.Tensor:
        """X [S, hidden] → [S, hidden]."""
        length = x.shape[0]
        qkv = self.wqkv(x, mask).view(length, self.kv_heads, self.per_kv + 2, self.head_dim)
        query = qkv[:, :, : self.per_kv].reshape(length, -1, self.head_dim)
        query = rotate(query, cos, sin)
        key = rotate(qkv[:, :, -2], cos, sin).repeat_interleave(self.per_kv, dim=1)
        value = qkv[:, :, -1].repeat_interleave(self.per_kv, dim=1)
        scores = torch.einsum("qhd,khd->hqk", query, key) / self.head_dim**0.5
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        weights = scores.masked_fill(future, float("-inf")).softmax(-1)
        mixed = torch.einsum("hqk,khd->qhd", weights, value)
        return self.wo(mixed.reshape(length, -1), mask)


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) · w3 x)."""

    def __init__(self, hidden: int, inner: int, rank: int) -> None:
        super().__init__()
        self.w1 = PartialLoraLinear(hidden, inner, rank)
        self.w3 = PartialLoraLinear(hidden, inner, rank)
        self.w2 = PartialLoraLinear(inner, hidden, rank)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """X [S, hidden] → [S, hidden]."""
        return self.w2(silu(self.w1(x, mask)) * self.w3(x, mask), mask)


class Block(nn.Module):
    """One pre-norm decoder layer."""

    def __init__(self, config: dict[str, Any], rank: int) -> None:
        super().__init__()
        hidden, eps = config["hidden_size"], config["rms_norm_eps"]
        self.attention_norm = RmsNorm(hidden, eps)
        self.attention = Attention(
            hidden, config["num_attention_heads"], config["num_key_value_heads"], rank
        )
        self.ffn_norm = RmsNorm(hidden, eps)
        self.feed_forward = FeedForward(hidden, config["intermediate_size"], rank)

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> torch.Tensor:
        """X [S, hidden] → [S, hidden]."""
        x = x + self.attention(self.attention_norm(x), mask, cos, sin)
        return x + self.feed_forward(self.ffn_norm(x), mask)


class InternLm2(nn.Module):
    """The language model: token embedding, blocks, final norm, untied output head."""

    def __init__(self, config: dict[str, Any], rank: int) -> None:
        super().__init__()
        self.head_dim = config["hidden_size"] // config["num_attention_heads"]
        self.theta = float(config["rope_theta"])
        self.max_positions = int(config["max_position_embeddings"])
        self.tok_embeddings = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.layers = nn.ModuleList(Block(config, rank) for _ in range(config["num_hidden_layers"]))
        self.norm = RmsNorm(config["hidden_size"], config["rms_norm_eps"])
        self.output = nn.Linear(config["hidden_size"], config["vocab_size"], bias=False)

    def forward(self, embeds: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits [S, vocab] of embeds [S, hidden] with Partial-LoRA where mask bool [S].

        Raises:
            ValueError: longer than max_position_embeddings, where dynamic NTK would change RoPE.
        """
        if len(embeds) > self.max_positions:
            raise ValueError(f"{len(embeds)} positions, dynamic NTK begins at {self.max_positions}")
        cos, sin = rotary(len(embeds), self.head_dim, self.theta)
        for layer in self.layers:
            embeds = layer(embeds, mask, cos, sin)
        return self.output(self.norm(embeds))


class Reasoner:
    """The language model of ``base/`` or ``merge_lora/`` behind NumPy arrays."""

    def __init__(self, model: InternLm2) -> None:
        self.model = model

    def embed(self, ids: Sequence[int]) -> F32:
        """Embeddings [n, H] of token ids."""
        with torch.no_grad():
            return self.model.tok_embeddings(torch.tensor(ids)).numpy()

    def logits(self, embeds: F32, plora_rows: Sequence[int] = ()) -> F32:
        """Logits [S, vocab] of embeds [S, H]; ``plora_rows`` lists the positions with mask 1."""
        mask = torch.zeros(len(embeds), dtype=torch.bool)
        mask[list(plora_rows)] = True
        with torch.no_grad():
            return self.model(torch.from_numpy(embeds), mask).numpy()


def load_language(folder: Path) -> Reasoner:
    """The InternLM2 + Partial-LoRA language model of a reasoner folder.

    Raises:
        ValueError: RoPE scaling of a kind that changes positions below max_position_embeddings.
    """
    config = read_config(folder)
    scaling = config.get("rope_scaling")
    if scaling is not None and scaling["type"] != "dynamic":
        raise ValueError(f"{folder}: rope_scaling {scaling} has no reference")
    tensors = read_tensors(folder, "model.")
    tensors["output.weight"] = read_tensors(folder, "output.")["weight"]
    rank = tensors["layers.0.attention.wqkv.Plora_A.weight"].shape[0]
    with torch.device("meta"):
        model = InternLm2(config, rank)
    load_strict(model, tensors)
    return Reasoner(model)


class Projector:
    """Linear, GELU, Linear: ``vision_proj`` and ``video_mem_proj``."""

    def __init__(self, folder: Path, name: str) -> None:
        tensors = read_tensors(folder, f"{name}.")
        inner, inputs = tensors["0.weight"].shape
        outputs = tensors["2.weight"].shape[0]
        self.mlp = nn.Sequential(nn.Linear(inputs, inner), nn.GELU(), nn.Linear(inner, outputs))
        load_strict(self.mlp, tensors)

    def __call__(self, rows: F32) -> F32:
        """[…, inputs] → […, outputs]."""
        with torch.no_grad():
            return self.mlp(torch.from_numpy(rows)).numpy()


@dataclass(frozen=True)
class Separators:
    """``sub`` ends every row of image tokens, ``glb`` ends the global view: [width] each."""

    sub: F32
    glb: F32


class PictureEncoder:
    """CLIP at the reasoner's resolution, 2×2 mix, separators and ``vision_proj`` (spec §1.3).

    The separators lie among the mixed features, four times as wide as the tower, and go through
    ``vision_proj`` with them.

    Args:
        folder: the reasoner.
        tower: folder of the tower's own config.json.
    """

    def __init__(self, folder: Path, tower: Path) -> None:
        self.tower = build_tower(read_config(tower), read_tensors(folder, VISION_PREFIX))
        self.projector = Projector(folder, "vision_proj")
        self.separators = Separators(
            *(read_tensors(folder, f"plora_{n}_GN")[""].flatten().numpy() for n in ("sub", "glb"))
        )

    def features(self, tiles: npt.NDArray[np.uint8]) -> F32:
        """Tiles uint8 [N, P, P, 3] → mixed features [N, g², 4C]; the last layer, CLS dropped."""
        patches = hidden_states(self.tower, tiles, select_layer=-1)[:, 1:]
        return mix_2x2(patches).numpy()

    def tiles(self, tiles: npt.NDArray[np.uint8]) -> F32:
        """Tiles uint8 [N, P, P, 3] → embeds [N, g², H], each tile alone."""
        return self.projector(self.features(tiles))

    def picture(self, tiles: npt.NDArray[np.uint8], rows: int, columns: int) -> F32:
        """All image tokens [N, H] of a picture: its global view, then rows · columns tiles."""
        features = self.features(tiles)
        return self.projector(assemble_image(features, rows, columns, self.separators))


def assemble_image(features: F32, rows: int, columns: int, separators: Separators) -> F32:
    """Image tokens [N, width] of one picture (spec §1.4), N = (rows·columns+1)·g² + 1 + (rows+1)·g.

    Args:
        features: [1 + rows·columns, g², width]: the global view, then the tiles in reading order.
        rows: tiles from top to bottom.
        columns: tiles from left to right.
        separators: the vectors that end rows and the global view.
    """
    grid = round(features.shape[1] ** 0.5)
    width = features.shape[2]

    def with_newlines(token_map: F32) -> F32:
        newline = np.broadcast_to(separators.sub, (len(token_map), 1, width))
        return np.concatenate([token_map, newline], axis=1).reshape(-1, width)

    global_view = features[0].reshape(grid, grid, width)
    tiles = features[1:].reshape(rows, columns, grid, grid, width).transpose(0, 2, 1, 3, 4)
    stitched = tiles.reshape(rows * grid, columns * grid, width)
    return np.concatenate(
        [with_newlines(global_view), separators.glb[None], with_newlines(stitched)]
    )
