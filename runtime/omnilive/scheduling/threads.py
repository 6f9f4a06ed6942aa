"""Lanes in real time: the native core's scheduler, one thread per lane.

A lane's thread stays in the native core: it takes the GIL to run a job of Python and for nothing
else. Queues, policies and order are the scheduler's; here is only the loop that callbacks run on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from omnilive._native import LaneCores, LaneScheduler
from omnilive.clock import MonotonicClock
from omnilive.scheduling.base import DROP_OLDEST, Lanes, drop, timed
from omnilive.scheduling.config import LanesConfig
from omnilive.scheduling.jobs import Job, Lane, Progress
from omnilive.scheduling.trace import Span
from omnilive.scheduling.use import Durations, LaneUse, waiting_of

LONGEST_WAIT_US = 60_000_000
"""The loop waits at most this long at a stretch, and then looks at its timers again: what the
system can wait for at once is limited, when a timer may be due is not."""

INDEX = {lane: index for index, lane in enumerate(Lane)}
"""Lanes as the native core counts them."""

RANGES_LIBRARIES = "libnvtx3interop.so.1:libnvToolsExt.so.1"
"""NVTX as CUDA from 12.9 on brings it, and as those before did: where the system's loader finds one
of the two, a profiler of NVIDIA's sees every job as a range."""

PRIORITY = {Lane.LISTEN: 0, Lane.SEE: 1, Lane.SPEAK: 2, Lane.REASON: 3, Lane.REMEMBER: 4}
"""Who gets the cores first: ears and eyes before words, and what can wait last."""

URGENCY = {**PRIORITY, Lane.REMEMBER: PRIORITY[Lane.REASON]}
"""The same among sessions that share the cores: one that answers takes turns with one that still
looks its question up in memory, or who was asked first would be answered to the end."""


