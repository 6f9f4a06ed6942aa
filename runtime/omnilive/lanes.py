"""Lanes: where and when jobs run. Lanes know nothing about models or sessions.

A lane runs its jobs one after another; lanes run beside each other. Callbacks (``done``,
timers) all run on one thread, the loop's, so that the code above needs no locks. Two
implementations share one interface: ``VirtualLanes`` computes when a job would end from the
virtual time it declares, ``ThreadLanes`` runs each lane on a thread of its own.

Policies at a full lane: a frame lane drops its oldest waiting job; every other lane never drops
and asks its feeder to wait (``when_room``); stale generations are dropped wherever they wait.
"""

from __future__ import annotations

import enum
import heapq
import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from omnilive.clock import MonotonicClock, VirtualClock

T_co = TypeVar("T_co", covariant=True)


class Lane(enum.Enum):
    """The five lanes (DESIGN §5)."""

    LISTEN = "listen"
    SEE = "see"
    REMEMBER = "remember"
    REASON = "reason"
    SPEAK = "speak"


@dataclass(frozen=True)
class Work(Generic[T_co]):
    """What a job's function returns: its value, and the virtual time the job took."""

    value: T_co
    cost_us: int


@dataclass(frozen=True)
class Finished(Generic[T_co]):
    """What ``done`` receives: the value, and the measured wall time of the job."""

    value: T_co
    wall_us: int


@dataclass(frozen=True)
class Job:
    """One unit that a lane runs without pause: the unit of pre-emption.

    Attributes:
        run: does the work on the lane.
        done: called on the loop with the result, unless the generation has gone stale.
        dropped: called on the loop instead of ``done``, when a full lane or a stale generation
            drops the job or its result.
        generation: None for work that outlives any turn, such as perception.
    """

    lane: Lane
    run: Callable[[], Work[Any]]
    done: Callable[[Finished[Any]], None]
    dropped: Callable[[], None] | None = None
    generation: int | None = None


@dataclass(frozen=True)
class LaneLimits:
    """Waiting jobs each lane holds, and which lane drops its oldest instead of waiting."""

    capacity: dict[Lane, int] = field(
        default_factory=lambda: {
            Lane.LISTEN: 16,
            Lane.SEE: 2,
            Lane.REMEMBER: 16,
            Lane.REASON: 16,
            Lane.SPEAK: 256,
        }
    )
    drop_oldest: frozenset[Lane] = frozenset({Lane.SEE})


