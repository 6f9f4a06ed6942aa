"""A sound track of any length, second by second: a quiet room's noise with sounds laid over it.

It never holds the whole track, only the pieces laid over the noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from omnilive.engine.interface import F32
from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive_micropack.seeds import generator


@dataclass(frozen=True, eq=False)
class Piece:
    """Samples float32 [n], 16 kHz mono of full scale 1.0, laid over a track from ``start`` on."""

    start: int
    samples: F32


@dataclass(frozen=True, eq=False)
class Soundtrack:
    """What a stream's microphone hears.

    Attributes:
        seed: of the noise.
        total: length in samples.
        noise_rms: of full scale 1.0.
        pieces: in any order; they may overlap.
    """

    seed: int
    total: int
    noise_rms: float
    pieces: Sequence[Piece]

    def seconds(self) -> Iterator[F32]:
        """The track from its start, float32 blocks of one second; the last may be shorter."""
        waiting = sorted(self.pieces, key=lambda piece: piece.start, reverse=True)
        sounding: list[Piece] = []
        for start in range(0, self.total, SAMPLE_RATE_HZ):
            end = min(start + SAMPLE_RATE_HZ, self.total)
            noise = generator(self.seed, f"noise {start}")
            block = noise.standard_normal(end - start, dtype=np.float32) * np.float32(
                self.noise_rms
            )
            while waiting and waiting[-1].start < end:
                sounding.append(waiting.pop())
            for piece in sounding:
                at = max(start, piece.start)
                part = piece.samples[at - piece.start : end - piece.start]
                block[at - start : at - start + len(part)] += part
            sounding = [p for p in sounding if p.start + len(p.samples) > end]
            yield block