class ThreadLanes(Lanes):
    """Jobs run on the thread of their lane, results are handed back to the loop's thread.

    An exception in a job is raised from ``run``.

    Args:
        config: limits of the lanes.
        shares: cores that a job of each lane keeps busy. Jobs that together want more than
            ``config.cores`` wait for each other, the more important lane first; without shares
            every lane runs whenever it has a job.
        spans_kept: jobs kept for a trace, the newest.
        cores: a pool that these lanes share with others' lanes, all by the same rules; None for
            cores of their own.
    """

    def __init__(
        self,
        config: LanesConfig | None = None,
        shares: Mapping[Lane, int] | None = None,
        spans_kept: int = 0,
        cores: LaneCores | None = None,
    ) -> None:
        super().__init__(config)
        shares = shares or {}
        self._clock = MonotonicClock()
        self._scheduler = LaneScheduler(
            capacities=[self.capacity(lane) for lane in Lane],
            drop_oldest=[lane in DROP_OLDEST for lane in Lane],
            priorities=[PRIORITY[lane] for lane in Lane],
            permits=[shares.get(lane, 0) for lane in Lane],
            cores=cores or self._config.cores or max(shares.values(), default=0),
            spin_us=self._config.spin_us,
            patience_us=self._config.patience_ms * 1_000,
            trace_capacity=spans_kept,
            ranges_library=RANGES_LIBRARIES,
            urgencies=[URGENCY[lane] for lane in Lane],
        )
        self._taken = dict.fromkeys(Lane, 0)
        # Threads of Python's making, so that debuggers and tracebacks know them by name.
        self._threads = [
            threading.Thread(
                target=self._scheduler.serve, args=(INDEX[lane],), name=f"lane-{lane.value}"
            )
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
        """Run until there is no timer, no job left and nothing expected.

        A turn of the loop takes one thing handed over by a thread and calls one timer that is
        due, so that neither kind can hold up the other.
        """
        while (wait_us := self._wait_us()) is not None:
            arrived = self._scheduler.take(wait_us)
            if isinstance(arrived, tuple):
                self._ended(*arrived)
            elif arrived is not None:
                arrived()
            due_us = self._next_due_us()
            if due_us is not None and due_us <= self.now_us():
                self._fire_next()

    def close(self) -> None:
        """Let running jobs end, then stop the threads."""
        self._scheduler.close()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def spans(self) -> tuple[Span, ...]:
        """See ``Lanes.spans``."""
        at_us, lanes = self._clock.at_us, tuple(Lane)
        return tuple(
            Span(
                lanes[lane],
                name,
                state,
                generation,
                at_us(submitted_ns),
                at_us(started_ns) if started_ns else None,
                at_us(ended_ns),
            )
            for _, lane, name, state, generation, submitted_ns, started_ns, ended_ns in (
                self._scheduler.spans()
            )
        )

    def figures(self) -> Mapping[str, Mapping[str, Any]]:
        """See ``Lanes.figures``: counts by fate, and quantiles of waits and runs."""
        return {lane.value: self._scheduler.figures(INDEX[lane]) for lane in Lane}

    def use(self, bounds_us: Sequence[int]) -> Mapping[Lane, LaneUse]:
        """What each lane has done, its durations counted up to each bound; from any thread."""
        bounds_ns = [1_000 * bound for bound in bounds_us]
        found = {}
        for lane, index in INDEX.items():
            counts = self._scheduler.figures(index)
            waited, ran = self._scheduler.durations(index, bounds_ns)
            found[lane] = LaneUse(counts, waiting_of(counts), _durations(*waited), _durations(*ran))
        return found

    def progress(self) -> Mapping[Lane, Progress]:
        """See ``Lanes.progress``."""
        taken = dict(self._taken)  # first: what is taken afterwards has ended before
        found = {}
        for lane, index in INDEX.items():
            counted = self._scheduler.figures(index)
            ended = counted["done"] + counted["failed"]
            gone = counted["dropped"] + counted["cancelled"] + taken[lane]
            found[lane] = Progress(ended, counted["submitted"] - gone)
        return found

    def _wait_us(self) -> int | None:
        """How long the loop may wait for arrivals, or None when there is nothing to wait for."""
        due_us = self._next_due_us()
        if due_us is not None:
            return min(max(0, due_us - self.now_us()), LONGEST_WAIT_US)
        return LONGEST_WAIT_US if self._scheduler.busy or self._expected else None

    def _load(self, lane: Lane) -> int:
        return self._scheduler.load(INDEX[lane])

    def _admit(self, job: Job) -> list[Job] | None:
        lane, generation, name = INDEX[job.lane], job.generation, job.title
        deadline_ns = None if job.deadline_us is None else self._clock.at_ns(job.deadline_us)
        if job.native is None:
            ticket, made_way = self._scheduler.submit(
                lane,
                job,
                partial(timed, job),
                generation=generation,
                deadline_ns=deadline_ns,
                name=name,
            )
        else:
            ticket, made_way = self._scheduler.submit_native(
                lane,
                job.native.job,
                generation=generation,
                deadline_ns=deadline_ns,
                name=name,
                reports=True,
                owner=job,
            )
        if not isinstance(ticket, str):
            return made_way
        # Of a lane that drops its oldest, all that is left may have begun: the newest goes then.
        return [*made_way, job] if job.lane in DROP_OLDEST else None

    def _withdraw_stale(self) -> list[Job]:
        return self._scheduler.cancel_before(self._live_from)

    def _post(self, callback: Callable[[], None]) -> None:
        self._scheduler.post(callback)

    def _ended(self, job: Job, value: Any, error: BaseException | None, dropped: bool) -> None:
        if error is not None:
            raise error if job.native is None else job.native.error(str(error)) from error
        if dropped:
            drop(job)
        else:
            self._taken[job.lane] += 1
            if job.native is None:
                self._hand_over(job, value[1])
            elif self.is_stale(job.generation):
                drop(job)
            else:
                self._hand_over(job, timed(job, value)[1])
        self._room_made(job.lane)


def _durations(until: list[int], count: int, sum_ns: int) -> Durations:
    return Durations(tuple(until), count, sum_ns / 1e3)
