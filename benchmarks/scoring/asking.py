"""Chooses what is asked about a world and when: so many questions of every kind, spread over it.

It sees the truth, as whoever asks must; what answers never gets more than the words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omnilive_micropack.question import Question
from omnilive_micropack.questions import KINDS, ask
from omnilive_micropack.seeds import generator
from omnilive_micropack.world import World
from scoring.bars import AGES_S

TRIES = 120
"""Moments tried for each question wanted: some kinds are rarely possible."""

EARLIEST_SHARE = 0.1
"""Of a stream: questions begin so late, when there is something to remember."""

LAST_S = 7.0
"""No question begins so near the end that the world cannot stay as it is."""


def questions_of_kinds(world: World, per_kind: int) -> list[Question]:
    """Up to ``per_kind`` questions of every kind, no two alike at the same second."""
    rng = generator(world.seed, "questions of every kind")
    return [q for kind in KINDS for q in _drawn(world, rng, (kind,), per_kind, None)]


def questions_of_ages(world: World, per_age: int) -> list[Question]:
    """Up to ``per_age`` questions for each age of ``AGES_S`` that the world is long enough for."""
    rng = generator(world.seed, "questions of every age")
    found = []
    for lower, upper in zip((0, *AGES_S), AGES_S, strict=False):
        if lower < world.duration_s:
            found += _drawn(world, rng, KINDS, per_age, (lower, upper))
    return found


def age_s(question: Question) -> float:
    """From the last moment of the evidence to the question; of one that has evidence."""
    return question.asked_s - max(end for _, end in question.evidence)


def by_second(questions: Sequence[Question]) -> dict[int, list[Question]]:
    """The questions by the last whole second before them, whose frame is the last one seen."""
    found: dict[int, list[Question]] = {}
    for question in questions:
        found.setdefault(int(question.asked_s), []).append(question)
    return found


def _drawn(
    world: World,
    rng: np.random.Generator,
    kinds: Sequence[str],
    count: int,
    ages_s: tuple[float, float] | None,
) -> list[Question]:
    """``count`` questions of ``kinds`` in turn, with evidence of an age if one is given."""
    earliest = max(10.0, EARLIEST_SHARE * world.duration_s, ages_s[0] if ages_s else 0.0)
    found: dict[tuple[int, str], Question] = {}
    for i in range(count * TRIES):
        if len(found) == count:
            break
        at_s = float(rng.uniform(earliest, world.duration_s - LAST_S))
        question = ask(world, at_s, rng, kinds[i % len(kinds)])
        if question is not None and _is_aged(question, ages_s):
            found.setdefault((int(at_s), question.text), question)
    return list(found.values())


def _is_aged(question: Question, ages_s: tuple[float, float] | None) -> bool:
    if ages_s is None:
        return True
    return bool(question.evidence) and ages_s[0] < age_s(question) <= ages_s[1]
