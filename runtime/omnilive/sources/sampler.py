"""Chooses which frames of a stream are looked at, by their time alone; it never repeats one."""

from __future__ import annotations

from fractions import Fraction

from omnilive.sources.types import US_PER_SECOND


class FrameSampler:
    """Takes the first frame at or after each tick of a regular clock that starts at 0.

    Ticks without a frame of their own (a pause, a lower frame rate) are skipped.
    """

    def __init__(self, fps: float) -> None:
        self._fps = Fraction(fps).limit_denominator(1000)
        self._tick = 0

    def takes(self, time_us: int) -> bool:
        """Whether the frame at ``time_us`` is the one for the next tick; if so, that is over."""
        if not self.wants(time_us):
            return False
        self._tick = self._tick_of(time_us) + 1
        return True

    def wants(self, time_us: int) -> bool:
        """Whether a frame at ``time_us`` would be taken."""
        return self._tick_of(time_us) >= self._tick

    def _tick_of(self, time_us: int) -> int:
        return time_us * self._fps // US_PER_SECOND
