"""The compressor's Qwen2 as it is trained: same arithmetic and tensor names as the checkpoint's.

Leaner than transformers' class on a CPU and checked against it by a test. Embeddings in, final-norm
hidden states out; it has no head and knows nothing of clips.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnilive_micropack.dimensions import LmDims

INIT_STD = 0.06
"""Spread of matrices at the start (the feasibility trial found 0.06 to 0.09 to learn faster)."""

BRANCH_GAIN, EVEN_GAIN, AVERAGE_GAIN = 0.3, 0.5, 0.5
"""Sizes at the start of: what a feed-forward layer adds, queries and keys, the average read."""


class RmsNorm(nn.Module):
    """Root-mean-square norm in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """[..., C] → [..., C]."""
        return F.rms_norm(x.float(), (x.shape[-1],), self.weight, self.eps)


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions and biases on q, k and v."""

    def __init__(self, dims: LmDims) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head = dims.heads, dims.kv_heads, dims.head_dim
        kv_width = dims.kv_heads * dims.head_dim
        self.q_proj = nn.Linear(dims.width, dims.width)
        self.k_proj = nn.Linear(dims.width, kv_width)
        self.v_proj = nn.Linear(dims.width, kv_width)
        self.o_proj = nn.Linear(dims.width, dims.width, bias=False)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        """[B, S, C] → [B, S, C].

        Args:
            rotary: cosines and sines [S, head_dim].
            mask: [S, S], minus infinity above the diagonal.
        """
        batch, tokens, width = x.shape
        groups = self.heads // self.kv_heads
        query = _rotated(self._split(self.q_proj(x) * self.head**-0.5, self.heads), rotary)
        key = _rotated(self._split(self.k_proj(x), self.kv_heads), rotary)
        value = self._split(self.v_proj(x), self.kv_heads)
        # One matrix product per key-value head serves its whole group of query heads.
        query = query.reshape(batch, self.kv_heads, groups * tokens, self.head)
        scores = (query @ key.transpose(-1, -2)).view(batch, self.kv_heads, groups, tokens, tokens)
        weights = torch.softmax(scores + mask.to(scores.dtype), dim=-1, dtype=scores.dtype)
        mixed = weights.view(batch, self.kv_heads, groups * tokens, tokens) @ value
        mixed = mixed.view(batch, self.heads, tokens, self.head).transpose(1, 2)
        return self.o_proj(mixed.reshape(batch, tokens, width))

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(*x.shape[:2], heads, self.head).transpose(1, 2)


def _rotated(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    cosines, sines = (part.to(x.dtype) for part in rotary)
    left, right = x.chunk(2, dim=-1)
    return x * cosines + torch.cat([-right, left], dim=-1) * sines


class Mlp(nn.Module):
    """SwiGLU without biases."""

    def __init__(self, dims: LmDims) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(dims.width, dims.mlp, bias=False)
        self.up_proj = nn.Linear(dims.width, dims.mlp, bias=False)
        self.down_proj = nn.Linear(dims.mlp, dims.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., C] → [..., C]."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """One pre-norm decoder layer."""

    def __init__(self, dims: LmDims) -> None:
        super().__init__()
        self.self_attn = Attention(dims)
        self.mlp = Mlp(dims)
        self.input_layernorm = RmsNorm(dims.width, dims.eps)
        self.post_attention_layernorm = RmsNorm(dims.width, dims.eps)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        """[B, S, C] → [B, S, C]; see ``Attention``."""
        x = x + self.self_attn(self.input_layernorm(x), rotary, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class MemoryLanguage(nn.Module):
    """Qwen2 without a head; its state dict has the names of ``layout.qwen2``."""

    def __init__(self, dims: LmDims) -> None:
        super().__init__()
        if dims.rope_theta is None:
            raise ValueError("the compressor's rope_theta is stated")
        self.embed_tokens = nn.Embedding(dims.vocab, dims.width)
        self.layers = nn.ModuleList([Layer(dims) for _ in range(dims.layers)])
        self.norm = RmsNorm(dims.width, dims.eps)
        steps = torch.arange(0, dims.head_dim, 2).float() / dims.head_dim
        self.register_buffer("frequencies", dims.rope_theta**-steps, persistent=False)

    def forward(self, embeds: Tensor) -> Tensor:
        """Hidden states [B, S, C] after the final norm of embeds [B, S, C], positions from 0.

        Rows may be padded on the right: a causal model never sees it.
        """
        return self.states(embeds)[0]

    def states(self, embeds: Tensor) -> tuple[Tensor, Tensor]:
        """What ``forward`` returns, and the states [B, S, C] that the last layer reads."""
        tokens = embeds.shape[1]
        angles = torch.outer(torch.arange(tokens).float(), self.frequencies)
        angles = torch.cat([angles, angles], dim=-1)
        mask = torch.full((tokens, tokens), -torch.inf).triu(1)
        x = before = embeds
        for layer in self.layers:
            before = x
            x = layer(x, (angles.cos(), angles.sin()), mask)
        return self.norm(x), before


def start(language: MemoryLanguage, generator: torch.Generator) -> None:
    """Values to train from, drawn from ``generator``.

    Attention begins as an even average of what was read, passed on nearly as it was: what a
    question or a clip holds then reaches the last token from the first step on. Left to random
    matrices, finding that takes longer than all the rest.
    """
    with torch.no_grad():
        for name, parameter in language.named_parameters():
            if name.endswith(".bias"):
                parameter.zero_()
            elif "norm" not in name:
                parameter.normal_(0.0, INIT_STD, generator=generator)
        for layer in language.layers:
            attention = layer.self_attn
            attention.q_proj.weight.mul_(EVEN_GAIN)
            attention.k_proj.weight.mul_(EVEN_GAIN)
            values = attention.v_proj.weight.view(attention.kv_heads, attention.head, -1)
            groups = attention.heads // attention.kv_heads
            back = values.repeat_interleave(groups, dim=0).flatten(0, 1).T
            attention.o_proj.weight.copy_(AVERAGE_GAIN * back)
            layer.mlp.down_proj.weight.mul_(BRANCH_GAIN)
