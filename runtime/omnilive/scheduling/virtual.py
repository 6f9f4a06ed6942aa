"""Lanes in virtual time. Nothing here depends on how fast the machine or the source is."""

from __future__ import annotations

from omnilive.clock import VirtualClock
from omnilive.scheduling.base import Lanes, timed
from omnilive.scheduling.config import LanesConfig
from omnilive.scheduling.jobs import Job


class VirtualLanes(Lanes):
    """Jobs run one by one on the loop, and end when they say they would have.

    Same inputs, same order, same times. While something is expected from another thread, time
    stands still: what arrives is taken before the next timer, however long it took.
    """

    def __init__(self, config: LanesConfig | None = None) -> None:
        super().__init__(config)
        self._clock = VirtualClock()

    def now_us(self) -> int:
        """Virtual stream time, microseconds."""
        return self._clock.now_us()

    def start(self) -> None:
        """Nothing: virtual time begins at 0."""

    def run(self) -> None:
        """Run until no timer is left and nothing is expected; job ends are timers too."""
        while True:
            if self._expected:
                self._inbox.get()()
                continue
            due_us = self._next_due_us()
            if due_us is None:
                return
            self._clock.advance_to(due_us)
            self._fire_next()

    def close(self) -> None:
        """Nothing: no job ever runs outside ``run``."""

    def _launch(self, job: Job) -> None:
        work, finished = timed(job)
        self.at(self.now_us() + work.cost_us, lambda: self._finish(job, finished))
