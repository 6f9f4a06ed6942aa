"""The reasoner's language model for training: InternLM2 with Partial-LoRA, many questions at once.

Its parameters have the checkpoint's names and layouts (spec §1.3). It shares one context among
several questions, which never see each other, so that a long context is paid for once; it reads
no data and takes no step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu

from omnilive_micropack.dimensions import FamilyDims, LmDims
from omnilive_micropack.training.reasoner_projector import Projector

EMBEDDING_STD = 0.2
PLORA_STD = 0.3
"""Size of the Partial-LoRA branch at the start, beside its base layer."""


class PloraLinear(nn.Module):
    """y = W x, plus B (A x) on the rows given: a low-rank part for image and memory tokens."""

    def __init__(self, inputs: int, outputs: int, rank: int, gain: float = 1.0) -> None:
        """Draw the weights from torch's generator; ``gain`` scales the output's variance."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * gain / math.sqrt(inputs))
        self.Plora_A = nn.Linear(inputs, rank, bias=False)
        self.Plora_B = nn.Linear(rank, outputs, bias=False)
        nn.init.normal_(self.Plora_A.weight, std=1 / math.sqrt(inputs))
        nn.init.normal_(self.Plora_B.weight, std=PLORA_STD * gain / math.sqrt(rank))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """[..., inputs] to [..., outputs]; ``mask`` [..., 1] is 1 where the low rank applies.

        None leaves the low-rank part out, as for text.
        """
        y = linear(x, self.weight)
        if mask is None:
            return y
        return y + self.Plora_B(self.Plora_A(x) * mask.to(x.dtype))


class RmsNorm(nn.Module):
    """x / rms(x) · weight."""

    def __init__(self, width: int, eps: float) -> None:
        """Start from a weight of one."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., width] to [..., width] of the same dtype."""
        return rms_norm(x, self.weight.shape, self.weight, self.eps)


class Rope:
    """Cosines and sines of positions, half-split form."""

    def __init__(self, positions: torch.Tensor, head_dim: int, theta: float) -> None:
        """Take whole positions of any shape [...]; the tables are float32 [..., head_dim]."""
        exponents = torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim
        angles = positions.double()[..., None] * theta**-exponents
        angles = torch.cat([angles, angles], dim=-1)
        self.cos, self.sin = angles.cos().float(), angles.sin().float()

    def turn(self, x: torch.Tensor) -> torch.Tensor:
        """[..., heads, head_dim] rotated by position."""
        first, second = x.chunk(2, dim=-1)
        cos, sin = self.cos.unsqueeze(-2), self.sin.unsqueeze(-2)
        return x * cos.to(x.dtype) + torch.cat([-second, first], dim=-1) * sin.to(x.dtype)


