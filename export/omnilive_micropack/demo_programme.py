"""What the demo's user says: a question of each sort a newcomer should see, and when.

It takes any world; what a world has nothing to ask about is left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive_micropack.programme import Programme
from omnilive_micropack.question import Question
from omnilive_micropack.questions import ask
from omnilive_micropack.seeds import generator
from omnilive_micropack.speech import SPEAKERS, SpokenItem, speak
from omnilive_micropack.templates import SLOTS
from omnilive_micropack.truth import Asked
from omnilive_micropack.world import World

Rng = np.random.Generator

FIRST_S = 7.0
PAUSE_S = 6.0
"""From the end of one question to the next: room for an answer."""

BARGE_IN_S = 1.5
"""From the end of a question to one that interrupts its answer."""

TYPED_BEFORE_END_S = 7.0
LONG_AGO_S = 60.0
FILLER = "um okay"
FILLER_AFTER = 2
BARGE_IN_AFTER = 4
"""After so many questions comes the filler, or the interruption."""

TRIES = 8


@dataclass(frozen=True)
class _Wish:
    """A sort of question: one of ``kinds`` that ``suits``."""

    kinds: tuple[str, ...]
    suits: Callable[[Question], bool] = lambda question: True


def _seen_long_ago(question: Question) -> bool:
    ends = [end_s for _, end_s in question.evidence]
    return bool(ends) and question.asked_s - max(ends) > LONG_AGO_S


def _weather_or_warmth(question: Question) -> bool:
    words = set(question.text.split())
    return bool(words & {"weather", "heat", "warm"})


def _several(question: Question) -> bool:
    return question.answer != "one"


WISHES = (
    _Wish(("this",)),
    _Wish(("where", "colour", "who"), _seen_long_ago),
    _Wish(("implicit",), _weather_or_warmth),
    _Wish(("count",), _several),
    _Wish(("who",)),
    _Wish(("now",)),
    _Wish(("colour",)),
    _Wish(("not_seen",), lambda question: not question.implicit),
)
"""Most wanted first: those that few moments suit."""


def demo_programme(world: World) -> Programme:
    """The programme: spoken questions, a filler, an interruption and a typed question.

    Raises:
        SetupError: espeak-ng cannot be loaded.
    """
    rng = generator(world.seed, "demo")
    wishes = list(WISHES)
    asked: list[Asked] = []
    spoken: list[SpokenItem] = []
    at_s = FIRST_S
    typed_s = world.duration_s - TYPED_BEFORE_END_S
    while wishes and at_s < typed_s - 2 * PAUSE_S:
        question = _wished(rng, world, at_s, wishes)
        if question is None:
            at_s += 0.5
            continue
        at_s = _say(asked, spoken, question) + PAUSE_S
        if len(asked) == FILLER_AFTER:
            spoken.append(SpokenItem(FILLER, at_s, speaker=SPEAKERS[1], kind="filler"))
            at_s += PAUSE_S
        elif len(asked) == BARGE_IN_AFTER:
            at_s = _interrupt(rng, world, asked, spoken, at_s - PAUSE_S + BARGE_IN_S) + PAUSE_S
    last = _any(rng, world, typed_s, ("changed", "where", "colour"))
    if last is not None:
        asked.append(Asked(last, None))
    return Programme(tuple(asked), tuple(spoken), ())


def _wished(rng: Rng, world: World, at_s: float, wishes: list[_Wish]) -> Question | None:
    """A question that grants a wish, which is then no longer open."""
    for wish in wishes:
        for kind in wish.kinds:
            for _ in range(TRIES):
                question = ask(world, at_s, rng, kind)
                if question is not None and wish.suits(question):
                    wishes.remove(wish)
                    return question
    return None


def _any(rng: Rng, world: World, at_s: float, kinds: tuple[str, ...]) -> Question | None:
    asked = (ask(world, at_s, rng, kind) for kind in kinds for _ in range(TRIES))
    return next((question for question in asked if question is not None), None)


def _interrupt(
    rng: Rng, world: World, asked: list[Asked], spoken: list[SpokenItem], at_s: float
) -> float:
    question = _any(rng, world, at_s, ("where", "colour"))
    if question is None:
        return at_s
    words = question.text
    if not words.startswith(SLOTS["opener"]):
        words = f"wait {words}"
    return _say(asked, spoken, dataclasses.replace(question, text=words))


def _say(asked: list[Asked], spoken: list[SpokenItem], question: Question) -> float:
    """Add a question in the next voice; return when it ends."""
    speaker = SPEAKERS[len(asked) % len(SPEAKERS)]
    item = SpokenItem(question.text, question.asked_s, speaker=speaker)
    asked.append(Asked(question, item))
    spoken.append(item)
    return question.asked_s + len(speak(item.text, item.language, speaker)) / SAMPLE_RATE_HZ
