"""Plans what is asked and heard in a stream: questions of every kind, fillers, background sounds.

Each question is asked when it has one right answer, and leaves the assistant time for it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive_micropack import grammar
from omnilive_micropack.question import Question
from omnilive_micropack.questions import KINDS, ask
from omnilive_micropack.seeds import TEST_SEEDS, generator
from omnilive_micropack.sightings import LISTEN_S
from omnilive_micropack.sounds import SYNTHESIZERS
from omnilive_micropack.speech import SpokenItem, speak, speaker_of
from omnilive_micropack.truth import Asked, SoundEvent
from omnilive_micropack.voices import draw_voice
from omnilive_micropack.world import World

Rng = np.random.Generator

FIRST_S = 6.0
PAUSE_S = (6.0, 9.0)
"""Silence between the end of one question and the next: room for a short answer."""

FILLER_SHARE = 0.15
SOUND_SHARE = 0.25
"""Share of the pauses with a background sound."""

SOUND_S = (3.0, 5.0)
SOUND_GAP_S = 0.7
"""Silence between a background sound and the speech after it."""

LAST_WORDS_S = 6.0
"""Nothing is asked so shortly before the end that its answer cannot be given."""

TRIES = 3


@dataclass(frozen=True)
class Programme:
    """What is asked and heard in a stream, each in order of time."""

    asked: tuple[Asked, ...]
    spoken: tuple[SpokenItem, ...]
    sounds: tuple[SoundEvent, ...]


def plan(world: World, *, spoken: bool, sounds: bool = True) -> Programme:
    """The programme of a world, from its seed.

    Kinds of questions take turns as far as the world allows. Test worlds are asked with voices
    and in sentences that training never heard too.

    Args:
        world: asked about.
        spoken: whether questions are said, among fillers and sounds, or typed.
        sounds: False leaves background sounds out.

    Raises:
        SetupError: espeak-ng cannot be loaded.
    """
    rng = generator(world.seed, "programme")
    asked: list[Asked] = []
    said: list[SpokenItem] = []
    events: list[SoundEvent] = []
    counts: Counter[str] = Counter()
    at_s, free_s = FIRST_S, 0.0
    while at_s < world.duration_s - LAST_WORDS_S:
        pause_s = float(rng.uniform(*PAUSE_S))
        item: SpokenItem | None = None
        if spoken and rng.random() < FILLER_SHARE:
            item = _said(rng, world, _filler(rng, world), at_s, "filler")
        else:
            question = _question(rng, world, at_s, counts)
            if question is None:
                at_s += 1.0
                continue
            if spoken:
                item = _said(rng, world, question.text, at_s, "question")
                if item is None:
                    at_s += 1.0
                    continue
            counts[question.kind] += 1
            asked.append(Asked(question, item))
        end_s = at_s
        if item is not None:
            said.append(item)
            if sounds and rng.random() < SOUND_SHARE:
                events += _sound(rng, free_s, at_s)
            end_s = free_s = at_s + _seconds(item)
        at_s = round(end_s + pause_s, 1)
    return Programme(tuple(asked), tuple(said), tuple(events))


def _question(rng: Rng, world: World, at_s: float, counts: Counter[str]) -> Question | None:
    """A question of the kind asked least so far among those that can be asked."""
    order = [KINDS[i] for i in rng.permutation(len(KINDS))]
    for kind in sorted(order, key=lambda kind: counts[kind]):
        for _ in range(TRIES):
            question = ask(world, at_s, rng, kind)
            if question is not None:
                return question
    return None


def _filler(rng: Rng, world: World) -> str:
    while True:
        sentence = grammar.draw(rng)
        known = grammar.split(sentence.text) == grammar.TRAINING
        if not sentence.is_question and (world.holdout or known):
            return sentence.text


def _said(rng: Rng, world: World, text: str, at_s: float, kind: str) -> SpokenItem | None:
    """The item in a voice of its own; None when it would still sound after ``LISTEN_S``."""
    voice = draw_voice(rng, grammar.TEST if world.seed in TEST_SEEDS else grammar.TRAINING)
    item = SpokenItem(text, at_s, speaker=speaker_of(voice), kind=kind)
    return item if _seconds(item) <= LISTEN_S else None


def _seconds(item: SpokenItem) -> float:
    return len(speak(item.text, item.language, item.speaker)) / SAMPLE_RATE_HZ


def _sound(rng: Rng, free_s: float, speech_s: float) -> list[SoundEvent]:
    """A background sound that ends before the speech at ``speech_s``, if there is room for it."""
    labels = sorted(SYNTHESIZERS)
    end_s = speech_s - SOUND_GAP_S
    start_s = round(end_s - float(rng.uniform(*SOUND_S)), 2)
    if start_s < free_s:
        return []
    return [SoundEvent(labels[int(rng.integers(len(labels)))], start_s, end_s)]
