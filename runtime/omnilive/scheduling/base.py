"""What both kinds of lanes share: timers, room and generations. It holds and runs no job itself.

Policies at a full lane: the see lane drops its oldest waiting job; every other lane refuses one
more with ``LaneFullError``, so its feeder asks first (``when_room``) and waits. Jobs of a stale
generation are dropped wherever they wait, which makes room, too.
"""

from __future__ import annotations

import abc
import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from omnilive.scheduling.config import LanesConfig
from omnilive.scheduling.jobs import Finished, Job, Lane, Progress, Work
from omnilive.scheduling.trace import Span

DROP_OLDEST = frozenset({Lane.SEE})
"""Lanes whose newest job is worth more than their oldest."""


class LaneFullError(RuntimeError):
    """A job was submitted where there is no room: a feeder that did not ask, hence a bug."""


class Timer:
    """A callback due at some time, as ``Lanes.at`` returns it."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    @property
    def cancelled(self) -> bool:
        """Whether it will never be called."""
        return self._callback is None

    def cancel(self) -> None:
        """Never call back; the lanes do not wait for its time any more."""
        self._callback = None

    def fire(self) -> None:
        """Call back, unless cancelled."""
        if self._callback is not None:
            self._callback()


class Lanes(abc.ABC):
    """Jobs in, results out. Everything but what ``expect`` returns belongs to the loop's thread."""

    def __init__(self, config: LanesConfig | None = None) -> None:
        self._config = config or LanesConfig()
        self._room: dict[Lane, deque[tuple[int, Callable[[], None]]]] = {
            lane: deque() for lane in Lane
        }
        self._live_from = 0
        self._forget_stale: list[Callable[[], None]] = []
        self._timers: list[tuple[int, int, Timer]] = []
        self._order = itertools.count()
        self._expected = 0

    @abc.abstractmethod
    def now_us(self) -> int:
        """Stream time, microseconds."""

    @abc.abstractmethod
    def start(self) -> None:
        """Make this moment the beginning of stream time."""

    @abc.abstractmethod
    def run(self) -> None:
        """Run timers and jobs until there are none and nothing is expected.

        May be called again once more timers or jobs were added.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Stop: waiting jobs are forgotten, running ones are waited for."""

    @abc.abstractmethod
    def spans(self) -> tuple[Span, ...]:
        """The jobs that have ended, as many as are kept for a trace."""

    @abc.abstractmethod
    def figures(self) -> Mapping[str, Mapping[str, Any]]:
        """What was counted and measured of each lane, by its name."""

    @abc.abstractmethod
    def progress(self) -> Mapping[Lane, Progress]:
        """How far each lane has come; in real time from any thread."""

    @abc.abstractmethod
    def _load(self, lane: Lane) -> int:
        """Jobs of ``lane`` whose end the loop has not seen, besides one that runs."""

    @abc.abstractmethod
    def _admit(self, job: Job) -> list[Job] | None:
        """Queue a live job; ``_hand_over`` is called on the loop when it has ended.

        Returns:
            The jobs that had to make way, perhaps itself; None when the lane refuses it.
        """

    @abc.abstractmethod
    def _withdraw_stale(self) -> list[Job]:
        """Take out the jobs that are stale and have not begun, lane by lane."""

    @abc.abstractmethod
    def _post(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called on the loop; from any thread."""

    def at(self, time_us: int, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` on the loop at ``time_us``, or soon when that has passed.

        Callbacks of the same time are called in the order they were asked for.
        """
        timer = Timer(callback)
        heapq.heappush(self._timers, (time_us, next(self._order), timer))
        return timer

    def expect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Wait for something that another thread brings about.

        Returns:
            A function to be called once, from any thread: the loop then calls ``callback``.
            Until it has, ``run`` does not end, and virtual time stands still.
        """
        self._expected += 1

        def receive() -> None:
            self._expected -= 1
            callback()

        return partial(self._post, receive)

    def submit(self, job: Job) -> None:
        """Queue a job. One of a stale generation is dropped at once.

        A full see lane drops its oldest waiting job instead.

        Raises:
            LaneFullError: any other lane has no room.
        """
        if self.is_stale(job.generation):
            drop(job)
            return
        made_way = self._admit(job)
        if made_way is None:
            waiting = self._load(job.lane)
            raise LaneFullError(f"the {job.lane.value} lane has {waiting} jobs waiting")
        for dropped in made_way:
            drop(dropped)

    def capacity(self, lane: Lane) -> int:
        """Jobs that may wait on ``lane``."""
        return int(getattr(self._config, lane.value))

    def has_room(self, lane: Lane, jobs: int = 1) -> bool:
        """Whether ``jobs`` more jobs may wait on ``lane`` without breaking its limit."""
        return self._load(lane) + jobs <= self.capacity(lane)

    def when_room(self, lane: Lane, callback: Callable[[], None], jobs: int = 1) -> None:
        """Call back once, when ``lane`` has room for ``jobs``: how a feeder feels back-pressure.

        At once when there is room already and nobody waits for it. Callers are served in order,
        each only while there is room for its jobs.

        Raises:
            ValueError: ``jobs`` is more than the lane ever holds.
        """
        if jobs > self.capacity(lane):
            raise ValueError(f"{jobs} jobs never fit the {lane.value} lane")
        self._room[lane].append((jobs, callback))
        if len(self._room[lane]) == 1:
            self._offer_room(lane)

    def cancel_before(self, generation: int) -> None:
        """Make every generation below ``generation`` stale.

        Their waiting jobs never start, and the results of their running ones are dropped.
        """
        self._live_from = max(self._live_from, generation)
        for forget in self._forget_stale:
            forget()
        withdrawn = self._withdraw_stale()
        for lane in dict.fromkeys(job.lane for job in withdrawn):
            self._room_made(lane)
        for job in withdrawn:
            drop(job)

    def on_stale(self, forget: Callable[[], None]) -> None:
        """Call ``forget`` whenever generations have gone stale, before their jobs are dropped."""
        self._forget_stale.append(forget)

    def is_stale(self, generation: int | None) -> bool:
        """Whether work of ``generation`` is no longer wanted; None never goes stale."""
        return generation is not None and generation < self._live_from

    def _next_due_us(self) -> int | None:
        """When the next timer is due, or None without one."""
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _fire_next(self) -> None:
        heapq.heappop(self._timers)[2].fire()

    def _room_made(self, lane: Lane) -> None:
        """Offer the room from a timer: whoever made it has not finished yet."""
        if self._room[lane]:
            self.at(self.now_us(), partial(self._offer_room, lane))

    def _offer_room(self, lane: Lane) -> None:
        waiting = self._room[lane]
        while waiting and self.has_room(lane, waiting[0][0]):
            waiting.popleft()[1]()

    def _hand_over(self, job: Job, finished: Finished[Any]) -> None:
        """On the loop: give a result to whoever wanted it, unless nobody does any more."""
        if self.is_stale(job.generation):
            drop(job)
        else:
            job.done(finished)


def timed(job: Job, native_ns: int = 0) -> tuple[Work[Any], Finished[Any]]:
    """Run a job's function here and now: what it returned, and the same with the wall time.

    Args:
        job: whose native work, if any, has been done.
        native_ns: how long that took.
    """
    start_ns = time.perf_counter_ns() - native_ns
    work = job.run()
    return work, Finished(work.value, (time.perf_counter_ns() - start_ns) // 1000)


def drop(job: Job) -> None:
    """On the loop: tell whoever wanted a job's result that there will be none."""
    if job.dropped is not None:
        job.dropped()
