"""Lanes in virtual time. Nothing here depends on how fast the machine or the source is."""

from __future__ import annotations

import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from omnilive.clock import VirtualClock
from omnilive.scheduling.base import DROP_OLDEST, Lanes, timed
from omnilive.scheduling.config import LanesConfig
from omnilive.scheduling.jobs import Finished, Job, Lane, Progress
from omnilive.scheduling.trace import Span


class VirtualLanes(Lanes):
    """Jobs run one by one on the loop, and end when they say they would have.

    Same inputs, same order, same times. While something is expected from another thread, time
    stands still: what arrives is taken before the next timer, however long it took.

    Args:
        config: limits of the lanes.
        spans_kept: jobs kept for a trace, the newest.
    """

    def __init__(self, config: LanesConfig | None = None, spans_kept: int = 0) -> None:
        super().__init__(config)
        self._spans: deque[Span] = deque(maxlen=spans_kept)
        self._counts = {lane: Counter[str]() for lane in Lane}
        self._submitted_us: dict[int, int] = {}
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

    def spans(self) -> tuple[Span, ...]:
        """See ``Lanes.spans``; times are virtual."""
        return tuple(self._spans)

    def figures(self) -> Mapping[str, Mapping[str, Any]]:
        """See ``Lanes.figures``: counts by fate."""
        return {lane.value: dict(counts) for lane, counts in self._counts.items()}

    def progress(self) -> Mapping[Lane, Progress]:
        """See ``Lanes.progress``."""
        return {
            lane: Progress(
                counts["done"],
                counts["submitted"] - counts["done"] - counts["dropped"] - counts["cancelled"],
            )
            for lane, counts in self._counts.items()
        }

    def _load(self, lane: Lane) -> int:
        return len(self._waiting[lane])

    def _admit(self, job: Job) -> list[Job] | None:
        waiting, made_way = self._waiting[job.lane], list[Job]()
        if not self.has_room(job.lane):
            if job.lane not in DROP_OLDEST:
                return None
            made_way.append(waiting.popleft())
            self._record(made_way[0], "dropped")
        waiting.append(job)
        self._counts[job.lane]["submitted"] += 1
        self._submitted_us[id(job)] = self.now_us()
        self._start_next(job.lane)
        return made_way

    def _withdraw_stale(self) -> list[Job]:
        withdrawn = []
        for lane, waiting in self._waiting.items():
            withdrawn += [job for job in waiting if self.is_stale(job.generation)]
            kept = (job for job in waiting if not self.is_stale(job.generation))
            self._waiting[lane] = deque(kept)
        for job in withdrawn:
            self._record(job, "cancelled")
        return withdrawn

    def _post(self, callback: Callable[[], None]) -> None:
        self._inbox.put(callback)

    def _start_next(self, lane: Lane) -> None:
        if lane in self._running or not self._waiting[lane]:
            return
        job = self._waiting[lane].popleft()
        self._running.add(lane)
        work, finished = timed(job, _native_work(job))
        started_us = self.now_us()
        self.at(started_us + work.cost_us, lambda: self._finish(job, finished, started_us))
        self._room_made(lane)

    def _finish(self, job: Job, finished: Finished[object], started_us: int) -> None:
        """Free the lane, hand the result over, start what waits."""
        self._running.discard(job.lane)
        self._record(job, "done", started_us)
        if job.deadline_us is not None and self.now_us() > job.deadline_us:
            self._counts[job.lane]["missed"] += 1
        self._hand_over(job, finished)
        self._start_next(job.lane)

    def _record(self, job: Job, fate: str, started_us: int | None = None) -> None:
        self._counts[job.lane][fate] += 1
        self._spans.append(
            Span(
                job.lane,
                job.title,
                "done" if fate == "done" else "dropped",
                job.generation,
                self._submitted_us.pop(id(job), self.now_us()),
                started_us,
                self.now_us(),
            )
        )


def _native_work(job: Job) -> int:
    """Do what is native of ``job`` here and now: how long it took, nanoseconds."""
    if job.native is None:
        return 0
    start_ns = time.perf_counter_ns()
    try:
        job.native.job.run()
    except RuntimeError as e:
        raise job.native.error(str(e)) from e
    return time.perf_counter_ns() - start_ns
