"""Tasks: work longer than one step, run on a lane step by step so that others may come between.

A task is a generator of ``Work``: each ``next()`` is one job of its lane, which makes the step
the unit of pre-emption and of cancellation. A queue runs its tasks strictly one after another,
and knows nothing about what they compute.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from omnilive.lanes import Finished, Job, Lane, LaneFullError, Lanes, Work

JOBS_PER_STEP = 32
"""Most jobs that one step may bring to the lane it feeds, such as the sentences of one token."""


@dataclass(frozen=True)
class Task:
    """Steps to run on a lane.

    Attributes:
        steps: yields one Work per step; closed early when the generation goes stale.
        on_step: called on the loop with each step's result.
        on_end: called on the loop after the last step, not when the task was dropped.
        generation: as in ``Job``.
        name: what it is called in a trace; by default as the function of its steps is.
        feeds: lane that ``on_step`` submits to, if any: each step waits until that lane has
            room for ``JOBS_PER_STEP`` jobs, so that a slow lane slows what feeds it.
    """

    steps: Generator[Work[Any], None, None]
    on_step: Callable[[Finished[Any]], None]
    on_end: Callable[[], None] | None = None
    generation: int | None = None
    feeds: Lane | None = None
    name: str = ""


class TaskQueue:
    """Runs tasks in order on one lane, one step of one task at a time.

    It holds at most ``limit`` tasks not yet begun and refuses more; feeders look at ``waiting``
    first. Tasks of a stale generation are dropped wherever they wait.
    """

    def __init__(self, lanes: Lanes, lane: Lane, limit: int | None = None) -> None:
        """Take tasks for ``lane``; ``limit`` is the lane's own capacity when None."""
        self._lanes = lanes
        self._lane = lane
        self._limit = lanes.capacity(lane) if limit is None else limit
        self._tasks: deque[Task] = deque()
        self._current: Task | None = None
        self._room: deque[tuple[int, Callable[[], None]]] = deque()
        lanes.on_stale(self._forget_stale)

    @property
    def waiting(self) -> int:
        """Tasks not yet begun."""
        return len(self._tasks)

    def submit(self, task: Task) -> None:
        """Queue a task; it starts when those before it have ended or been dropped.

        One of a stale generation is dropped at once.

        Raises:
            LaneFullError: ``limit`` tasks wait already.
        """
        if self._lanes.is_stale(task.generation):
            task.steps.close()
            return
        if self._current is not None and len(self._tasks) >= self._limit:
            raise LaneFullError(f"{len(self._tasks)} tasks wait for the {self._lane.value} lane")
        self._tasks.append(task)
        self._start_next()

    def when_room(self, callback: Callable[[], None], tasks: int = 1) -> None:
        """Call back once, when ``tasks`` more may wait: how a feeder feels back-pressure.

        At once when there is room already and nobody waits for it; else in order.

        Raises:
            ValueError: ``tasks`` is more than the queue ever holds.
        """
        if tasks > self._limit:
            raise ValueError(f"{tasks} tasks never fit the {self._limit} that may wait")
        self._room.append((tasks, callback))
        if len(self._room) == 1:
            self._offer_room()

    def _offer_room(self) -> None:
        while self._room and len(self._tasks) + self._room[0][0] <= self._limit:
            self._room.popleft()[1]()

    def _room_made(self) -> None:
        """Offer the room from a timer: whoever made it has not finished yet."""
        if self._room:
            self._lanes.at(self._lanes.now_us(), self._offer_room)

    def _start_next(self) -> None:
        if self._current is None and self._tasks:
            self._current = self._tasks.popleft()
            self._next_step(self._current)
            self._room_made()

    def _next_step(self, task: Task) -> None:
        if task.feeds is None:
            self._submit_step(task)
        else:
            self._lanes.when_room(task.feeds, lambda: self._submit_step(task), JOBS_PER_STEP)

    def _submit_step(self, task: Task) -> None:
        self._lanes.submit(
            Job(
                self._lane,
                run=lambda: next(task.steps, None) or _END,
                done=lambda finished: self._stepped(task, finished),
                dropped=lambda: self._dropped(task),
                generation=task.generation,
                name=task.name or str(getattr(task.steps, "__name__", "step")).strip("_"),
            )
        )

    def _stepped(self, task: Task, finished: Finished[Any]) -> None:
        if finished.value is _END.value:
            if task.on_end is not None:
                task.on_end()
            self._end()
        else:
            task.on_step(finished)
            self._next_step(task)

    def _forget_stale(self) -> None:
        """Drop the stale among the tasks not yet begun; the current one's step is dropped as a job.

        One that waits for room gets it from the stale jobs it fed, which go the same way.
        """
        stale = [t for t in self._tasks if self._lanes.is_stale(t.generation)]
        self._tasks = deque(t for t in self._tasks if not self._lanes.is_stale(t.generation))
        for task in stale:
            task.steps.close()
        self._room_made()

    def _dropped(self, task: Task) -> None:
        task.steps.close()
        self._end()

    def _end(self) -> None:
        self._current = None
        self._start_next()


_END: Work[object] = Work(object(), 0)
"""What a step yields when there is no step left."""
