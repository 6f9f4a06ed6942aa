"""Questions about one moment of a world, with what the prompt then shows and what it answers.

Retrieval is simulated: the prompt holds the clips that some of the questions are about. It draws no
picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from omnilive_micropack.question import Question
from omnilive_micropack.questions import ask
from omnilive_micropack.story import make_world
from omnilive_micropack.training.context_answers import PRESENT, Asked, answerable, as_heard
from omnilive_micropack.training.context_frames import Clip, clips_until, shown_seconds
from omnilive_micropack.world import SHOWN, World

Rng = np.random.Generator

KIND_WEIGHTS: Mapping[str, float] = {
    "now": 4,
    "colour": 2,
    "count": 8,
    "where": 4,
    "when_order": 5,
    "changed": 4,
    "who": 4,
    "this": 3,
    "implicit": 2,
    "exists": 4,
    "not_seen": 4,
}
"""How often each kind is tried; some can seldom be asked."""

WORLD_SECONDS, LONG_WORLD_SECONDS = (20.0, 240.0), (240.0, 1800.0)
LONG_SHARE = 0.35
"""Worlds in which nearly every kind was seen, so that questions name colours too."""

EARLIEST_S = 4.0
SHOWN_SHARE, GROUP_SHARE = 0.3, 0.3
"""Moments at which something is held up, and at which there are several of a kind, of the worlds
in which that is so."""

GROUP = 2

NEWEST_SHARE, NEAR_MISS_SHARE = 0.3, 0.2
"""Contexts as a question about the present makes them, and as one does about a pair never shown
whose kind was: the newest clip is retrieved, or one with that kind. In the others it is the clips
of the evidence of a question, or of two."""

TWO_SHARE = 0.2
STRAY_SHARE = 0.3
"""Contexts that hold a clip nobody asks about, as retrieval may choose one."""


@dataclass(frozen=True)
class Context:
    """What a prompt is made of.

    Attributes:
        seconds: times of the frames shown.
        clips: the clips until then; ``retrieved`` are indices of those selected.
    """

    world: World
    at_s: float
    clips: tuple[Clip, ...]
    retrieved: tuple[int, ...]
    seconds: tuple[int, ...]
    asked: tuple[Asked, ...]


def draw_context(
    rng: Rng,
    seeds: range,
    questions: int,
    most_frames: int,
    kinds: Mapping[str, float] = KIND_WEIGHTS,
) -> Context:
    """A context with up to ``questions`` questions about a world with a seed of ``seeds``.

    ``kinds`` are those tried, each so often.
    """
    while True:
        between = LONG_WORLD_SECONDS if rng.random() < LONG_SHARE else WORLD_SECONDS
        seed = int(rng.integers(seeds.start, seeds.stop))
        world = make_world(seed, float(round(rng.uniform(*between))))
        at_s = _moment(rng, world)
        clips = clips_until(world, at_s)
        pool = _pool(rng, world, at_s, questions, kinds)
        retrieved = _retrieve(rng, world, pool, clips)
        seconds = shown_seconds(clips, retrieved, most_frames)
        asked = answerable(rng, world, pool, seconds, questions)
        if asked:
            heard = tuple(replace(item, text=as_heard(rng, item.text, "?")) for item in asked)
            return Context(world, at_s, tuple(clips), retrieved, seconds, heard)


def _moment(rng: Rng, world: World) -> float:
    """When it is asked; often while something is held up or there are several of a kind."""
    shown = [
        (stay.start_s, end)
        for scene in world.scenes
        for thing in scene.things
        for stay, end in thing.spans()
        if stay.place == SHOWN and end - stay.start_s > 7
    ]
    crowded = [
        (scene.start_s, scene.end_s)
        for scene in world.scenes
        if scene.end_s - scene.start_s > 8
        and max(Counter(thing.kind for thing in scene.things).values(), default=0) >= GROUP
    ]
    drawn = rng.random()
    chosen = shown if drawn < SHOWN_SHARE else crowded if drawn < SHOWN_SHARE + GROUP_SHARE else []
    if chosen:
        start, end = chosen[int(rng.integers(len(chosen)))]
        return float(rng.integers(int(start) + 2, int(end) - 4))
    return float(rng.integers(int(EARLIEST_S), int(world.duration_s)))


def _pool(
    rng: Rng, world: World, at_s: float, questions: int, kinds: Mapping[str, float]
) -> list[Question]:
    weights = np.array(list(kinds.values()), float)
    pool = []
    for kind in rng.choice(list(kinds), size=questions * 4, p=weights / weights.sum()):
        question = ask(world, at_s, rng, str(kind))
        if question is not None:
            pool.append(question)
    return pool


def _retrieve(
    rng: Rng, world: World, pool: Sequence[Question], clips: Sequence[Clip]
) -> tuple[int, ...]:
    """The clips that a session might select, of which ``pool`` are then asked."""
    drawn = rng.random()
    if drawn < NEWEST_SHARE:
        chosen = {len(clips) - 1}
    elif drawn < NEWEST_SHARE + NEAR_MISS_SHARE:
        chosen = _of_missed_kind(rng, world, pool, clips)
    else:
        chosen = _of_evidence(rng, pool, clips)
    if rng.random() < STRAY_SHARE:
        chosen.add(int(rng.integers(len(clips))))
    return tuple(sorted(chosen)[:4])


def _of_evidence(rng: Rng, pool: Sequence[Question], clips: Sequence[Clip]) -> set[int]:
    """A clip of each evidence of one question or two about the past."""
    chosen: set[int] = set()
    past = [q for q in pool if q.evidence and q.kind not in PRESENT]
    for _ in range(1 + int(rng.random() < TWO_SHARE) if past else 0):
        question = past[int(rng.integers(len(past)))]
        for start, end in question.evidence:
            there = [i for i, clip in enumerate(clips) if _overlaps(clip, start, end)]
            if there:
                chosen.add(there[int(rng.integers(len(there)))])
    return chosen


def _of_missed_kind(
    rng: Rng, world: World, pool: Sequence[Question], clips: Sequence[Clip]
) -> set[int]:
    """A clip with the kind that a question names about whose pair was never shown."""
    named = {word for q in pool if not q.evidence for word in q.text.split()}
    alike = [t for scene in world.scenes for t in scene.things if t.kind in named]
    there = [i for i, c in enumerate(clips) if any(t.visible(s) for t in alike for s in c.seconds)]
    return {there[int(rng.integers(len(there)))]} if there else set()


def _overlaps(clip: Clip, start: float, end: float) -> bool:
    return any(start <= second < end for second in clip.seconds)
