"""Maps a sender's PTS to this machine's monotonic clock. Arithmetic over an injected clock.

Browsers, streams and cameras each have a clock of their own; on this one they can be mixed.
"""

from __future__ import annotations

from collections.abc import Callable

AHEAD_US = 35_000_000
"""A PTS further ahead of now is a jump of the sender's clock: nobody sends the future. Programs
that send a file faster than it is heard are ahead by what the session lets wait."""

BEHIND_US = 35_000_000
"""A PTS further behind now is a jump of the sender's clock."""

SETTLE_US = 2_000_000
"""A sender that has been late for so long without catching up is taken to be on time anew."""


class SenderClock:
    """Where a sender's items lie on the clock of ``now_us``. Not thread-safe."""

    def __init__(self, now_us: Callable[[], int], late_us: int) -> None:
        """Prepare.

        Args:
            now_us: monotonic time, microseconds.
            late_us: what comes later than this is of no use any more, microseconds.
        """
        self._now_us = now_us
        self._allowed_us = late_us
        self._offset_us: int | None = None
        self._late_since_us: int | None = None
        self._least_us = 0

    def restart(self) -> None:
        """The sender's clock begins anew: what comes next has just happened."""
        self._offset_us = None

    def place(self, pts_us: int, duration_us: int = 0) -> int:
        """When something that has come now began, on the clock of ``now_us``, microseconds."""
        now_us, end_us = self._now_us(), pts_us + duration_us
        if self._offset_us is not None:
            lead_us = end_us + self._offset_us - now_us
            if not -BEHIND_US <= lead_us <= AHEAD_US:
                self._offset_us = None
            elif -lead_us > self._allowed_us:
                self._offset_us += self._made_up_us(now_us, -lead_us)
            else:
                self._late_since_us = None
        if self._offset_us is None:
            self._offset_us = now_us - end_us
            self._late_since_us = None
        return pts_us + self._offset_us

    def _made_up_us(self, now_us: int, late_us: int) -> int:
        """How much of being late is forgiven now: what was never made up while it could be."""
        if self._late_since_us is None:
            self._late_since_us, self._least_us = now_us, late_us
        self._least_us = min(self._least_us, late_us)
        if now_us - self._late_since_us < SETTLE_US:
            return 0
        self._late_since_us = None
        return self._least_us
