"""Lanes in virtual time. Nothing here depends on how fast the machine or the source is."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable

from omnilive.clock import VirtualClock
from omnilive.scheduling.base import DROP_OLDEST, Lanes, timed
from omnilive.scheduling.config import LanesConfig
from omnilive.scheduling.jobs import Finished, Job, Lane


class VirtualLanes(Lanes):
    """Jobs run one by one on the loop, and end when they say they would have.

    Same inputs, same order, same times. While something is expected from another thread, time
    stands still: what arrives is taken before the next timer, however long it took.
    """

    def __init__(self, config: LanesConfig | None = None) -> None:
        super().__init__(config)
        self._clock = VirtualClock()
        self._waiting: dict[Lane, deque[Job]] = {lane: deque() for lane in Lane}
        self._running: set[Lane] = set()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

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

    def _load(self, lane: Lane) -> int:
        return len(self._waiting[lane])

    def _admit(self, job: Job) -> list[Job] | None:
        waiting, made_way = self._waiting[job.lane], list[Job]()
        if not self.has_room(job.lane):
            if job.lane not in DROP_OLDEST:
                return None
            made_way.append(waiting.popleft())
        waiting.append(job)
        self._start_next(job.lane)
        return made_way

    def _withdraw_stale(self) -> list[Job]:
        withdrawn = []
        for lane, waiting in self._waiting.items():
            withdrawn += [job for job in waiting if self.is_stale(job.generation)]
            kept = (job for job in waiting if not self.is_stale(job.generation))
            self._waiting[lane] = deque(kept)
        return withdrawn

    def _post(self, callback: Callable[[], None]) -> None:
        self._inbox.put(callback)

    def _start_next(self, lane: Lane) -> None:
        if lane in self._running or not self._waiting[lane]:
            return
        job = self._waiting[lane].popleft()
        self._running.add(lane)
        work, finished = timed(job)
        self.at(self.now_us() + work.cost_us, lambda: self._finish(job, finished))
        self._room_made(lane)

    def _finish(self, job: Job, finished: Finished[object]) -> None:
        """Free the lane, hand the result over, start what waits."""
        self._running.discard(job.lane)
        self._hand_over(job, finished)
        self._start_next(job.lane)
