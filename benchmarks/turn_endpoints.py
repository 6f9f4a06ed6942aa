"""When the end of an utterance is decided: held-out speech through the VAD and the endpointer.

Everything is in stream time and follows from the samples alone. The sentences have pauses in them
(``turn_pauses``); an endpoint that falls into one splits the sentence unless the speech that goes
on is joined to it. Whether it is depends on how soon an answer sounds: here every answer is ready
at once and sounds as soon as the runtime lets it, which no pack does sooner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from omnilive.perception.config import VadConfig
from omnilive.perception.endpoint import (
    Endpointer,
    SpeechContinued,
    SpeechEnded,
    SpeechStarted,
)
from omnilive.perception.vad import CHUNK_SAMPLES, SileroVad
from omnilive.sources.types import Pcm, samples_to_us
from omnilive_micropack.audio_data import Surroundings
from omnilive_micropack.seeds import generator
from omnilive_micropack.speech import voiced_span
from scoring.audio import STREAM_UTTERANCES, Split, compose, takes
from turn_pauses import PausedTake, with_pauses

BLOCK = 320
"""Samples that come at a time: 20 ms, as the page sends them."""

PRESET = "edge"


@dataclass(frozen=True, eq=False)
class Track:
    """A stretch of stream with sentences in it.

    Attributes:
        probabilities: the VAD's, one per chunk.
        spans: first voiced sample of each sentence and the one after its last.
        pauses_ms: of the pause in it, 0 for none.
    """

    probabilities: np.ndarray
    spans: tuple[tuple[int, int], ...]
    pauses_ms: tuple[float, ...]


@dataclass(frozen=True)
class Endpoints:
    """What was found; lists have an entry per sentence said but where it says otherwise.

    Attributes:
        pauses_ms: of the pause in it, 0 for none.
        early: whether an endpoint was decided before its last word was over.
        split: whether no transcript holds all its words: it was heard as more than one utterance,
            or an end of it in none.
        missed: whether it was not heard at all.
        delays_ms: from the last voiced sample to the endpoint that stood, of those not split.
        joined_ms: per endpoint that did not stand, from it to when the utterance was known to go
            on: what was begun in that time was void.
        held_ms: from each endpoint that stood to when an answer may sound.
    """

    pauses_ms: tuple[float, ...]
    early: tuple[bool, ...]
    split: tuple[bool, ...]
    missed: tuple[bool, ...]
    delays_ms: tuple[float, ...]
    joined_ms: tuple[float, ...]
    held_ms: tuple[float, ...]


@dataclass(eq=False)
class _Heard:
    """An utterance, microseconds: when its ends were decided, when an answer may sound.

    Attributes:
        span: samples of the stream in its transcript, as of its last end.
    """

    span: tuple[int, int] = (0, 0)
    ends_us: list[int] = field(default_factory=list)
    joined_us: list[int] = field(default_factory=list)
    sounds_us: int | None = None


def say_sentences(seed: int, count: int) -> list[Track]:
    """``count`` held-out sentences in held-out voices over noise at 20 dB, as the VAD hears."""
    rng = generator(seed, "turns")
    surroundings = Surroundings(seed)
    said = with_pauses(takes(seed, count, Split.TEST, seen_voices=False), seed)
    return [
        _track(said[at : at + STREAM_UTTERANCES], surroundings, rng)
        for at in range(0, len(said), STREAM_UTTERANCES)
    ]


def measure_endpoints(tracks: Sequence[Track], config: VadConfig) -> Endpoints:
    """What the endpointer makes of them."""
    pauses: list[float] = []
    early: list[bool] = []
    split: list[bool] = []
    missed: list[bool] = []
    delays: list[float] = []
    joined: list[float] = []
    held: list[float] = []
    for track in tracks:
        utterances = _listen(track, config)
        for heard in utterances:
            joined += [us / 1000 for us in heard.joined_us]
            if heard.sounds_us is not None:
                held.append((heard.sounds_us - heard.ends_us[-1]) / 1000)
        for span, pause_ms in zip(track.spans, track.pauses_ms, strict=True):
            end_us = samples_to_us(span[1])
            mine = [h for h in utterances if h.span[0] < span[1] and h.span[1] > span[0]]
            whole = len(mine) == 1 and mine[0].span[0] <= span[0] and mine[0].span[1] >= span[1]
            pauses.append(pause_ms)
            missed.append(not mine)
            split.append(bool(mine) and not whole)
            early.append(any(us < end_us for h in mine for us in h.ends_us))
            if whole:
                delays.append((mine[0].ends_us[-1] - end_us) / 1000)
    return Endpoints(
        *(tuple(flags) for flags in (pauses, early, split, missed)),
        *(tuple(values) for values in (delays, joined, held)),
    )


def _track(
    part: Sequence[PausedTake], surroundings: Surroundings, rng: np.random.Generator
) -> Track:
    samples, spans = compose([said.take for said in part], surroundings, rng)
    vad = SileroVad()
    chunks = len(samples) // CHUNK_SAMPLES
    voiced = [voiced_span(said.take.speech.samples) for said in part]
    return Track(
        np.array([vad(c) for c in samples[: chunks * CHUNK_SAMPLES].reshape(chunks, -1)]),
        tuple((b + first, b + last) for (b, _), (first, last) in zip(spans, voiced, strict=True)),
        tuple(said.pause_ms for said in part),
    )


def _listen(track: Track, config: VadConfig) -> list[_Heard]:
    """The utterances of a track, each answered as soon as its answer may sound."""
    probabilities = iter(track.probabilities)
    endpointer = Endpointer(config, lambda chunk: float(next(probabilities)))
    silence = np.zeros(BLOCK, np.float32)
    found: dict[int, _Heard] = {}
    unanswered: set[int] = set()
    total = len(track.probabilities) * CHUNK_SAMPLES
    for at in range(0, total, BLOCK):
        pcm = Pcm(samples_to_us(at), silence[: total - at])
        heard_to = (at + len(pcm.samples)) // CHUNK_SAMPLES * CHUNK_SAMPLES
        for event in endpointer.push(pcm):
            if isinstance(event, SpeechStarted):
                found[event.index] = _Heard()
            elif isinstance(event, SpeechContinued):
                one = found[event.index]
                one.joined_us.append(pcm.end_us - one.ends_us[-1])
                unanswered.discard(event.index)
            elif isinstance(event, SpeechEnded):
                index, one = event.utterance.index, found[event.utterance.index]
                one.ends_us.append(pcm.end_us)
                one.span = (heard_to - len(event.utterance.samples), heard_to)
                unanswered.add(index)
        for index in [i for i in unanswered if not endpointer.may_go_on(i)]:
            endpointer.seal(index)
            found[index].sounds_us = pcm.end_us
            unanswered.discard(index)
    return [one for one in found.values() if one.ends_us]