class Lanes:
    """Queues, timers and generations, common to both implementations."""

    def __init__(self, limits: LaneLimits | None = None) -> None:
        self._limits = limits or LaneLimits()
        self._waiting: dict[Lane, deque[Job]] = {lane: deque() for lane in Lane}
        self._running: set[Lane] = set()
        self._room: dict[Lane, list[Callable[[], None]]] = {lane: [] for lane in Lane}
        self._live_from = 0
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def now_us(self) -> int:
        """Stream time, microseconds."""
        raise NotImplementedError

    def start(self) -> None:
        """Make this moment the beginning of stream time."""

    def run(self) -> None:
        """Run timers and jobs until there are none."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop: waiting jobs are forgotten, running ones are waited for."""

    def at(self, time_us: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` on the loop at ``time_us``, or at once when that has passed."""
        heapq.heappush(self._timers, (time_us, next(self._order), callback))

    def submit(self, job: Job) -> None:
        """Queue a job, dropping the oldest waiting one on a full drop-oldest lane.

        A job of a stale generation is dropped at once.
        """
        if self._stale(job):
            _drop(job)
            return
        waiting = self._waiting[job.lane]
        if job.lane in self._limits.drop_oldest and len(waiting) >= self.capacity(job.lane):
            _drop(waiting.popleft())
        waiting.append(job)
        self._start_next(job.lane)

    def capacity(self, lane: Lane) -> int:
        """Jobs that may wait on ``lane``."""
        return self._limits.capacity[lane]

    def has_room(self, lane: Lane) -> bool:
        """Whether one more job may wait on ``lane`` without breaking its limit."""
        return len(self._waiting[lane]) < self.capacity(lane)

    def when_room(self, lane: Lane, callback: Callable[[], None]) -> None:
        """Call back once, as soon as ``lane`` has room: how a feeder feels back-pressure."""
        if self.has_room(lane):
            callback()
        else:
            self._room[lane].append(callback)

    def cancel_before(self, generation: int) -> None:
        """Make every generation below ``generation`` stale.

        Their waiting jobs never start, and the results of their running ones are dropped.
        """
        self._live_from = max(self._live_from, generation)
        for waiting in self._waiting.values():
            jobs = list(waiting)
            waiting.clear()
            waiting.extend(j for j in jobs if not self._stale(j))
            for job in jobs:
                if self._stale(job):
                    _drop(job)

    def _stale(self, job: Job) -> bool:
        return job.generation is not None and job.generation < self._live_from

    def _start_next(self, lane: Lane) -> None:
        if lane in self._running or not self._waiting[lane]:
            return
        job = self._waiting[lane].popleft()
        self._running.add(lane)
        self._launch(job)
        if self._room[lane] and self.has_room(lane):
            callbacks, self._room[lane] = self._room[lane], []
            for callback in callbacks:
                self.at(self.now_us(), callback)

    def _launch(self, job: Job) -> None:
        raise NotImplementedError

    def _finish(self, job: Job, finished: Finished[Any]) -> None:
        """On the loop: free the lane, hand the result over, start what waits."""
        self._running.discard(job.lane)
        if self._stale(job):
            _drop(job)
        else:
            job.done(finished)
        self._start_next(job.lane)


def _drop(job: Job) -> None:
    if job.dropped is not None:
        job.dropped()


def _timed(job: Job) -> tuple[Work[Any], Finished[Any]]:
    start_ns = time.perf_counter_ns()
    work = job.run()
    return work, Finished(work.value, (time.perf_counter_ns() - start_ns) // 1000)


class VirtualLanes(Lanes):
    """Lanes in virtual time: jobs run one by one, and end when they say they would have.

    Same inputs, same order, same times: nothing here depends on how fast the machine is.
    """

    def __init__(self, limits: LaneLimits | None = None) -> None:
        super().__init__(limits)
        self._clock = VirtualClock()

    def now_us(self) -> int:
        """Virtual stream time, microseconds."""
        return self._clock.now_us()

    def run(self) -> None:
        """Run until no timer is left; job ends are timers too."""
        while self._timers:
            time_us, _, callback = heapq.heappop(self._timers)
            self._clock.advance_to(time_us)
            callback()

    def _launch(self, job: Job) -> None:
        work, finished = _timed(job)
        self.at(self.now_us() + work.cost_us, lambda: self._finish(job, finished))


class ThreadLanes(Lanes):
    """Lanes in real time: one thread per lane, results handed back to the loop's thread.

    ``submit``, ``at`` and the callbacks belong to the thread that calls ``run``. An exception
    in a job is raised from ``run``.
    """

    def __init__(self, limits: LaneLimits | None = None) -> None:
        super().__init__(limits)
        self._clock = MonotonicClock()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
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
        """Run until there is neither a timer nor a running job."""
        while self._timers or self._running:
            wait_s = None
            if self._timers:
                wait_s = max(0, self._timers[0][0] - self.now_us()) / 1e6
            try:
                self._inbox.get(timeout=wait_s)()
            except queue.Empty:
                _, _, callback = heapq.heappop(self._timers)
                callback()

    def close(self) -> None:
        """Let running jobs end, then stop the threads."""
        for jobs in self._jobs.values():
            jobs.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _launch(self, job: Job) -> None:
        self._jobs[job.lane].put(job)

    def _work(self, lane: Lane) -> None:
        while (job := self._jobs[lane].get()) is not None:
            self._inbox.put(self._outcome(job))

    def _outcome(self, job: Job) -> Callable[[], None]:
        try:
            _, finished = _timed(job)
        except BaseException as error:
            return _raiser(error)
        return lambda: self._finish(job, finished)


def _raiser(error: BaseException) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it
