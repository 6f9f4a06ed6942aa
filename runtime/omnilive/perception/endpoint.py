"""Decides where utterances begin and end in a stream of audio. It never runs a model of words.

A state machine over the VAD's 32 ms chunks. Everything is decided per chunk of the stream, so
the size of the blocks it gets changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from omnilive._native import PcmRing
from omnilive.engine.interface import F32
from omnilive.perception.config import VadConfig
from omnilive.perception.vad import CHUNK_SAMPLES
from omnilive.sources.types import Pcm, samples_to_us, us_to_samples


@dataclass(frozen=True, eq=False)
class Utterance:
    """One stretch of speech, or one part of a long one.

    Attributes:
        index: counts utterances from 0; the parts of a split one share it.
        start_us: onset by the VAD's view; of a later part, where it was cut.
        end_us: just after the last voiced sample by the VAD's view.
        samples: float32 [n], 16 kHz: pre-roll to endpoint, at most the configured maximum.
        is_split: cut at the maximum length; the next part follows without a gap.
    """

    index: int
    start_us: int
    end_us: int
    samples: F32
    is_split: bool


@dataclass(frozen=True, eq=False)
class SpeechStarted:
    """Somebody began to speak at ``onset_us``.

    Attributes:
        background: float32 [m], 16 kHz, the non-speech heard before.
    """

    index: int
    onset_us: int
    background: F32


@dataclass(frozen=True)
class SpeechContinued:
    """An utterance that had ended goes on: it will end again, with all its samples."""

    index: int


@dataclass(frozen=True, eq=False)
class SpeechEnded:
    """An utterance, or a part of one, is complete."""

    utterance: Utterance


EndpointEvent = SpeechStarted | SpeechContinued | SpeechEnded


class _State(Enum):
    IDLE = auto()
    RISING = auto()
    """A voiced run, too short so far to count."""

    SPEAKING = auto()
    """In an utterance, voiced or in a pause shorter than the endpoint silence."""


@dataclass(frozen=True, eq=False)
class _Open:
    """The utterance being heard, or the last one while it may be reopened."""

    index: int
    start: int
    """First sample, pre-roll included."""

    onset: int


class Endpointer:
    """Utterances out of PCM blocks. Positions are sample indices since the first block."""

    def __init__(self, config: VadConfig, vad: Callable[[F32], float]) -> None:
        """Start with silence.

        Args:
            config: thresholds and durations.
            vad: speech probability of float32 [512], called once per chunk, in order.
        """
        config.validate()
        self._threshold = config.threshold
        self._neg_threshold = config.neg_threshold
        self._min_speech = _samples(config.min_speech_ms)
        self._silence = _samples(config.endpoint_silence_ms)
        self._pre_roll = _samples(config.pre_roll_ms)
        self._grace = _samples(config.reopen_grace_ms)
        self._hold = _samples(config.answer_hold_ms)
        self._longest = _samples(config.max_utterance_ms)
        self._guard = _samples(config.background_guard_ms)
        self._vad = vad
        # The farthest look back: to the start of the longest utterance when speech reopens it.
        reach = self._longest + self._grace + self._min_speech
        self._ring = PcmRing(reach + self._pre_roll + self._guard + 4 * CHUNK_SAMPLES)
        self._background = PcmRing(_samples(config.background_ms))
        self._background_to = 0
        self._recent: deque[tuple[int, float]] = deque(
            maxlen=max(1, _samples(config.split_search_ms) // CHUNK_SAMPLES)
        )
        self._origin_us = 0
        self._at = 0
        self._state = _State.IDLE
        self._run_start = 0
        self._voiced_end = 0
        self._stray: deque[int] = deque()
        self._open: _Open | None = None
        self._ended_at = 0
        self._last_voice = 0
        self._count = 0
        self._sealed = -1
        self._over = False

    @property
    def reopen_us(self) -> int:
        """How long after an endpoint speech may turn out to continue the utterance.

        Microseconds: the grace, and the time it takes to know that it is speech.
        """
        return samples_to_us(self._grace + self._min_speech) if self._grace else 0

    def may_go_on(self, index: int) -> bool:
        """Whether utterance ``index``, which has ended, had better not be answered aloud yet.

        By the stream as far as it was heard: ``answer_hold_ms`` after its endpoint, and while a
        voice is heard within the grace that may turn out to go on with it.
        """
        last = self._open
        if last is None or last.index != index or index <= self._sealed:
            return False
        if self._over or not self._grace:
            return False
        if self._state is _State.IDLE:
            return self._at - self._ended_at < self._hold
        return self._state is _State.SPEAKING or self._run_start - self._ended_at <= self._grace

    def push(self, pcm: Pcm) -> list[EndpointEvent]:
        """Take one block, contiguous with the one before; return what it brought about."""
        if self._ring.written == 0:
            self._origin_us = pcm.pts_us
        events: list[EndpointEvent] = []
        rest = pcm.samples
        while len(rest):
            missing = self._at + CHUNK_SAMPLES - self._ring.written
            self._ring.push(rest[:missing])
            rest = rest[missing:]
            if self._ring.written == self._at + CHUNK_SAMPLES:
                events += self._take_chunk()
        return events

    def finish(self) -> list[EndpointEvent]:
        """The stream is over: an open utterance ends here, with its last samples."""
        self._over = True
        if self._state is not _State.SPEAKING or self._open is None:
            return []
        self._at = self._ring.written
        return [self._end(self._open)]

    def seal(self, index: int) -> None:
        """Utterance ``index`` and those before it are over: never reopen them."""
        self._sealed = max(self._sealed, index)

    def _take_chunk(self) -> list[EndpointEvent]:
        start, self._at = self._at, self._at + CHUNK_SAMPLES
        probability = self._vad(self._ring.read(start, CHUNK_SAMPLES))
        self._recent.append((start, probability))
        if self._state is _State.SPEAKING and self._open is not None:
            return self._go_on(self._open, start, probability)
        rising = self._state is _State.RISING
        if probability >= (self._neg_threshold if rising else self._threshold):
            if not rising:
                self._state = _State.RISING
                self._run_start = start
            if self._at - self._run_start >= self._min_speech:
                return self._begin()
        else:
            if rising:
                while self._stray and self._stray[0] < self._run_start - self._grace:
                    self._stray.popleft()
                self._stray.append(self._run_start)
            self._state = _State.IDLE
            self._hear_background(self._at - self._guard)
        return []

    def _begin(self) -> list[EndpointEvent]:
        self._state = _State.SPEAKING
        self._voiced_end = self._at
        last = self._open
        if (
            last is not None
            and last.index > self._sealed
            and self._run_start - self._ended_at <= self._grace
            and self._grace
        ):
            return self._reopen(last)
        # What the previous utterance said must not be said again by this one's pre-roll.
        start = max(min(self._run_start - self._pre_roll, self._first_word()), self._last_voice)
        background = self._background.read(self._background.oldest, len(self._background))
        self._open = _Open(self._count, start, self._run_start)
        self._count += 1
        return [SpeechStarted(self._open.index, self._time_us(self._run_start), background)]

    def _first_word(self) -> int:
        """Where a voice began that was too short to count, if speech has followed in time.

        A short word and then a pause: the voiced runs within the grace before this one. Forgets
        them.
        """
        earliest = self._run_start - self._grace
        starts = [start - self._guard for start in self._stray if start >= earliest]
        self._stray.clear()
        return min(starts, default=self._run_start)

    def _reopen(self, last: _Open) -> list[EndpointEvent]:
        events: list[EndpointEvent] = [SpeechContinued(last.index)]
        if self._at + CHUNK_SAMPLES - last.start > self._longest:
            events.append(self._split(last, self._ended_at, self._last_voice))
        return events

    def _go_on(self, current: _Open, start: int, probability: float) -> list[EndpointEvent]:
        in_pause = self._voiced_end < start
        if probability >= (self._threshold if in_pause else self._neg_threshold):
            self._voiced_end = self._at
        elif self._at - self._voiced_end >= self._silence:
            return [self._end(current)]
        if self._at + CHUNK_SAMPLES - current.start > self._longest:
            return [self._split(current, self._quietest(current), self._voiced_end)]
        return []

    def _quietest(self, current: _Open) -> int:
        """Where to cut: the least voiced recent chunk that has speech before and after it."""
        earliest = max(current.start, current.onset) + max(CHUNK_SAMPLES, self._min_speech)
        latest = self._voiced_end - CHUNK_SAMPLES
        places = [(p, -start) for start, p in self._recent if earliest <= start <= latest]
        return -min(places)[1] if places else self._at

    def _split(self, current: _Open, at: int, voiced_end: int) -> SpeechEnded:
        """End a part at sample ``at`` and go on from there."""
        self._open = _Open(current.index, at, at)
        return self._ended(current, at, min(voiced_end, at), split=True)

    def _end(self, current: _Open) -> SpeechEnded:
        self._state = _State.IDLE
        self._ended_at = self._background_to = self._at
        self._last_voice = max(self._voiced_end, current.start)
        return self._ended(current, self._at, self._last_voice, split=False)

    def _ended(self, part: _Open, until: int, voiced_end: int, *, split: bool) -> SpeechEnded:
        return SpeechEnded(
            Utterance(
                index=part.index,
                start_us=self._time_us(part.onset),
                end_us=self._time_us(voiced_end),
                samples=self._ring.read(part.start, until - part.start),
                is_split=split,
            )
        )

    def _hear_background(self, until: int) -> None:
        """Add the non-speech up to sample ``until`` to the background."""
        if until > self._background_to:
            self._background.push(self._ring.read(self._background_to, until - self._background_to))
            self._background_to = until

    def _time_us(self, sample: int) -> int:
        return self._origin_us + samples_to_us(sample)


def _samples(milliseconds: int) -> int:
    return us_to_samples(milliseconds * 1000)
