"""Contexts and questions as the arrays that the reasoner trains on.

It runs no network and takes no step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omnilive_micropack.training.context import Context
from omnilive_micropack.training.context_answers import Asked
from omnilive_micropack.training.context_frames import NOTHING
from omnilive_micropack.training.reasoner_text import PromptText, Tail
from omnilive_micropack.training.reasoner_views import (
    FIELDS,
    GLOBAL,
    NEWLINE,
    MemoryBlock,
    Seeing,
)

ALSO_COVER = 0.25
"""A question about a thing may look at tokens that it covers so much of."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Several contexts with their questions.

    Attributes:
        ids: int64 [B, C] text tokens of the contexts, 0 elsewhere.
        rows: int64 [B, C] 1 + row of the tower's features (or of what else is projected), 0 for
            text; the two separators follow the features.
        lengths: int64 [B].
        plora: bool [B, C].
        tiles: uint8 [tiles, P, P, 3], of which the tower makes N features; ``memory`` [M, C] of
            memory tokens. Rows are counted through features, separators and memory.
        words: int64 [N + 2 + M, fields] what each row shows.
        told: bool [N + 2 + M], rows whose words are given in place of what the networks see.
        tails: int64 [B, Q, T]; ``targets`` the next token where it is learned, else -100;
            ``early`` the answer's telling token at the positions before the answer.
        guides: float [B, Q, 2, C] where to look, and where ``even`` [B, Q], how much, as counting
            needs every thing as much as the next; ``looking`` [B, Q, T] is 1 at the question's last
            word, which looks, and ``passing`` from there to the answer.
        named: float [B, Q, 2, T], the question's other words by which it finds what it is about:
            its colours, and kinds, places and rooms.
        asked: the questions of each context.
    """

    ids: Tensor
    rows: Tensor
    lengths: Tensor
    plora: Tensor
    tiles: Tensor
    memory: Tensor
    words: Tensor
    told: Tensor
    tails: Tensor
    targets: Tensor
    early: Tensor
    guides: Tensor
    even: Tensor
    looking: Tensor
    passing: Tensor
    named: Tensor
    asked: tuple[tuple[Asked, ...], ...]


def collate(
    contexts: Sequence[Context],
    views: Sequence[Seeing],
    blocks: Sequence[MemoryBlock],
    told: Sequence[bool],
    text: PromptText,
) -> Batch:
    """Arrays of several contexts, padded on the right.

    Args:
        blocks: the memory of each context.
        told: whether a context's words are given instead of what the networks see.
    """
    counts = [int(view.order.max()) + 1 for view in views]
    total = sum(counts)
    separators = {GLOBAL: total + 1, NEWLINE: total + 2}
    words = [np.zeros((total + 2, len(FIELDS)), np.int64)]
    given = np.zeros(total + 2, np.bool_)
    prompts, places = [], []
    offset, memory_at = 0, total + 3
    for view, block, is_told, count in zip(views, blocks, told, counts, strict=True):
        numbered = 1 + offset + view.order
        for mark, row in separators.items():
            numbered[view.order == mark] = row
        words[0][numbered - 1] = view.words
        given[offset : offset + count] = is_told
        prompt = _Prompt(list(text.head), [0] * len(text.head), [False] * len(text.head))
        for label, rows in ((text.overview, block.overview), (text.related, block.related)):
            if len(rows):
                prompt.add(label, plora=True)
                prompt.add_rows(range(memory_at, memory_at + len(rows)))
                memory_at += len(rows)
        words.append(block.words)
        places.append(len(prompt.ids))
        prompt.add_rows(numbered.tolist())
        prompt.add(text.lead, plora=False)
        prompts.append(prompt)
        offset += count
    length = max(len(prompt.ids) for prompt in prompts)
    tails = [[text.tail(a.text, a.answer) for a in context.asked] for context in contexts]
    memory = torch.cat([rows for block in blocks for rows in (block.overview, block.related)])
    return Batch(
        _padded([prompt.ids for prompt in prompts], length),
        _padded([prompt.rows for prompt in prompts], length),
        torch.tensor([len(prompt.ids) for prompt in prompts]),
        _padded([prompt.plora for prompt in prompts], length) > 0,
        torch.from_numpy(np.concatenate([view.tiles for view in views])),
        memory,
        torch.from_numpy(np.concatenate(words)),
        torch.from_numpy(np.concatenate([given, np.zeros(len(memory), np.bool_)])),
        *_tail_arrays(tails),
        *_guides(contexts, views, tails, places, length),
        _named(tails, text),
        tuple(context.asked for context in contexts),
    )


@dataclass
class _Prompt:
    """A prompt in the making: ids, rows and Partial-LoRA mask of every position."""

    ids: list[int]
    rows: list[int]
    plora: list[bool]

    def add(self, ids: Sequence[int], *, plora: bool) -> None:
        self.ids += ids
        self.rows += [0] * len(ids)
        self.plora += [plora] * len(ids)

    def add_rows(self, rows: Sequence[int]) -> None:
        self.ids += [0] * len(rows)
        self.rows += rows
        self.plora += [True] * len(rows)


def _padded(lists: Sequence[Sequence[int]], length: int) -> Tensor:
    return torch.tensor([[*values, *[0] * (length - len(values))] for values in lists])


def _tail_arrays(tails: Sequence[Sequence[Tail]]) -> tuple[Tensor, Tensor, Tensor]:
    shape = (len(tails), max(map(len, tails)), max(len(t.ids) for ts in tails for t in ts))
    ids = np.zeros(shape, np.int64)
    targets, early = np.full(shape, -100), np.full(shape, -100)
    for b, questions in enumerate(tails):
        for q, tail in enumerate(questions):
            answer = tail.ids[tail.start :]
            ids[b, q, : len(tail.ids)] = tail.ids
            targets[b, q, tail.start - 1 : len(tail.ids) - 1] = answer
            early[b, q, tail.asked - 1 : tail.start - 1] = answer[-2]
    return torch.from_numpy(ids), torch.from_numpy(targets), torch.from_numpy(early)


def _named(tails: Sequence[Sequence[Tail]], text: PromptText) -> Tensor:
    shape = (len(tails), max(map(len, tails)), 2, max(len(t.ids) for ts in tails for t in ts))
    named = np.zeros(shape, np.float32)
    for b, questions in enumerate(tails):
        for q, tail in enumerate(questions):
            said = tail.ids[: tail.asked - 1]
            for head, words in enumerate((text.colours, text.names)):
                named[b, q, head, : len(said)] = [piece in words for piece in said]
    return torch.from_numpy(named)


def _guides(
    contexts: Sequence[Context],
    views: Sequence[Seeing],
    tails: Sequence[Sequence[Tail]],
    places: Sequence[int],
    length: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    most = max(map(len, tails))
    longest = max(len(t.ids) for ts in tails for t in ts)
    guides = np.zeros((len(views), most, 2, length), np.float32)
    even = np.zeros((len(views), most), np.bool_)
    looking = np.zeros((len(views), most, longest), np.float32)
    passing = np.zeros_like(looking)
    for b, (context, view) in enumerate(zip(contexts, views, strict=True)):
        owners = np.where(view.shows.cover >= ALSO_COVER, view.shows.owner, NOTHING)
        last = len(context.seconds) - 1
        for q, (asked, tail) in enumerate(zip(context.asked, tails[b], strict=True)):
            looking[b, q, tail.asked - 1] = 1
            passing[b, q, tail.asked : tail.start] = 1
            for g in range(2):
                if not asked.groups:
                    # Nothing to see: the beginning of the prompt is where to rest.
                    guides[b, q, g, 0] = 1
                    continue
                group = asked.groups[min(g, len(asked.groups) - 1)]
                wanted = [
                    i
                    for i, (frame, seen) in enumerate(view.shows.things)
                    if seen.id in group and (not asked.newest or frame == last)
                ]
                guides[b, q, g, places[b] + view.places[np.isin(owners, wanted)]] = 1
                even[b, q] = asked.kind == "count"
                if even[b, q]:
                    for i in wanted:
                        at = places[b] + view.places[owners == i]
                        guides[b, q, g, at] = 1 / max(1, len(at)) / len(wanted)
    return tuple(map(torch.from_numpy, (guides, even, looking, passing)))
