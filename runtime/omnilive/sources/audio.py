"""Makes one gapless 16 kHz mono signal of timed audio pieces; it never shifts audio in time.

A gap becomes silence and an overlap is trimmed, both exact to a sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from omnilive.sources.types import SAMPLE_RATE_HZ, US_PER_SECOND

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Joined:
    """What one piece adds to the signal.

    Attributes:
        samples: float32 [n], 16 kHz mono, to append.
        silence_us: silence put before the piece.
        trimmed_us: cut from the piece because that time was already taken.
    """

    samples: F32
    silence_us: int = 0
    trimmed_us: int = 0


class AudioJoiner:
    """The signal built so far: a run of pieces at one rate, after what came before it."""

    def __init__(self, jitter_us: int) -> None:
        """Pieces may be off by ``jitter_us`` before a gap or an overlap is seen."""
        self._jitter_us = jitter_us
        self._run_start = 0
        self._run_out = 0
        self._run_in = 0
        self._rate_hz = SAMPLE_RATE_HZ
        self._resampler: soxr.ResampleStream | None = None

    @property
    def position_us(self) -> int:
        """Time just after the last piece."""
        return (
            self._run_start * US_PER_SECOND // SAMPLE_RATE_HZ
            + self._run_in * US_PER_SECOND // self._rate_hz
        )

    def push(self, time_us: int, samples: F32, rate_hz: int) -> Joined:
        """Add mono float32 [n] at ``rate_hz`` that starts at ``time_us``."""
        parts: list[F32] = []
        off_us = time_us - self.position_us
        silence_us = trimmed_us = 0
        if off_us > self._jitter_us:
            silence_us = off_us
            parts += [self._end_run(), self._silence(time_us)]
        elif off_us < -self._jitter_us:
            trimmed = min(len(samples), -off_us * rate_hz // US_PER_SECOND)
            trimmed_us = trimmed * US_PER_SECOND // rate_hz
            samples = samples[trimmed:]
        if rate_hz != self._rate_hz:
            parts.append(self._end_run())
            self._rate_hz = rate_hz
        parts.append(self._resampled(samples))
        return Joined(np.concatenate(parts), silence_us, trimmed_us)

    def fill(self, until_us: int) -> F32:
        """End the run and return what was still inside, then silence up to ``until_us``."""
        return np.concatenate([self._end_run(), self._silence(until_us)])

    def _resampled(self, samples: F32) -> F32:
        self._run_in += len(samples)
        if self._rate_hz == SAMPLE_RATE_HZ:
            out = samples
        else:
            if self._resampler is None:
                self._resampler = soxr.ResampleStream(
                    self._rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32"
                )
            out = self._resampler.resample_chunk(samples)
        self._run_out += len(out)
        return out

    def _end_run(self) -> F32:
        """Drain the resampler to exactly as long as its input; start a new, empty run."""
        length = round(self._run_in * SAMPLE_RATE_HZ / self._rate_hz)
        rest = np.zeros(0, np.float32)
        if self._resampler is not None:
            rest = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            missing = length - self._run_out
            rest = np.pad(rest[: max(0, missing)], (0, max(0, missing - len(rest))))
        self._run_start += length
        self._run_in = self._run_out = 0
        self._resampler = None
        return rest

    def _silence(self, until_us: int) -> F32:
        """Silence from the end of the (empty) run to ``until_us``."""
        until = until_us * SAMPLE_RATE_HZ // US_PER_SECOND
        missing = max(0, until - self._run_start)
        self._run_start += missing
        return np.zeros(missing, np.float32)


def mono_float(
    samples: npt.NDArray[Any], *, channels: int, planar: bool, lfe: int | None = None
) -> F32:
    """Mono float32 [n] in [-1, 1] of decoded samples.

    Channels are averaged, which cannot clip; the low-frequency channel is left out. What is not
    a number becomes silence.

    Args:
        samples: [channels, n] when ``planar``, else [1, n * channels]; float or integer.
        channels: their number.
        planar: the layout.
        lfe: index of the low-frequency channel, if any.
    """
    if not planar:
        samples = samples.reshape(-1, channels).T
    if lfe is not None and channels > 1:
        samples = np.delete(samples, lfe, axis=0)
    if samples.dtype == np.uint8:
        scaled = (samples.astype(np.float32) - 128.0) / 128.0
    elif np.issubdtype(samples.dtype, np.integer):
        scaled = samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    else:
        scaled = samples.astype(np.float32)
    mono: F32 = scaled[0] if len(scaled) == 1 else scaled.sum(axis=0) / np.float32(len(scaled))
    if not np.abs(mono).max(initial=0.0) <= 1.0:  # also true when one is not a number
        mono = np.clip(np.nan_to_num(mono, nan=0.0, posinf=1.0, neginf=-1.0), -1.0, 1.0)
    return mono
