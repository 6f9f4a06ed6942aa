"""Lanes in real time: one thread per lane. Nothing but jobs runs on those threads."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from omnilive.clock import MonotonicClock
from omnilive.scheduling.base import Lanes, timed
from omnilive.scheduling.config import LanesConfig
from omnilive.scheduling.jobs import Job, Lane

LONGEST_WAIT_US = 60_000_000
"""The loop waits at most this long at a stretch, and then looks at its timers again: what the
system can wait for at once is limited, when a timer may be due is not."""


class ThreadLanes(Lanes):
    """Jobs run on the thread of their lane, results are handed back to the loop's thread.

    An exception in a job is raised from ``run``.
    """

    def __init__(self, config: LanesConfig | None = None) -> None:
        super().__init__(config)
        self._clock = MonotonicClock()
        self._jobs: dict[Lane, queue.SimpleQueue[Job | None]] = {
            lane: queue.SimpleQueue() for lane in Lane
        }
        self._threads = [
            threading.Thread(target=self._work, args=(lane,), name=f"lane-{lane.value}")
            for lane in Lane
        ]

    def now_us(self) -> int:
        """Wall time since ``start``, microseconds."""
        return self._clock.now_us()

    def start(self) -> None:
        """Start the threads, and make this moment the beginning of stream time."""
        for thread in self._threads:
            thread.start()
        self._clock = MonotonicClock()

    def run(self) -> None:
        """Run until there is no timer, no running job and nothing expected.

        A turn of the loop takes one thing handed over by a thread and calls one timer that is
        due, so that neither kind can hold up the other.
        """
        while (wait_us := self._wait_us()) is not None:
            try:
                received = self._inbox.get(timeout=wait_us / 1e6)
            except queue.Empty:
                pass
            else:
                received()
            due_us = self._next_due_us()
            if due_us is not None and due_us <= self.now_us():
                self._fire_next()

    def close(self) -> None:
        """Let running jobs end, then stop the threads."""
        for jobs in self._jobs.values():
            jobs.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _wait_us(self) -> int | None:
        """How long the loop may wait for its inbox, or None when there is nothing to wait for."""
        due_us = self._next_due_us()
        if due_us is not None:
            return min(max(0, due_us - self.now_us()), LONGEST_WAIT_US)
        return LONGEST_WAIT_US if self._running or self._expected else None

    def _launch(self, job: Job) -> None:
        self._jobs[job.lane].put(job)

    def _work(self, lane: Lane) -> None:
        while (job := self._jobs[lane].get()) is not None:
            self._inbox.put(self._outcome(job))

    def _outcome(self, job: Job) -> Callable[[], None]:
        try:
            _, finished = timed(job)
        except BaseException as error:
            return _raiser(error)
        return lambda: self._finish(job, finished)


def _raiser(error: BaseException) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it
