"""What the networks are shown of a context, with the words of everything they are to see.

It runs the frozen memory only, and takes no step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from omnilive.reasoning.image_tokens import TileGeometry, arrange
from omnilive.reasoning.stitch import stitch
from omnilive.reasoning.tiles import tiles_of
from omnilive_micropack.dimensions import FamilyDims
from omnilive_micropack.facts import FrameFacts, Seen
from omnilive_micropack.painting import paint
from omnilive_micropack.training.context import Context
from omnilive_micropack.training.context_frames import (
    NOTHING,
    TokenMap,
    picture_of,
    token_map,
)
from omnilive_micropack.training.context_memory import Remembering
from omnilive_micropack.training.reasoner_text import PromptText
from omnilive_micropack.training.vision_data import SIZES, disturbed
from omnilive_micropack.vocabulary import COLOURS, FIGURES, OBJECTS, PLACES, ROOMS
from omnilive_micropack.world import HELD, SHOWN, STANDING

GLOBAL, NEWLINE = -2, -3
"""In an order of image tokens: the two separators."""

CLEAR_COVER = 0.45
"""A token shows a thing that covers so much of it."""

PLACE_WORDS = {
    **{place: place.split()[-1] for place in PLACES},
    HELD: "holding",
    SHOWN: "this",
    STANDING: "person",
}

FIELDS = ("kind", "colour", "place", "holder", "room")
"""What one token can be told to show. How many there are of a kind is in no token: it is learned
by reading all of them, each at its place."""


I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Seeing:
    """A context as it is put to the tower.

    Attributes:
        tiles: uint8 [tiles, P, P, 3], the global view first; empty when it was not drawn.
        order: int64 [tokens], rows of the tower's tiles · g² features or a separator, in the
            prompt's order.
        shows: what the tile map's tokens show.
        places: int64 [rows · g, columns · g], where they are in ``order``.
        words: for every token of ``order`` the words of what it shows, as ids; 0 is none.
    """

    tiles: npt.NDArray[np.uint8]
    order: I64
    shows: TokenMap
    places: I64
    words: I64


def see(
    context: Context,
    dims: FamilyDims,
    text: PromptText,
    rng: np.random.Generator,
    *,
    drawn: bool = True,
) -> Seeing:
    """Draw, stitch and cut the frames of a context, as a session would.

    Without ``drawn`` there are no tiles, for a context that only tells its words.
    """
    pixels, grid = dims.reasoner_tower.pixels, round(dims.reasoner_tower.mixed_tokens**0.5)
    picture = picture_of(len(context.seconds), pixels)
    rows, columns = picture.scaled.rows, picture.scaled.columns
    tiles = np.zeros((0, pixels, pixels, 3), np.uint8)
    if drawn:
        size = SIZES[int(rng.integers(len(SIZES)))]
        frames = [disturbed(rng, paint(context.world, float(s), size)) for s in context.seconds]
        tiles = tiles_of(stitch(frames, pixels), picture.scaled, pixels)
    count = rows * columns + 1
    numbered = np.arange(count * grid**2, dtype=np.float32).reshape(count, -1, 1)
    separators = np.array([[GLOBAL], [NEWLINE]], np.float32)
    order = arrange(numbered, separators, rows, columns)[:, 0].astype(np.int64)
    shows = token_map(context.world, context.seconds, picture, TileGeometry(pixels, grid))
    first = grid * (grid + 1) + 1
    at = first + np.arange(rows * grid)[:, None] * (columns * grid + 1) + np.arange(columns * grid)
    words = np.zeros((len(order), len(FIELDS)), np.int64)
    for row, column in np.argwhere(shows.frame >= 0):
        words[at[row, column]] = _words(text, shows, row, column)
    return Seeing(tiles, order, shows, at, words)


def field_words(text: PromptText) -> dict[str, list[int]]:
    """The ids among which each field of ``Seeing.words`` chooses, sorted."""
    words = {
        "kind": (*OBJECTS, *FIGURES),
        "colour": COLOURS,
        "place": tuple(PLACE_WORDS.values()),
        "holder": FIGURES,
        "room": ROOMS,
    }
    return {name: sorted(map(text.piece, chosen)) for name, chosen in words.items()}


def _words(text: PromptText, shows: TokenMap, row: int, column: int) -> list[int]:
    facts = shows.facts[shows.frame[row, column]]
    owner = shows.owner[row, column]
    clear = owner != NOTHING and shows.cover[row, column] >= CLEAR_COVER
    return _shown_words(text, facts, shows.things[owner][1] if clear else None)


def _shown_words(text: PromptText, facts: FrameFacts, seen: Seen | None) -> list[int]:
    room = text.piece(facts.room)
    if seen is None:
        return [0, 0, 0, 0, room]
    return [
        text.piece(seen.kind),
        text.piece(seen.colour),
        text.piece(PLACE_WORDS[seen.place]),
        0 if seen.holder is None else text.piece(seen.holder),
        room,
    ]


@dataclass(frozen=True, eq=False)
class MemoryBlock:
    """Memory rows of a prompt: overview [K, C], related [R, C]; words int64 [K + R, fields]."""

    overview: Tensor
    related: Tensor
    words: I64


def no_memory(dims: FamilyDims) -> MemoryBlock:
    """A prompt without memory."""
    none = torch.zeros(0, dims.memory_lm.width)
    return MemoryBlock(none, none, np.zeros((0, len(FIELDS)), np.int64))


def remember(
    context: Context, memory: Remembering, text: PromptText, rng: np.random.Generator
) -> MemoryBlock:
    """The memory block of a context: some overview, and H of the retrieved clips."""
    clips = [memory.clip(context.world, context.clips[i], rng) for i in context.retrieved]
    overview = memory.overview(rng)
    related = [clip.short_term for clip in clips] or [overview[:0]]
    shown = [_shown_words(text, facts, seen) for clip in clips for facts, seen in clip.shows]
    words = np.zeros((len(overview) + len(shown), len(FIELDS)), np.int64)
    if shown:
        words[len(overview) :] = shown
    return MemoryBlock(overview, torch.cat(related), words)
