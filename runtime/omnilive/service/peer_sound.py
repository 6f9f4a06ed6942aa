"""Sound of a WebRTC track as 16 kHz mono, on the clock of its RTP timestamps."""

from __future__ import annotations

import soxr
from av.audio.frame import AudioFrame

from omnilive.sources.audio import F32
from omnilive.sources.sound import mono_of
from omnilive.sources.types import SAMPLE_RATE_HZ, US_PER_SECOND, samples_to_us

GAP_US = 40_000
"""A frame further than this from the end of the one before begins anew: packets were lost, or the
sender was silent."""


class PeerSound:
    """Resamples the frames of one track; a gap is left to who takes the samples."""

    def __init__(self) -> None:
        self._resampler: soxr.ResampleStream | None = None
        self._rate_hz = 0
        self._start_us = 0
        self._taken = 0
        self._given = 0

    def take(self, frame: AudioFrame) -> tuple[int, F32]:
        """When the samples begin, microseconds of the track's clock, and float32 [n] at 16 kHz.

        The first frames after a gap may give none: the filter looks ahead.

        Raises:
            ValueError: the frame has no time or no rate.
        """
        if frame.pts is None or not frame.time_base or frame.sample_rate <= 0:
            raise ValueError("a frame of sound without its time")
        at_us = int(frame.pts * frame.time_base * US_PER_SECOND)
        samples = mono_of(frame)
        expected_us = self._start_us + self._taken * US_PER_SECOND // max(1, self._rate_hz)
        if (
            self._resampler is None
            or frame.sample_rate != self._rate_hz
            or abs(at_us - expected_us) > GAP_US
        ):
            self._rate_hz = frame.sample_rate
            self._resampler = soxr.ResampleStream(self._rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")
            self._start_us, self._taken, self._given = at_us, 0, 0
        self._taken += len(samples)
        out: F32 = self._resampler.resample_chunk(samples)
        begins_us = self._start_us + samples_to_us(self._given)
        self._given += len(out)
        return begins_us, out
