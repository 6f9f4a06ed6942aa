"""Sentences as people say them: a third with a pause between two words. It measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive_micropack.audio_data import Take
from omnilive_micropack.seeds import generator

PAUSED_SHARE = 1 / 3
PAUSES_MS = (200, 600)
"""A speaker who looks for a word or takes a breath; drawn evenly, so that long ones, which are the
rarer ones in speech, count as much as short ones."""

FADE = 80
"""Samples over which the voice falls silent and comes back: 5 ms, so that a cut makes no click."""


@dataclass(frozen=True, eq=False)
class PausedTake:
    """A sentence said, and the pause in it.

    Attributes:
        pause_ms: 0 for none.
    """

    take: Take
    pause_ms: float


def with_pauses(takes: Sequence[Take], seed: int) -> list[PausedTake]:
    """Put a pause of ``PAUSES_MS`` before a word other than the first, in a third of ``takes``."""
    rng = generator(seed, "pauses")
    return [_with_pause(take, rng) for take in takes]


def _with_pause(take: Take, rng: np.random.Generator) -> PausedTake:
    words = take.speech.words
    pause_ms, chance = rng.uniform(*PAUSES_MS), rng.random()
    word = int(rng.integers(1, max(2, len(words))))
    if chance >= PAUSED_SHARE or len(words) < 2:
        return PausedTake(take, 0.0)
    at, pause = int(words[word, 0]), round(pause_ms * SAMPLE_RATE_HZ / 1000)
    samples = take.speech.samples.astype(np.float32)
    before, after = samples[:at].copy(), samples[at:].copy()
    rise = np.linspace(0.0, 1.0, FADE, dtype=np.float32)
    before[-FADE:] *= rise[::-1][-len(before) :]
    after[:FADE] *= rise[: len(after)]
    moved = words.copy()
    moved[word:] += pause
    speech = replace(
        take.speech,
        samples=np.concatenate([before, np.zeros(pause, np.float32), after]),
        words=moved,
        phoneme_starts=np.where(
            take.speech.phoneme_starts >= at,
            take.speech.phoneme_starts + pause,
            take.speech.phoneme_starts,
        ),
    )
    return PausedTake(replace(take, speech=speech), pause_ms)
