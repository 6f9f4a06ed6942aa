"""How soon an answer stops when somebody speaks: a live session, its client and the wall clock.

The answers never end by themselves, so that each is interrupted while it is decoded and heard.
Nothing of the session is replaced: the pack says that no token ends an answer, and every run of
the answering decoder is timed on its way to the engine.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omnilive import events
from omnilive.config import RuntimeConfig
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.events import Event
from omnilive.session.session import RunOptions, Session
from omnilive.sources.live import Item, LiveSource
from omnilive.sources.types import SAMPLE_RATE_HZ, Pcm, samples_to_us
from omnilive.speech.outlet import AudioChunk
from omnilive_micropack.seeds import generator
from omnilive_micropack.speech import SPEAKERS, speak, voiced_span
from running import benchmark_config

PRESET = "edge"
SENTENCES = ("What do you see now?", "Where is the red mug?", "Wait, who is in the room?")
QUIET_S = 3.0
"""Pause after each question: its answer begins and is being decoded and heard."""

NOISE_RMS = 0.002
ANSWER_TOKENS = 4_000
"""More than a pause lasts."""

BLOCK = 160


@dataclass(frozen=True)
class Stopping:
    """What was found, milliseconds.

    Attributes:
        steps_ms: decode steps that nothing interrupted.
        stop_ms: from the block of sound that shows that somebody speaks, handed to the session,
            to the end of the answer's last decode step.
        stale_ms: the same, to its last chunk that the client got; 0 when none came after.
        onset_ms: from the first voiced sample to that block.
    """

    steps_ms: tuple[float, ...]
    stop_ms: tuple[float, ...]
    stale_ms: tuple[float, ...]
    onset_ms: tuple[float, ...]


def measure_stopping(path: Path, folder: Path, seed: int, rounds: int) -> Stopping:
    """Interrupt ``rounds`` answers.

    Raises:
        OmniLiveError: from any stage.
    """
    config = benchmark_config(PRESET, None)
    reasoning = dataclasses.replace(config.reasoning, max_new_tokens=ANSWER_TOKENS)
    config = dataclasses.replace(config, reasoning=reasoning)
    with closing(open_pack(path, config=config.engine)) as pack:
        pack.warm_up()
        watched = _Watched(pack, config)
        watched.run(folder, seed, rounds)
    return watched.found()


@dataclass(frozen=True)
class _Span:
    begin_s: float
    end_s: float
    tokens: int


class _TimedDecoder:
    """The decoder, with the time of each run noted."""

    def __init__(self, decoder: Any, spans: list[_Span]) -> None:
        self._decoder = decoder
        self._spans = spans

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)

    def logits(self, arena: Any, embeds: Any, **rows: Any) -> Any:
        begin_s = time.monotonic()
        result = self._decoder.logits(arena, embeds, **rows)
        self._spans.append(_Span(begin_s, time.monotonic(), len(embeds)))
        return result


class _EndlessPack:
    """The pack, but no token ends an answer."""

    def __init__(self, pack: EnginePack, spans: list[_Span]) -> None:
        self._pack = pack
        self._spans = spans
        endless = dataclasses.replace(pack.manifest.reasoner, stop_ids=())
        self.manifest = dataclasses.replace(pack.manifest, reasoner=endless)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pack, name)

    def decoder(self, name: str) -> Any:
        decoder = self._pack.decoder(name)
        return _TimedDecoder(decoder, self._spans) if name == "vlm_lm" else decoder


class _TimedSource(LiveSource):
    """A live source that notes when the session was given each stretch of sound."""

    def __init__(self, config: RuntimeConfig) -> None:
        super().__init__(config.source, name="benchmark", has_video=False)
        self.given: list[tuple[int, float]] = []

    def items(self, now_us: Callable[[], int]) -> Iterator[Item]:
        for item in super().items(now_us):
            if isinstance(item, Pcm):
                self.given.append((item.end_us, time.monotonic()))
            yield item

    def given_s(self, stream_us: int) -> float:
        """When the sound up to ``stream_us`` had been given."""
        return next(at_s for end_us, at_s in self.given if end_us >= stream_us)


class _Watched:
    """One session and what was noted of it."""

    def __init__(self, pack: EnginePack, config: RuntimeConfig) -> None:
        self._spans: list[_Span] = []
        self._pack: Any = _EndlessPack(pack, self._spans)
        self._config = config
        self._started: list[events.SpeechStarted] = []
        self._interrupted: list[events.AnswerInterrupted] = []
        self._chunks: list[tuple[int, float]] = []
        self._voiced_us: list[int] = []
        self._ready = threading.Event()
        self._source = _TimedSource(config)

    def run(self, folder: Path, seed: int, rounds: int) -> None:
        options = RunOptions(preset=PRESET, realtime=True, seed=seed)
        session = Session(
            self._pack, self._config, options, folder, (self._take_event,), self._take_chunk
        )
        feeder = threading.Thread(target=self._feed, args=(session, seed, rounds))
        feeder.start()
        try:
            session.run(self._source)
        finally:
            self._ready.set()
            self._source.end(discard=True)
            session.close()
            feeder.join()

    def found(self) -> Stopping:
        stop, stale, onset = [], [], []
        stopped_s = []
        speech_us = self._config.vad.min_speech_ms * 1000
        by_generation = {s.generation: s for s in self._started}
        for one in self._interrupted:
            started = by_generation.get(one.by_generation)
            if started is None or one.complete:
                continue
            at_s = self._source.given_s(started.onset_us + speech_us)
            stopped_s.append(at_s)
            stop.append(max(0.0, self._last_step_s(at_s) - at_s) * 1e3)
            late = [s - at_s for g, s in self._chunks if g == one.generation and s > at_s]
            stale.append(max(late, default=0.0) * 1e3)
            voiced_us = max(v for v in self._voiced_us if v < started.onset_us + speech_us)
            onset.append((started.onset_us + speech_us - voiced_us) / 1e3)
        steps = [
            (span.end_s - span.begin_s) * 1e3
            for span in self._spans
            if span.tokens == 1
            and not any(span.begin_s <= at_s <= span.end_s for at_s in stopped_s)
        ]
        return Stopping(tuple(steps), tuple(stop), tuple(stale), tuple(onset))

    def _last_step_s(self, at_s: float) -> float:
        """End of the last decode step before the next answer's prefill."""
        last_s = at_s
        for span in self._spans:
            if span.end_s < at_s:
                continue
            if span.tokens > 1:
                break
            last_s = span.end_s
        return last_s

    def _take_event(self, event_id: int, at_us: int, event: Event) -> None:
        if isinstance(event, events.SourceOpened):
            self._ready.set()
        elif isinstance(event, events.SpeechStarted):
            self._started.append(event)
        elif isinstance(event, events.AnswerInterrupted):
            self._interrupted.append(event)

    def _take_chunk(self, chunk: AudioChunk) -> None:
        self._chunks.append((chunk.generation, time.monotonic()))

    def _feed(self, session: Session, seed: int, rounds: int) -> None:
        """Push noise with a question in every round, each block at its time."""
        self._ready.wait()
        rng = generator(seed, "interruptions")
        said = [speak(text, "en", SPEAKERS[i % len(SPEAKERS)]) for i, text in enumerate(SENTENCES)]
        quiet = np.zeros(round(QUIET_S * SAMPLE_RATE_HZ), np.float32)
        begin_s, at = time.monotonic(), 0
        while not self._source.push_pcm(0, np.zeros(1, np.float32)):
            time.sleep(0.01)  # the session is about to read
        first_us = session.now_us()
        for index in range(rounds + 1):
            speech = said[index % len(said)]
            track = np.concatenate([quiet, speech])
            voiced = at + len(quiet) + voiced_span(speech)[0]
            self._voiced_us.append(first_us + samples_to_us(voiced))
            track += (NOISE_RMS * rng.standard_normal(len(track))).astype(np.float32)
            for start in range(0, len(track), BLOCK):
                block = track[start : start + BLOCK]
                due_s = begin_s + (at + len(block)) / SAMPLE_RATE_HZ
                time.sleep(max(0.0, due_s - time.monotonic()))
                self._source.push_pcm(samples_to_us(at), block)
                at += len(block)
        session.stop()