class Attention(nn.Module):
    """Causal grouped-query attention over the fused ``wqkv``, grouped by KV head."""

    def __init__(self, dims: LmDims, rank: int, gain: float) -> None:
        """Draw the weights; ``gain`` is of the output matrix."""
        super().__init__()
        self.kv_heads, self.head_dim = dims.kv_heads, dims.head_dim
        self.per_kv = dims.heads // dims.kv_heads
        qkv = (dims.heads + 2 * dims.kv_heads) * dims.head_dim
        self.wqkv = PloraLinear(dims.width, qkv, rank)
        self.wo = PloraLinear(dims.width, dims.width, rank, gain)

    def split(
        self, x: torch.Tensor, mask: torch.Tensor | None, rope: Rope
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """[..., width] to query [..., heads, d], key and value [..., kv heads, d], rotated."""
        qkv = self.wqkv(x, mask).unflatten(-1, (self.kv_heads, self.per_kv + 2, self.head_dim))
        query = rope.turn(qkv[..., : self.per_kv, :].flatten(-3, -2))
        return query, rope.turn(qkv[..., -2, :]), qkv[..., -1, :]


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) · w3 x)."""

    def __init__(self, dims: LmDims, rank: int, gain: float) -> None:
        """Draw the weights; ``gain`` is of the output matrix."""
        super().__init__()
        self.w1 = PloraLinear(dims.width, dims.mlp, rank)
        self.w3 = PloraLinear(dims.width, dims.mlp, rank)
        self.w2 = PloraLinear(dims.mlp, dims.width, rank, gain)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """[..., width] to [..., width]."""
        return self.w2(silu(self.w1(x, mask)) * self.w3(x, mask), mask)


@dataclass(frozen=True, eq=False)
class Look:
    """Attention of tails in one layer.

    Attributes:
        far: to the context, [B, Q, T, heads, C].
        near: to themselves, [B, Q, T, heads, T].
    """

    far: torch.Tensor
    near: torch.Tensor


@dataclass(frozen=True, eq=False)
class Reading:
    """What the language model made of tails.

    Attributes:
        hidden: states [B, Q, T, W] after the final norm.
        halfway: the same of what entered the last layer.
        looks: where each layer looked.
    """

    hidden: torch.Tensor
    halfway: torch.Tensor
    looks: tuple[Look, ...]


class Block(nn.Module):
    """One pre-norm decoder layer over a context and the questions about it."""

    def __init__(self, dims: LmDims, rank: int) -> None:
        """Draw the weights; branches are scaled so that all of them add up to about one."""
        super().__init__()
        gain = 1 / math.sqrt(2 * dims.layers)
        self.attention_norm = RmsNorm(dims.width, dims.eps)
        self.attention = Attention(dims, rank, gain)
        self.ffn_norm = RmsNorm(dims.width, dims.eps)
        self.feed_forward = FeedForward(dims, rank, gain)

    def forward(
        self,
        context: torch.Tensor,
        tails: torch.Tensor,
        mask: torch.Tensor,
        unseen: torch.Tensor,
        ropes: tuple[Rope, Rope],
    ) -> tuple[torch.Tensor, torch.Tensor, Look]:
        """Context [B, C, W] and tails [B, Q, T, W] to the same shapes; see ``ReasonerLm``."""
        attention = self.attention
        query, key, value = attention.split(self.attention_norm(context), mask, ropes[0])
        mixed = scaled_dot_product_attention(
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            is_causal=True,
            enable_gqa=True,
        )
        asked = attention.split(self.attention_norm(tails), None, ropes[1])
        told, watched = _tail_attention(asked, key, value, unseen)
        context = context + attention.wo(mixed.transpose(1, 2).flatten(-2), mask)
        tails = tails + attention.wo(told, None)
        context = context + self.feed_forward(self.ffn_norm(context), mask)
        tails = tails + self.feed_forward(self.ffn_norm(tails), None)
        return context, tails, watched


def _tail_attention(
    asked: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    key: torch.Tensor,
    value: torch.Tensor,
    unseen: torch.Tensor,
) -> tuple[torch.Tensor, Look]:
    """Attention of tails to their context and, causally, to themselves.

    Returns what they read, [B, Q, T, heads · d], and where.

    Args:
        asked: query [B, Q, T, heads, d], key and value [B, Q, T, kv, d] of the tails.
        key, value: of the context, [B, C, kv, d].
        unseen: bool [B, 1, 1, 1, C], True where the context is padding.
    """
    query, own_key, own_value = asked
    batch, tails, length, heads, width = query.shape
    groups = key.shape[2]
    # [B, kv, Q, per_kv * T, d]
    query = query * width**-0.5
    query = query.unflatten(3, (groups, -1)).permute(0, 3, 1, 4, 2, 5).flatten(3, 4)
    own_key = own_key.permute(0, 3, 1, 2, 4)
    own_value = own_value.permute(0, 3, 1, 2, 4)
    key, value = key.transpose(1, 2), value.transpose(1, 2)
    shape = query.shape[:4]
    far = (query.flatten(2, 3) @ key.transpose(-1, -2)).view(*shape, -1)
    near = query @ own_key.transpose(-1, -2)
    later = torch.ones(length, length, dtype=torch.bool).triu(1).repeat(heads // groups, 1)
    scores = torch.cat(
        [
            far.masked_fill_(unseen, float("-inf")),
            near.masked_fill_(later, float("-inf")),
        ],
        dim=-1,
    )
    weights = scores.softmax(-1)
    far, near = weights.split([key.shape[2], length], dim=-1)
    mixed = (far.flatten(2, 3) @ value).view(*shape, width) + near @ own_value
    mixed = mixed.unflatten(3, (heads // groups, length)).permute(0, 2, 4, 1, 3, 5)
    far, near = (
        weights.unflatten(3, (heads // groups, length)).permute(0, 2, 4, 1, 3, 5).flatten(3, 4)
        for weights in (far, near)
    )
    return mixed.reshape(batch, tails, length, heads * width), Look(far, near)


class ReasonerLm(nn.Module):
    """Token embedding, blocks, final norm and untied head; ``model.*`` and ``output``."""

    def __init__(self, dims: LmDims, rank: int) -> None:
        """Draw all weights from torch's generator."""
        super().__init__()
        self.dims = dims
        self.tok_embeddings = nn.Embedding(dims.vocab, dims.width)
        nn.init.normal_(self.tok_embeddings.weight, std=EMBEDDING_STD)
        self.layers = nn.ModuleList(Block(dims, rank) for _ in range(dims.layers))
        self.norm = RmsNorm(dims.width, dims.eps)

    def forward(
        self,
        context: torch.Tensor,
        lengths: torch.Tensor,
        mask: torch.Tensor,
        tails: torch.Tensor,
    ) -> Reading:
        """What ``tails`` are read as.

        Args:
            context: embeds [B, C, W], padded on the right.
            lengths: int64 [B], rows of each context that count.
            mask: [B, C, 1], 1 where Partial-LoRA applies.
            tails: embeds [B, Q, T, W] of the questions about each context, padded on the right.
        """
        rows = torch.arange(context.shape[1])
        unseen = (rows >= lengths[:, None])[:, None, None, None]
        theta = float(self.dims.rope_theta or 10_000.0)
        places = lengths[:, None, None] + torch.arange(tails.shape[2])
        ropes = (
            Rope(rows, self.dims.head_dim, theta),
            Rope(places, self.dims.head_dim, theta),
        )
        looks = []
        halfway = tails
        for layer in self.layers:
            halfway = tails
            context, tails, look = layer(context, tails, mask, unseen, ropes)
            looks.append(look)
        return Reading(self.norm(tails), self.norm(halfway), tuple(looks))


class ReasonerNet(nn.Module):
    """Everything of ``base/`` that this stage trains; the tower is the vision stage's."""

    def __init__(self, dims: FamilyDims) -> None:
        """Draw all weights from torch's generator."""
        super().__init__()
        lm, mixed = dims.reasoner_lm, dims.reasoner_tower.mixed_width
        self.model = ReasonerLm(lm, dims.plora_rank)
        self.output = nn.Linear(lm.width, lm.vocab, bias=False)
        nn.init.normal_(self.output.weight, std=1 / math.sqrt(lm.width))
        self.vision_proj = Projector(mixed, lm.width)
        self.video_mem_proj = Projector(dims.memory_lm.width, lm.width)
        self.plora_glb_GN = nn.Parameter(torch.randn(1, 1, mixed))
        self.plora_sub_GN = nn.Parameter(torch.randn(1, 1, 1, mixed))
