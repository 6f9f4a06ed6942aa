"""One step's lesson for the memory: clips of one world, and questions asked at one moment of it.

It decides what is asked and which clips show the answer; it knows no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnilive_micropack.question import Question
from omnilive_micropack.questions import ask
from omnilive_micropack.training.memory_data import Bools, EncodedClip, EncodedWorld
from omnilive_micropack.training.vision_labels import KINDS
from omnilive_micropack.world import SHOWN

KIND_WEIGHTS = {
    "now": 1.0,
    "colour": 1.0,
    "count": 1.0,
    "where": 5.0,
    "when_order": 2.5,
    "changed": 1.0,
    "who": 3.0,
    "this": 1.0,
    "implicit": 2.0,
    "exists": 3.0,
}
"""How often each kind of question is tried; those about the present are found less often."""

TRIES = 64
MOST_QUESTIONS = 24
MOST_CLIPS = 14
SHOWN_SHARE = 0.25
"""Of the moments: those at which something is held up, if it ever is."""

WINDOWS = ((0, 0.05), (4, 0.1), (12, 0.25), (32, 0.6))
"""Longest long-term memory, with how often it is no longer than that."""

LONGEST_OFFSET_S = 6600
"""Streams are made to begin so late at most, so that clips hours back are met in training."""


@dataclass(frozen=True, eq=False)
class AskedQuestion:
    """A question and what shows its answer.

    Attributes:
        shows: bool [clips of the lesson].
        kinds: the kinds of what it is about: bool [kinds].
        named: whether it is about what it is about wherever that was, and not about the present
            or a room, so that another world's clips without those kinds are wrong for it.
    """

    question: Question
    shows: Bools
    kinds: Bools
    named: bool


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one step learns from.

    Attributes:
        clips: in order of time; the last ``window`` are in long-term memory.
        offset_s: what is added to every clip's time.
    """

    clips: tuple[EncodedClip, ...]
    window: int
    questions: tuple[AskedQuestion, ...]
    offset_s: int


def draw_lesson(worlds: Sequence[EncodedWorld], rng: np.random.Generator) -> Lesson:
    """A lesson from one of the worlds."""
    while True:
        encoded = worlds[int(rng.integers(len(worlds)))]
        at_s = _moment(encoded, rng)
        found = _ask(encoded, at_s, rng)
        if found:
            return _lesson(encoded, at_s, found, rng)


def draw_clips(
    worlds: Sequence[EncodedWorld], rng: np.random.Generator, count: int
) -> list[EncodedClip]:
    """Clips of any of the worlds."""
    clips = [clip for encoded in worlds for clip in encoded.clips]
    return [clips[int(rng.integers(len(clips)))] for _ in range(count)]


def _moment(encoded: EncodedWorld, rng: np.random.Generator) -> float:
    shown = [
        (thing.start_s + 2, thing.end_s - 4)
        for scene in encoded.world.scenes
        for thing in scene.things
        if thing.stays[0].place == SHOWN and thing.end_s - thing.start_s > 6
    ]
    if shown and rng.random() < SHOWN_SHARE:
        start, end = shown[int(rng.integers(len(shown)))]
        return float(rng.uniform(start, end))
    return float(rng.uniform(20, encoded.world.duration_s - 5))


def _ask(encoded: EncodedWorld, at_s: float, rng: np.random.Generator) -> list[Question]:
    names = list(KIND_WEIGHTS)
    weights = np.array(list(KIND_WEIGHTS.values()))
    found: list[Question] = []
    for name in rng.choice(names, size=TRIES, p=weights / weights.sum()):
        question = ask(encoded.world, at_s, rng, str(name))
        if question is not None and question.evidence:
            found.append(question)
        if len(found) == MOST_QUESTIONS:
            break
    return found


def _lesson(
    encoded: EncodedWorld, at_s: float, found: list[Question], rng: np.random.Generator
) -> Lesson:
    clips = seen_clips(encoded.clips, at_s)
    window = min(len(clips), _window(rng))
    chosen = set(range(len(clips) - window, len(clips)))
    evidence = {i for q in found for i, clip in enumerate(clips) if overlaps(clip, q.evidence)}
    for pool in (sorted(evidence), range(len(clips))):
        others = [i for i in pool if i not in chosen]
        room = max(0, max(MOST_CLIPS, window + 4) - len(chosen))
        if others and room:
            picked = rng.permutation(len(others))[:room]
            chosen |= {others[int(i)] for i in picked}
    kept = [clips[i] for i in sorted(chosen)]
    kind_of = {t.id: t.kind for scene in encoded.world.scenes for t in scene.things}
    asked = []
    for question in found:
        shows = np.array([overlaps(clip, question.evidence) for clip in kept])
        if shows.any():
            kinds = np.zeros(len(KINDS), bool)
            kinds[[KINDS.index(kind_of[i]) for i in question.referents]] = True
            asked.append(AskedQuestion(question, shows, kinds, is_named(question)))
    return Lesson(tuple(kept), window, tuple(asked), int(rng.integers(LONGEST_OFFSET_S)))


def _window(rng: np.random.Generator) -> int:
    sizes = [size for size, _ in WINDOWS]
    chosen = int(rng.choice(len(sizes), p=[share for _, share in WINDOWS]))
    least = 0 if chosen == 0 else sizes[chosen - 1] + 1
    return int(rng.integers(least, sizes[chosen] + 1))


def seen_clips(clips: Sequence[EncodedClip], at_s: float) -> tuple[EncodedClip, ...]:
    """The clips begun by ``at_s``, the last of them as far as it was seen."""
    begun = [clip for clip in clips if clip.start_s <= at_s]
    return (*begun[:-1], begun[-1].until(at_s))


def overlaps(clip: EncodedClip, evidence: Sequence[tuple[float, float]]) -> bool:
    """Whether a frame of the clip lies within the evidence."""
    return any(clip.start_s < end and start < clip.end_s for start, end in evidence)


def is_named(question: Question) -> bool:
    """See ``AskedQuestion.named``."""
    named_kinds = ("colour", "where", "implicit", "exists")
    return question.kind in named_kinds or question.form in ("when", "who_did")
