"""Hands an answer's sound to a client that plays it, a little before its time.

Chunks leave on the loop, so that nothing of an answer leaves after its ``cut``. It never decides
what is said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from omnilive.engine.interface import F32
from omnilive.lanes import Lanes, Timer
from omnilive.sources.types import samples_to_us, us_to_samples
from omnilive.speech.config import OutletConfig


@dataclass(frozen=True, eq=False)
class AudioChunk:
    """A piece of an answer's sound.

    Attributes:
        generation, utterance: the answer's.
        first_sample: index of its first sample in the sound of its generation.
        pts_us: stream time at which it is meant to begin to sound, microseconds.
        samples: float32 [n] in [-1, 1], 16 kHz mono.
        last: whether no more sound of its generation follows; such a one may be empty.
    """

    generation: int
    utterance: int
    first_sample: int
    pts_us: int
    samples: F32
    last: bool = False


Sink = Callable[[AudioChunk], None]


class Outlet:
    """Gives chunks to ``sink`` in order, each at most ``lead_ms`` ahead. Runs on the loop."""

    def __init__(self, sink: Sink, lanes: Lanes, config: OutletConfig) -> None:
        """Take a ``sink`` that returns at once."""
        self._sink = sink
        self._lanes = lanes
        self._lead_us = config.lead_ms * 1000
        self._size = us_to_samples(config.chunk_ms * 1000)
        self._waiting: deque[AudioChunk] = deque()
        self._timer: Timer | None = None
        self._handed = 0

    @property
    def handed(self) -> int:
        """Samples of the generation begun last that the client was given."""
        return self._handed

    def begin(self) -> None:
        """A generation begins to sound."""
        self.cut()
        self._handed = 0

    def add(self, sound: AudioChunk) -> None:
        """A sentence, or the empty end of the answer; it is cut into chunks."""
        samples = sound.samples
        for at in range(0, max(1, len(samples)), self._size):
            part = samples[at : at + self._size]
            self._waiting.append(
                replace(
                    sound,
                    first_sample=sound.first_sample + at,
                    pts_us=sound.pts_us + samples_to_us(at),
                    samples=np.ascontiguousarray(part),
                )
            )
        self._hand_over()

    def cut(self) -> None:
        """Nothing that waits leaves any more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hand_over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_us = self._lanes.now_us() + self._lead_us
        while self._waiting and self._waiting[0].pts_us <= due_us:
            chunk = self._waiting.popleft()
            self._handed += len(chunk.samples)
            self._sink(chunk)
        if self._waiting:
            self._timer = self._lanes.at(self._waiting[0].pts_us - self._lead_us, self._hand_over)
