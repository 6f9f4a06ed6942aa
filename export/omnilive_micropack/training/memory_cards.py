"""The memory's first lessons: many single frames taken for clips, and questions that name a thing.

A clip of one frame costs a tenth of a whole one, so that what global memory and questions have in
common is met ten times as often. It draws no network's weights and knows no long-term memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnilive_micropack.question import Question
from omnilive_micropack.questions import ask
from omnilive_micropack.training.memory_batches import is_named
from omnilive_micropack.training.memory_data import Bools, EncodedClip, EncodedWorld
from omnilive_micropack.training.memory_labels import (
    ATTRIBUTES,
    COLOUR_AT,
    HOLDER_AT,
    PRESENT,
    Bits,
)
from omnilive_micropack.training.vision_labels import KINDS
from omnilive_micropack.vocabulary import COLOURS

NAMED_KINDS = (
    *("colour", "implicit", "who", "when_order"),
    *("where", "where", "where", "exists", "exists"),
)
"""Those that name kind and colour most often are the hardest to learn."""

TRIES = 4
"""Draws per question wanted: not every kind can be asked at every moment."""

LONGEST_OFFSET_S = 6600


@dataclass(frozen=True, eq=False)
class Cards:
    """Frames and questions about what some of them show.

    Attributes:
        texts: the questions.
        kinds: what each is about: bool [questions, kinds].
        right: which frames show that: bool [questions, frames], each at least once.
    """

    clips: tuple[EncodedClip, ...]
    texts: tuple[str, ...]
    kinds: Bools
    right: Bools
    offset_s: int


def draw_cards(worlds: Sequence[EncodedWorld], rng: np.random.Generator, questions: int) -> Cards:
    """Every frame of glimpsed worlds, and questions; fewer when few are to be found."""
    clips = tuple(clip for encoded in worlds for clip in encoded.clips)
    shown = np.stack([clip.bits.max(axis=(0, 1)) for clip in clips])
    while True:
        texts, kinds, right = [], [], []
        for question, world in _draw_questions(worlds, rng, questions):
            about, found = _shown_in(question, world, shown)
            if found.any():
                texts.append(question.text)
                kinds.append(about)
                right.append(found)
        if texts:
            offset_s = int(rng.integers(LONGEST_OFFSET_S))
            return Cards(clips, tuple(texts), np.stack(kinds), np.stack(right), offset_s)


def _draw_questions(
    worlds: Sequence[EncodedWorld], rng: np.random.Generator, count: int
) -> list[tuple[Question, EncodedWorld]]:
    found: list[tuple[Question, EncodedWorld]] = []
    for _ in range(TRIES * count):
        encoded = worlds[int(rng.integers(len(worlds)))]
        at_s = float(rng.uniform(20, encoded.world.duration_s - 5))
        question = ask(encoded.world, at_s, rng, NAMED_KINDS[int(rng.integers(len(NAMED_KINDS)))])
        if question is not None and question.evidence and is_named(question):
            found.append((question, encoded))
        if len(found) == count:
            break
    return found


def _shown_in(question: Question, encoded: EncodedWorld, shown: Bits) -> tuple[Bools, Bools]:
    """The kinds a question is about, and which of the frames show just what it names."""
    things = {t.id: t for scene in encoded.world.scenes for t in scene.things}
    objects = [things[i].kind for i in question.referents if not things[i].is_figure]
    kinds = np.zeros(len(KINDS), bool)
    kinds[[KINDS.index(kind) for kind in objects]] = True
    rows = shown[:, kinds]
    there = rows[..., PRESENT] > 0
    words = question.text.split()
    for i, colour in enumerate(COLOURS):
        if colour in words:
            there &= rows[..., COLOUR_AT + i] > 0
    if question.form == "who_did":
        there &= rows[..., HOLDER_AT:ATTRIBUTES].max(axis=-1) > 0
    found: Bools = there.max(axis=1) > 0
    return kinds, found
