"""Maps the PTS of all streams of a source onto one timeline; it never touches media data.

The streams share one clock, so when that clock jumps they share one new offset, an epoch. The
streams meet a jump one after the other, and packets of before and after may alternate, so each
stream finds for itself which of the last few epochs a PTS belongs to.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_CLOSE_US = 100_000
"""A PTS this near to where its stream is expected belongs to that epoch without doubt."""

_LAG_US = 1_000_000
"""How far apart streams are trusted to meet the same jump: the most that a stream's end lags
when a jump is anchored to it, and that a stream leaps ahead into an epoch of another."""

_EPOCHS = 4
"""Offsets remembered; alternation around a jump needs the last two."""


@dataclass(frozen=True)
class Position:
    """Where something lies on the timeline.

    Attributes:
        start_us: its time; it may lie up to the overlap limit before its stream's last end.
        jump_us: step of the clock found here, 0 for none; negative when it went back.
    """

    start_us: int
    jump_us: int = 0


class Timeline:
    """The one timeline of a source, starting at 0."""

    def __init__(self, *, origin_us: int, max_gap_us: int, max_overlap_us: int) -> None:
        """Start at ``origin_us`` of the source's clock.

        Args:
            origin_us: PTS that becomes 0.
            max_gap_us: a longer step ahead of every stream is a clock jump.
            max_overlap_us: a longer step back within a stream is a clock jump.
        """
        self._max_gap_us = max_gap_us
        self._max_overlap_us = max_overlap_us
        self._epochs = deque([-origin_us], maxlen=_EPOCHS)
        self._offsets: dict[str, int] = {}
        self._ends: dict[str, int] = {}

    @property
    def end_us(self) -> int:
        """Latest end of any stream."""
        return max(self._ends.values(), default=0)

    def place(self, stream: str, pts_us: int | None, duration_us: int) -> Position:
        """Place the next piece of ``stream``.

        Args:
            stream: its name.
            pts_us: the source's time of it; None puts it right after the piece before.
            duration_us: how long it lasts, as far as known.
        """
        expected = self._ends.get(stream)
        if pts_us is None:
            position = Position(expected or 0)
        else:
            position = self._find(stream, pts_us, expected)
        end = position.start_us + min(max(duration_us, 0), self._max_gap_us)
        self._ends[stream] = max(end, expected or 0)
        return position

    def _find(self, stream: str, pts_us: int, expected: int | None) -> Position:
        current = self._offsets.get(stream, self._epochs[-1])
        others = [e for e in reversed(self._epochs) if e != current]
        for offset in (current, *others):
            if expected is not None and abs(pts_us + offset - expected) <= _CLOSE_US:
                return self._take(stream, pts_us, offset)
        if self._plausible(pts_us + current, expected, self._max_gap_us):
            return self._take(stream, pts_us, current)
        for offset in others:
            if self._plausible(pts_us + offset, expected, _LAG_US):
                return self._take(stream, pts_us, offset)
        anchor = max(expected or 0, self.end_us - _LAG_US)
        self._epochs.append(anchor - pts_us)
        self._offsets[stream] = anchor - pts_us
        return Position(anchor, pts_us + current - anchor)

    def _take(self, stream: str, pts_us: int, offset: int) -> Position:
        self._offsets[stream] = offset
        return Position(max(0, pts_us + offset))

    def _plausible(self, time_us: int, expected: int | None, max_ahead_us: int) -> bool:
        floor = expected or 0
        ahead = time_us - max(self.end_us, floor)
        return time_us >= floor - self._max_overlap_us and ahead <= max_ahead_us
