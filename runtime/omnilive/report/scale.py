"""Where a moment lies on the timeline, and how boxes share rows. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FIT_PX = 1_060
"""Width a short run is stretched to: what a desktop page shows without scrolling."""
MIN_PX_PER_S = 12.0
MAX_PX_PER_S = 64.0
MAX_PX = 60_000
"""A timeline is never wider; hours of stream share it."""

_TICKS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
_TICK_PX = 64


@dataclass(frozen=True)
class Scale:
    """Pixels per second over ``duration_us``."""

    duration_us: int
    px_per_s: float

    @property
    def width(self) -> float:
        """Width of the whole timeline, pixels."""
        return self.x(self.duration_us)

    def x(self, us: int) -> float:
        """Pixels from the left edge."""
        return us * self.px_per_s / 1e6

    def ticks_us(self) -> tuple[int, ...]:
        """Round moments, far enough apart for their labels."""
        return tuple(range(0, self.duration_us + 1, self._step_us()))

    def sparse_ticks_us(self, at_most: int) -> tuple[int, ...]:
        """Those of ``ticks_us`` at rounder moments, as many as fit ``at_most`` (and the first)."""
        step = self._step_us()
        fitting = (
            t * 1_000_000
            for t in _TICKS_S
            if t * 1_000_000 % step == 0 and self.duration_us < at_most * t * 1_000_000
        )
        return tuple(range(0, self.duration_us + 1, next(fitting, self.duration_us + 1)))

    def tick_before_us(self, us: int) -> int:
        """The round moment of ``ticks_us`` at or before ``us``."""
        return min(max(us, 0), self.duration_us) // self._step_us() * self._step_us()

    def _step_us(self) -> int:
        enough = (t for t in _TICKS_S if t * self.px_per_s >= _TICK_PX)
        return next(enough, _TICKS_S[-1]) * 1_000_000


def scale_for(duration_us: int) -> Scale:
    """A scale that shows a minute at once and lets longer runs scroll."""
    seconds = duration_us / 1e6
    wanted = min(MAX_PX_PER_S, max(MIN_PX_PER_S, FIT_PX / seconds))
    return Scale(duration_us, min(wanted, MAX_PX / seconds))


def rows_for(spans: Sequence[tuple[float, float]], rows: int) -> tuple[int | None, ...]:
    """A row for each (start, end), spans ordered by start, such that none overlap in a row.

    None where all ``rows`` are taken.
    """
    free_from = [float("-inf")] * rows
    placed: list[int | None] = []
    for start, end in spans:
        row = next((r for r in range(rows) if free_from[r] <= start), None)
        if row is not None:
            free_from[row] = end
        placed.append(row)
    return tuple(placed)
