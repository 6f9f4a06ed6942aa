"""Tasks: one step at a time, one task after another, and nothing left of a stale one."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lane_jobs import MakeLanes
from omnilive.lanes import (
    Finished,
    Job,
    Lane,
    LaneFullError,
    LanesConfig,
    VirtualLanes,
    Work,
)
from omnilive.tasks import JOBS_PER_STEP, Task, TaskQueue


def count_to(n: int, cost_us: int = 10) -> Generator[Work[int], None, None]:
    for i in range(n):
        yield Work(i, cost_us)


def closing_steps(closed: list[str], name: str) -> Generator[Work[int], None, None]:
    """Endless steps that record when they are closed."""
    try:
        while True:
            yield Work(0, 10)
    finally:
        closed.append(name)


def test_another_lane_job_comes_between_two_steps_of_a_task() -> None:
    lanes, log = VirtualLanes(), list[str]()
    tasks = TaskQueue(lanes, Lane.REASON)
    tasks.submit(Task(count_to(4), on_step=lambda f: log.append(f"step {f.value}")))
    between = Job(Lane.REASON, lambda: Work("between", 10), lambda f: log.append(f.value))
    lanes.at(15, lambda: lanes.submit(between))
    lanes.run()
    assert log == ["step 0", "step 1", "between", "step 2", "step 3"]


def test_tasks_run_one_after_another_and_end_once(make_lanes: MakeLanes) -> None:
    lanes, log = make_lanes(), list[str]()
    tasks = TaskQueue(lanes, Lane.REMEMBER)

    def task(name: str) -> Task:
        return Task(
            count_to(2),
            on_step=lambda f: log.append(f"{name}{f.value}"),
            on_end=lambda: log.append(f"{name} end"),
        )

    lanes.at(0, lambda: [tasks.submit(task(n)) for n in "ab"] and None)
    lanes.run()
    assert log == ["a0", "a1", "a end", "b0", "b1", "b end"]


@given(cancel_at_us=st.integers(0, 120))
def test_a_cancelled_task_stops_within_one_step_and_the_next_one_runs(cancel_at_us: int) -> None:
    lanes = VirtualLanes()
    tasks = TaskQueue(lanes, Lane.REASON)
    steps: list[int] = []
    after: list[int] = []

    def step(f: Finished[int]) -> None:
        steps.append(lanes.now_us())

    tasks.submit(Task(count_to(10), on_step=step, generation=1))
    tasks.submit(Task(count_to(3), on_step=lambda f: after.append(f.value), generation=2))
    lanes.at(cancel_at_us, lambda: lanes.cancel_before(2))
    lanes.run()
    assert all(t <= cancel_at_us for t in steps) or cancel_at_us >= 100
    assert after == [0, 1, 2]


def test_a_dropped_task_is_closed_at_once_and_does_not_end(make_lanes: MakeLanes) -> None:
    lanes, closed = make_lanes(), list[str]()
    tasks = TaskQueue(lanes, Lane.REASON)
    seen: list[str] = []

    def step(f: Finished[int]) -> None:
        seen.append("step")
        if len(seen) == 3:
            lanes.cancel_before(2)

    running = closing_steps(closed, "running")
    tasks.submit(Task(running, step, on_end=lambda: seen.append("end"), generation=1))
    lanes.run()
    assert seen == ["step"] * 3
    assert closed == ["running"]


def test_stale_tasks_do_not_wait_for_their_turn_to_be_dropped(make_lanes: MakeLanes) -> None:
    lanes, log = make_lanes(), list[str]()
    tasks = TaskQueue(lanes, Lane.REMEMBER)
    left_waiting: list[int] = []

    def begin() -> None:
        tasks.submit(Task(count_to(2), on_step=lambda f: log.append("clip")))
        for generation in range(1, 4):
            tasks.submit(
                Task(
                    count_to(1),
                    on_step=lambda f, g=generation: log.append(f"question {g}"),  # type: ignore[misc]
                    generation=generation,
                )
            )
        lanes.cancel_before(3)
        left_waiting.append(tasks.waiting)
        tasks.submit(Task(count_to(1), on_step=lambda f: log.append("stale"), generation=2))
        left_waiting.append(tasks.waiting)

    lanes.at(0, begin)
    lanes.run()
    assert left_waiting == [1, 1]
    assert log == ["clip", "clip", "question 3"]


def test_a_full_queue_refuses_a_task_and_keeps_those_it_has(make_lanes: MakeLanes) -> None:
    lanes, log = make_lanes(), list[int]()
    tasks = TaskQueue(lanes, Lane.REMEMBER, limit=2)

    def fill() -> None:
        for _ in range(3):  # one runs, two wait
            tasks.submit(Task(count_to(1), on_step=lambda f: log.append(f.value)))
        with pytest.raises(LaneFullError, match="remember"):
            tasks.submit(Task(count_to(1), on_step=lambda f: log.append(-1)))

    lanes.at(0, fill)
    lanes.run()
    assert log == [0, 0, 0]


def test_a_queue_holds_as_many_tasks_as_its_lane_holds_jobs_unless_told_otherwise() -> None:
    lanes = VirtualLanes(LanesConfig(remember=3))
    tasks = TaskQueue(lanes, Lane.REMEMBER)
    for _ in range(4):
        tasks.submit(Task(count_to(1), on_step=lambda f: None))
    assert tasks.waiting == 3
    with pytest.raises(LaneFullError):
        tasks.submit(Task(count_to(1), on_step=lambda f: None))


def test_a_task_waits_for_the_lane_it_feeds() -> None:
    """Every step feeds as many jobs as it may, far more than the slow lane does meanwhile."""
    lanes = VirtualLanes(LanesConfig(speak=JOBS_PER_STEP))
    tasks = TaskQueue(lanes, Lane.REASON)
    spoken: list[int] = []

    def feed(f: Finished[int]) -> None:
        for _ in range(JOBS_PER_STEP):
            lanes.submit(
                Job(Lane.SPEAK, lambda: Work(f.value, 1_000), lambda s: spoken.append(s.value))
            )

    tasks.submit(Task(count_to(5), on_step=feed, feeds=Lane.SPEAK))
    lanes.run()
    assert spoken == [step for step in range(5) for _ in range(JOBS_PER_STEP)]


def test_a_task_that_goes_stale_while_it_waits_for_room_makes_way_for_the_next() -> None:
    lanes, closed = VirtualLanes(LanesConfig(speak=JOBS_PER_STEP)), list[str]()
    tasks = TaskQueue(lanes, Lane.REASON)
    spoken: list[str] = []

    def speak() -> Job:
        return Job(
            Lane.SPEAK,
            lambda: Work("old", 1_000),
            lambda f: spoken.append(f.value),
            generation=1,
        )

    def feed(f: Finished[int]) -> None:
        for _ in range(JOBS_PER_STEP):
            lanes.submit(speak())

    old = Task(closing_steps(closed, "old"), feed, generation=1, feeds=Lane.SPEAK)
    new = Task(count_to(1), on_step=lambda f: spoken.append("new"), generation=2)

    def supersede() -> None:
        lanes.cancel_before(2)
        tasks.submit(new)

    tasks.submit(old)
    lanes.at(500, supersede)
    lanes.run()
    assert closed == ["old"]
    assert spoken == ["new"]


def test_room_is_offered_in_order_once_there_is_enough_of_it(make_lanes: MakeLanes) -> None:
    lanes, log = make_lanes(), list[str]()
    tasks = TaskQueue(lanes, Lane.LISTEN, limit=2)

    def feed() -> None:
        for name in "abc":
            tasks.submit(Task(count_to(2), lambda f: None, on_end=lambda n=name: log.append(n)))  # type: ignore[misc]
        tasks.when_room(lambda: log.append("room for 2"), 2)
        tasks.when_room(lambda: log.append("room for 1"))

    lanes.at(0, feed)
    lanes.run()
    assert log.index("b") < log.index("room for 2") < log.index("room for 1")
    assert sorted(log) == ["a", "b", "c", "room for 1", "room for 2"]


def test_room_that_stale_tasks_leave_is_offered() -> None:
    lanes, log = VirtualLanes(), list[str]()
    tasks = TaskQueue(lanes, Lane.LISTEN, limit=1)
    tasks.submit(Task(count_to(1, cost_us=1_000), lambda f: None))
    tasks.submit(Task(count_to(1), lambda f: None, generation=1))
    tasks.when_room(lambda: log.append(f"room at {lanes.now_us()}"))
    lanes.at(10, lambda: lanes.cancel_before(2))
    lanes.run()
    assert log == ["room at 10"]


def test_more_room_than_there_ever_is_is_refused() -> None:
    with pytest.raises(ValueError, match="3 tasks never fit"):
        TaskQueue(VirtualLanes(), Lane.LISTEN, limit=2).when_room(lambda: None, 3)
