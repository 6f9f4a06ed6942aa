"""When the end of an utterance is decided: held-out speech through the VAD and the endpointer.

Everything is in stream time and follows from the samples alone. An endpoint that comes too early
splits an utterance unless speech goes on within the grace and before the answer can be heard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnilive.config import load_config
from omnilive.perception.config import VadConfig
from omnilive.perception.endpoint import (
    Endpointer,
    SpeechContinued,
    SpeechEnded,
    SpeechStarted,
)
from omnilive.perception.vad import SileroVad
from omnilive.sources.types import Pcm, samples_to_us
from omnilive_micropack.audio_data import Surroundings
from omnilive_micropack.seeds import generator
from omnilive_micropack.speech import voiced_span
from scoring.audio import STREAM_UTTERANCES, Split, compose, takes

BLOCK = 512
AUDIBLE_US = 400_000
"""The answer is taken to be audible this long after an endpoint, which ends the utterance for
good: sooner than any measured so far, so that the grace is not given more than it has."""


@dataclass(frozen=True)
class Endpoints:
    """What was found, one entry per utterance said.

    Attributes:
        delays_ms: from the last voiced sample to the endpoint that stood, of those not split.
        early: whether an endpoint was decided before the last voiced sample.
        split: whether it was heard as more than one utterance.
        missed: whether it was not heard at all.
    """

    delays_ms: tuple[float, ...]
    early: tuple[bool, ...]
    split: tuple[bool, ...]
    missed: tuple[bool, ...]


@dataclass(frozen=True)
class _Heard:
    """An utterance: from where it was heard, and when its ends were decided, microseconds."""

    onset_us: int
    ends_us: tuple[int, ...]


def measure_endpoints(seed: int, count: int, config: VadConfig | None = None) -> Endpoints:
    """Say ``count`` held-out sentences in held-out voices over noise at 20 dB."""
    config = config or load_config("edge").vad
    rng = generator(seed, "turns")
    surroundings = Surroundings(seed)
    said = takes(seed, count, Split.TEST, seen_voices=False)
    delays: list[float] = []
    early: list[bool] = []
    split: list[bool] = []
    missed: list[bool] = []
    for at in range(0, len(said), STREAM_UTTERANCES):
        part = said[at : at + STREAM_UTTERANCES]
        track, spans = compose(part, surroundings, rng)
        heard = _heard(track, config)
        for take, (begin, _) in zip(part, spans, strict=True):
            first, last = voiced_span(take.speech.samples)
            start_us, end_us = samples_to_us(begin + first), samples_to_us(begin + last)
            mine = [h for h in heard if h.onset_us < end_us and h.ends_us[-1] > start_us]
            missed.append(not mine)
            split.append(len(mine) > 1)
            early.append(any(e < end_us for h in mine for e in h.ends_us))
            if len(mine) == 1 and mine[0].ends_us[-1] >= end_us:
                delays.append((mine[0].ends_us[-1] - end_us) / 1000)
    return Endpoints(tuple(delays), tuple(early), tuple(split), tuple(missed))


def _heard(track: np.ndarray, config: VadConfig) -> list[_Heard]:
    """What the endpointer makes of a track when every utterance is answered."""
    endpointer = Endpointer(config, SileroVad())
    found: dict[int, _Heard] = {}
    seals: dict[int, int] = {}
    for at in range(0, len(track), BLOCK):
        pcm = Pcm(samples_to_us(at), track[at : at + BLOCK])
        for index, due_us in list(seals.items()):
            if pcm.pts_us >= due_us:
                endpointer.seal(index)
                del seals[index]
        for event in endpointer.push(pcm):
            if isinstance(event, SpeechStarted):
                found[event.index] = _Heard(event.onset_us, ())
            elif isinstance(event, SpeechContinued):
                seals.pop(event.index, None)
            elif isinstance(event, SpeechEnded):
                index = event.utterance.index
                ends_us = (*found[index].ends_us, pcm.end_us)
                found[index] = _Heard(found[index].onset_us, ends_us)
                seals[index] = pcm.end_us + AUDIBLE_US
    return [one for one in found.values() if one.ends_us]
