"""Clocks: where every time in the runtime comes from.

A stage never reads the machine's clock itself; it is given one of these. Times are integer
microseconds of stream time: zero is the first PTS of the source.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Something that tells stream time."""

    def now_us(self) -> int:
        """Microseconds since the stream began."""
        ...


class VirtualClock:
    """A clock that moves only when told to, so that a run is a function of its inputs."""

    def __init__(self) -> None:
        self._now_us = 0

    def now_us(self) -> int:
        """Microseconds since the stream began."""
        return self._now_us

    def advance_to(self, time_us: int) -> None:
        """Move forward to ``time_us``; an earlier time leaves the clock where it is."""
        self._now_us = max(self._now_us, time_us)


class MonotonicClock:
    """Wall time since construction, never going backwards."""

    def __init__(self) -> None:
        self._start_ns = time.monotonic_ns()

    def now_us(self) -> int:
        """Microseconds since construction."""
        return (time.monotonic_ns() - self._start_ns) // 1000

    def at_ns(self, time_us: int) -> int:
        """The reading of the system's monotonic clock at that time."""
        return self._start_ns + 1000 * time_us

    def at_us(self, monotonic_ns: int) -> float:
        """When that reading of the system's monotonic clock was, microseconds since then."""
        return (monotonic_ns - self._start_ns) / 1000
