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

from omnilive.lanes import Finished, Job, Lane, Lanes, Work


@dataclass(frozen=True)
class Task:
    """Steps to run on a lane.

    Attributes:
        steps: yields one Work per step; closed early when the generation goes stale.
        on_step: called on the loop with each step's result.
        on_end: called on the loop after the last step, not when the task was dropped.
        generation: as in ``Job``.
    """

    steps: Generator[Work[Any], None, None]
    on_step: Callable[[Finished[Any]], None]
    on_end: Callable[[], None] | None = None
    generation: int | None = None


class TaskQueue:
    """Runs tasks in order on one lane. Bounded by its feeders: they ask ``waiting`` first."""

    def __init__(self, lanes: Lanes, lane: Lane) -> None:
        self._lanes = lanes
        self._lane = lane
        self._tasks: deque[Task] = deque()
        self._current: Task | None = None

    @property
    def waiting(self) -> int:
        """Tasks not yet begun."""
        return len(self._tasks)

    def submit(self, task: Task) -> None:
        """Queue a task; it starts when those before it have ended or been dropped."""
        self._tasks.append(task)
        self._start_next()

    def _start_next(self) -> None:
        if self._current is None and self._tasks:
            self._current = self._tasks.popleft()
            self._submit_step(self._current)

    def _submit_step(self, task: Task) -> None:
        self._lanes.submit(
            Job(
                self._lane,
                run=lambda: next(task.steps, None) or _END,
                done=lambda finished: self._stepped(task, finished),
                dropped=lambda: self._dropped(task),
                generation=task.generation,
            )
        )

    def _stepped(self, task: Task, finished: Finished[Any]) -> None:
        if finished.value is _END.value:
            if task.on_end is not None:
                task.on_end()
            self._end()
        else:
            task.on_step(finished)
            self._submit_step(task)

    def _dropped(self, task: Task) -> None:
        task.steps.close()
        self._end()

    def _end(self) -> None:
        self._current = None
        self._start_next()


_END: Work[object] = Work(object(), 0)
