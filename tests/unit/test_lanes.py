"""Lanes and tasks under virtual and real time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.lanes import Finished, Job, Lane, LaneLimits, Lanes, ThreadLanes, VirtualLanes, Work
from omnilive.tasks import Task, TaskQueue


@pytest.fixture(params=[VirtualLanes, ThreadLanes])
def make_lanes(request: pytest.FixtureRequest) -> Iterator[Callable[..., Lanes]]:
    made: list[Lanes] = []

    def make(limits: LaneLimits | None = None) -> Lanes:
        made.append(request.param(limits))
        made[-1].start()
        return made[-1]

    yield make
    for lanes in made:
        lanes.close()


def job(
    lane: Lane, name: str, log: list[str], *, cost_us: int = 10, generation: int | None = None
) -> Job:
    return Job(
        lane,
        run=lambda: Work(name, cost_us),
        done=lambda f: log.append(f.value),
        dropped=lambda: log.append(f"dropped {name}"),
        generation=generation,
    )


def test_jobs_of_one_lane_run_in_the_order_they_came(make_lanes: Callable[..., Lanes]) -> None:
    lanes, log = make_lanes(), list[str]()
    for i in range(10):
        lanes.submit(job(Lane.LISTEN, str(i), log))
    lanes.run()
    assert log == [str(i) for i in range(10)]


def test_lanes_overlap_in_virtual_time() -> None:
    lanes, log = VirtualLanes(), list[str]()
    lanes.submit(job(Lane.REASON, "slow", log, cost_us=100))
    lanes.submit(job(Lane.SEE, "quick", log, cost_us=10))
    lanes.run()
    assert log == ["quick", "slow"]
    assert lanes.now_us() == 100


def test_a_full_frame_lane_drops_its_oldest_waiting_job(make_lanes: Callable[..., Lanes]) -> None:
    lanes, log = make_lanes(), list[str]()
    lanes.at(0, lambda: [lanes.submit(job(Lane.SEE, str(i), log)) for i in range(6)] and None)
    lanes.run()
    assert sorted(log) == sorted(["dropped 1", "dropped 2", "dropped 3", "0", "4", "5"])


def test_a_stale_generation_never_starts_and_its_running_result_is_dropped(
    make_lanes: Callable[..., Lanes],
) -> None:
    lanes, log = make_lanes(), list[str]()

    def begin() -> None:
        for name in ("running", "waiting"):
            lanes.submit(job(Lane.REASON, name, log, generation=1))
        lanes.submit(job(Lane.REASON, "new", log, generation=2))
        lanes.submit(job(Lane.REASON, "ageless", log))
        lanes.cancel_before(2)

    lanes.at(0, begin)
    lanes.run()
    assert sorted(log) == ["ageless", "dropped running", "dropped waiting", "new"]


def test_a_feeder_waits_for_room_instead_of_losing_a_job(make_lanes: Callable[..., Lanes]) -> None:
    capacity = {lane: 1 for lane in Lane}
    lanes, log = make_lanes(LaneLimits(capacity, drop_oldest=frozenset())), list[str]()
    left = list("abcdefg")

    def feed() -> None:
        lanes.submit(job(Lane.LISTEN, left.pop(0), log))
        if left:
            lanes.when_room(Lane.LISTEN, feed)

    lanes.at(0, feed)
    lanes.run()
    assert "".join(log) == "abcdefg"


def test_an_error_in_a_job_reaches_the_caller_of_run(make_lanes: Callable[..., Lanes]) -> None:
    def fail() -> Work[None]:
        raise ZeroDivisionError

    lanes = make_lanes()
    lanes.at(0, lambda: lanes.submit(Job(Lane.SEE, fail, lambda f: None)))
    with pytest.raises(ZeroDivisionError):
        lanes.run()


@given(
    jobs=st.lists(
        st.tuples(st.sampled_from(list(Lane)), st.integers(0, 50), st.integers(0, 30)), max_size=30
    )
)
def test_virtual_time_is_a_function_of_the_jobs(jobs: list[tuple[Lane, int, int]]) -> None:
    def trace() -> list[tuple[int, int]]:
        lanes = VirtualLanes(LaneLimits({lane: 3 for lane in Lane}))
        ends: list[tuple[int, int]] = []
        for i, (lane, at_us, cost_us) in enumerate(jobs):
            one = Job(
                lane,
                run=lambda c=cost_us: Work(None, c),  # type: ignore[misc]
                done=lambda f, i=i: ends.append((lanes.now_us(), i)),  # type: ignore[misc]
            )
            lanes.at(at_us, lambda one=one: lanes.submit(one))  # type: ignore[misc]
        lanes.run()
        return ends

    first = trace()
    assert first == trace()
    assert first == sorted(first, key=lambda e: e[0])


def count_to(n: int, cost_us: int = 10) -> Generator[Work[int], None, None]:
    for i in range(n):
        yield Work(i, cost_us)


def test_another_lane_job_comes_between_two_steps_of_a_task() -> None:
    lanes, log = VirtualLanes(), list[str]()
    tasks = TaskQueue(lanes, Lane.REASON)
    tasks.submit(Task(count_to(4), on_step=lambda f: log.append(f"step {f.value}")))
    lanes.at(15, lambda: lanes.submit(job(Lane.REASON, "between", log)))
    lanes.run()
    assert log == ["step 0", "step 1", "between", "step 2", "step 3"]


def test_tasks_run_one_after_another_and_end_once(make_lanes: Callable[..., Lanes]) -> None:
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
