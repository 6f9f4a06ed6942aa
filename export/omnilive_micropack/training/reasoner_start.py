"""Start values from which the reasoner learns look-ups in minutes instead of hours.

A word and the image tokens that show it meet from the first step: words of one meaning begin with
one embedding, queries and the Partial-LoRA keys share one projection, and what attention reads is
passed on as it was. It trains nothing.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from omnilive_micropack.training.reasoner_model import Block, ReasonerNet
from omnilive_micropack.training.reasoner_text import PromptText
from omnilive_micropack.vocabulary import PLURALS

WORD_STD = 0.5
"""Size of an embedding: a word outlasts what the first layers add to it."""

SPELLING_STD = 0.1
"""Spread between the spellings of one word."""

BRANCH_GAIN = 0.4
LOOKUP_LAYERS = (1, 2)
SHARPNESS = 2.0
"""Size of a query in the shared projection; at 2 a word that a token shows gets about 0.7 of the
attention among 250 tokens."""

STEADY_FREQUENCY = 14
"""Rotary frequencies from this one on turn by less than a radian over a prompt's length."""

CARRY = 0.4
READ_GAIN = 0.5
"""Of a normalized word, which is twice as large as an embedding: what is read counts as much as
the word at the place itself."""

REST = 0.3


def start(net: ReasonerNet, text: PromptText) -> None:
    """Set the start values, drawing from torch's generator."""
    with torch.no_grad():
        _words(net, text)
        for layer in net.model.layers:
            _soften(layer)
        for index in LOOKUP_LAYERS:
            _look_up(net.model.layers[index])
        _carry(net.model.layers[-1])
        names = [text.piece(word) for word in text.spoken_names]
        _read_whole(net.model.layers[0], net.model.tok_embeddings.weight[names])


def _words(net: ReasonerNet, text: PromptText) -> None:
    table = net.model.tok_embeddings.weight
    table.normal_(0, WORD_STD)
    pieces = {text.tokenizer.decode([i]): i for i in range(len(table))}
    for word, index in pieces.items():
        bare = pieces.get(word[1:]) if word.startswith(" ") and len(word) > 3 else None
        if bare is not None:
            table[bare] = table[index] + SPELLING_STD * torch.randn(table.shape[1])
    for kind, plural in PLURALS.items():
        if kind != plural:
            near = SPELLING_STD * torch.randn(table.shape[1])
            table[text.piece(plural)] = table[text.piece(kind)] + near
    net.output.weight.copy_(table / table.norm(dim=1, keepdim=True))


def _soften(layer: Block) -> None:
    for linear in (layer.attention.wo, layer.feed_forward.w2):
        linear.weight.mul_(BRANCH_GAIN)
        linear.Plora_B.weight.mul_(BRANCH_GAIN)
    layer.attention.wqkv.Plora_B.weight.mul_(BRANCH_GAIN)


def _look_up(layer: Block) -> None:
    attention = layer.attention
    heads, groups, size = attention.per_kv, attention.kv_heads, attention.head_dim
    linear = attention.wqkv
    width, rank = linear.weight.shape[1], linear.Plora_A.weight.shape[0]
    shared = torch.linalg.qr(torch.randn(width, rank))[0].T
    linear.Plora_A.weight.copy_(shared)
    base = linear.weight.view(groups, heads + 2, size, width)
    low = linear.Plora_B.weight.view(groups, heads + 2, size, rank)
    steady = [i for i in range(size) if i % (size // 2) >= STEADY_FREQUENCY]
    base[:, : heads + 1].mul_(REST)
    for group in range(groups):
        basis = torch.linalg.qr(torch.randn(len(steady), rank))[0] * SHARPNESS
        low[group, heads, steady] = basis
        for head in range(heads):
            noise = torch.randn(len(steady), width) * REST / math.sqrt(width)
            base[group, head, steady] = basis @ shared + noise
    _carry(layer)


def _carry(layer: Block) -> None:
    """What is read is passed on as it was."""
    attention = layer.attention
    heads, groups, size = attention.per_kv, attention.kv_heads, attention.head_dim
    out = attention.wo.weight.view(-1, groups, heads, size)
    base = attention.wqkv.weight.view(groups, heads + 2, size, -1)
    values = base[:, heads + 1].permute(2, 0, 1)[:, :, None]
    out.mul_(REST).add_(CARRY * values.expand_as(out))


def _read_whole(layer: Block, words: torch.Tensor) -> None:
    """The first group's values pass these embeddings [n, W] on whole, n at most a head's width.

    A random projection to a head's width keeps a quarter of a word. The colour beside a kind then
    counts for nothing in the look-ups that follow, and any thing of the kind is found.
    """
    attention = layer.attention
    heads, groups, size = attention.per_kv, attention.kv_heads, attention.head_dim
    basis = torch.linalg.qr(words.T)[0].T[:size]
    out = attention.wo.weight.view(-1, groups, heads, size)
    values = attention.wqkv.weight.view(groups, heads + 2, size, -1)[0, heads + 1]
    values.zero_()
    values[: len(basis)] = basis
    out[:, 0].zero_()
    out[:, 0, :, : len(basis)] = READ_GAIN * basis.T[:, None]


def parameter_groups(net: nn.Module, decay: float) -> list[dict[str, object]]:
    """Groups for an optimizer, each with the factor ``scale`` of the learning rate.

    What a look-up begins with would be lost in the noise of the first steps, so its queries and
    keys move slowly; embeddings, of which few are used in a step, move fast.
    """
    chosen: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, value in net.named_parameters():
        looks_up = "wqkv" in name and not name.startswith("model.layers.0.")
        scale = 0.3 if looks_up else 2.0 if "tok_embeddings" in name else 1.0
        chosen.setdefault((scale, decay if value.dim() > 1 else 0.0), []).append(value)
    return [
        {"params": values, "scale": scale, "weight_decay": weight_decay}
        for (scale, weight_decay), values in chosen.items()
    ]
