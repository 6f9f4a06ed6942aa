"""Lanes under virtual and real time: order, threads, timers, and what other threads bring."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lane_jobs import WAIT_S, MakeLanes, job, soon
from omnilive._native import NativeJob, OrtTensor, resize_into
from omnilive.lanes import (
    Finished,
    Job,
    Lane,
    Lanes,
    LanesConfig,
    ThreadLanes,
    VirtualLanes,
    Work,
)
from omnilive.scheduling import threads


def test_lanes_cannot_be_made_without_a_clock_and_a_loop() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Lanes()  # type: ignore[abstract]


def test_jobs_of_one_lane_run_in_the_order_they_came(make_lanes: MakeLanes) -> None:
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


@dataclass(frozen=True)
class Resizing:
    """Native work whose failure is a KeyError."""

    job: NativeJob

    def error(self, cause: str) -> Exception:
        return KeyError(cause)


def resizing(height: int, tensor: OrtTensor) -> Resizing:
    return Resizing(resize_into(np.full((height, 4, 3), 7, np.uint8), tensor))


def test_a_native_job_makes_its_result_on_the_loop(make_lanes: MakeLanes) -> None:
    lanes, log, where = make_lanes(), list[int](), list[int]()
    tensor = OrtTensor("uint8", [1, 2, 2, 3])

    def total() -> Work[int]:
        where.append(threading.get_ident())
        return Work(int(tensor.array.sum()), 10)

    native = resizing(4, tensor)
    lanes.submit(Job(Lane.SEE, total, lambda f: log.append(f.value), native=native))
    lanes.run()
    assert log == [7 * 12] and where == [threading.get_ident()]
    assert lanes.figures()["see"]["done"] == 1


def test_a_native_job_that_fails_ends_the_run_with_its_own_error(make_lanes: MakeLanes) -> None:
    lanes, ran = make_lanes(), list[int]()
    failing = resizing(70_000, OrtTensor("uint8", [1, 2, 2, 3]))

    def run() -> Work[None]:
        ran.append(1)
        return Work(None, 0)

    soon(lanes, lambda: lanes.submit(Job(Lane.SEE, run, lambda f: None, native=failing)))
    with pytest.raises(KeyError, match="65536 pixels"):
        lanes.run()
    assert not ran


def test_every_lane_runs_beside_the_others_in_real_time(thread_lanes: ThreadLanes) -> None:
    together = threading.Barrier(len(Lane))
    log: list[str] = []

    def meet() -> Work[str]:
        together.wait(WAIT_S)  # breaks unless a job of every lane is running
        return Work("met", 0)

    for lane in Lane:
        thread_lanes.submit(Job(lane, meet, lambda f: log.append(f.value)))
    thread_lanes.run()
    assert log == ["met"] * len(Lane)


def test_jobs_run_on_their_lanes_thread_and_callbacks_on_the_loops(
    thread_lanes: ThreadLanes,
) -> None:
    seen: list[str] = []

    def here() -> str:
        return threading.current_thread().name

    thread_lanes.submit(
        Job(Lane.SEE, lambda: Work(here(), 0), lambda f: seen.extend([f.value, here()]))
    )
    thread_lanes.run()
    assert seen == ["lane-see", threading.current_thread().name]


def test_an_error_in_a_job_reaches_the_caller_of_run(make_lanes: MakeLanes) -> None:
    def fail() -> Work[None]:
        raise ZeroDivisionError

    lanes = make_lanes()
    soon(lanes, lambda: lanes.submit(Job(Lane.SEE, fail, lambda f: None)))
    with pytest.raises(ZeroDivisionError):
        lanes.run()


def test_a_cancelled_timer_is_neither_called_nor_waited_for(make_lanes: MakeLanes) -> None:
    lanes, log = make_lanes(), list[str]()
    forever = lanes.at(10**30, lambda: log.append("never"))
    lanes.submit(Job(Lane.SEE, lambda: Work(None, 10), lambda f: forever.cancel()))
    lanes.run()
    assert log == [] and forever.cancelled
    assert lanes.now_us() < 10**15


def test_a_timer_is_never_early_however_short_the_loop_waits_at_a_stretch(
    thread_lanes: ThreadLanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "LONGEST_WAIT_US", 100)
    called_at: list[int] = []
    due = [thread_lanes.now_us() + wait_us for wait_us in (500, 3_000, 7_000)]
    for due_us in due:
        thread_lanes.at(due_us, lambda: called_at.append(thread_lanes.now_us()))
    thread_lanes.run()
    assert all(at_us >= due_us for at_us, due_us in zip(called_at, due, strict=True))


def test_what_another_thread_brings_is_waited_for_and_taken_on_the_loop(
    make_lanes: MakeLanes,
) -> None:
    lanes = make_lanes()
    taken_in: list[threading.Thread] = []
    arrived = lanes.expect(lambda: taken_in.append(threading.current_thread()))
    thread = threading.Thread(target=arrived)
    thread.start()
    lanes.run()
    thread.join(WAIT_S)
    assert taken_in == [threading.current_thread()]


def test_jobs_and_timers_go_on_while_something_is_expected(thread_lanes: ThreadLanes) -> None:
    log: list[str] = []
    arrived = thread_lanes.expect(lambda: log.append("arrived"))
    thread_lanes.submit(job(Lane.SEE, "job", log))

    def bring() -> None:
        if "job" not in log:
            thread_lanes.at(thread_lanes.now_us() + 1_000, bring)
        else:
            log.append("timer")
            arrived()

    thread_lanes.at(0, bring)
    thread_lanes.run()
    assert log == ["job", "timer", "arrived"]


def test_virtual_time_stands_still_while_something_is_expected() -> None:
    lanes, log = VirtualLanes(), list[tuple[str, int]]()
    lanes.at(5, lambda: log.append(("timer", lanes.now_us())))

    def expect(number: int) -> None:
        log.append((f"arrived {number}", lanes.now_us()))
        if number < 50:
            threading.Thread(target=lanes.expect(lambda: expect(number + 1))).start()

    expect(0)
    lanes.run()
    assert log == [*((f"arrived {i}", 0) for i in range(51)), ("timer", 5)]


def test_neither_timers_nor_results_hold_each_other_up(thread_lanes: ThreadLanes) -> None:
    """A chain of timers that are always due, and one of results that are always there."""
    timers = results = 0

    def timer() -> None:
        nonlocal timers
        timers += 1
        assert timers < 1_000
        if results < 50:
            thread_lanes.at(0, timer)

    def result() -> None:
        nonlocal results
        results += 1
        if results < 50:
            thread_lanes.expect(result)()
        else:
            assert timers > 1

    thread_lanes.at(0, timer)
    thread_lanes.expect(result)()
    thread_lanes.run()
    assert results == 50


def test_closing_waits_for_the_running_job_and_forgets_the_waiting_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lanes, ran = ThreadLanes(), list[str]()
    started, release = threading.Event(), threading.Event()

    def first() -> Work[None]:
        started.set()
        assert release.wait(WAIT_S)
        ran.append("first")
        return Work(None, 0)

    def second() -> Work[None]:
        ran.append("second")
        return Work(None, 0)

    lanes.start()
    for run in (first, second):
        lanes.submit(Job(Lane.LISTEN, run, lambda f: None))
    assert started.wait(WAIT_S)
    # The first job goes on only when closing has come so far as to wait for its thread.
    (thread,) = [t for t in threading.enumerate() if t.name == "lane-listen"]
    join = thread.join
    monkeypatch.setattr(thread, "join", lambda: [release.set(), join()])
    lanes.close()
    assert ran == ["first"]
    assert not [t for t in threading.enumerate() if t.name.startswith("lane-")]


def test_lanes_that_never_started_can_be_closed() -> None:
    ThreadLanes().close()
    VirtualLanes().close()


@given(
    jobs=st.lists(
        st.tuples(st.sampled_from(list(Lane)), st.integers(0, 50), st.integers(0, 30)), max_size=30
    )
)
def test_virtual_time_is_a_function_of_the_jobs(jobs: list[tuple[Lane, int, int]]) -> None:
    def trace() -> list[tuple[int, int]]:
        lanes = VirtualLanes(LanesConfig(listen=3, see=3, remember=3, reason=3, speak=3))
        ends: list[tuple[int, int]] = []

        def feed(one: Job) -> None:
            lanes.when_room(one.lane, lambda: lanes.submit(one))

        for i, (lane, at_us, cost_us) in enumerate(jobs):
            one = Job(
                lane,
                run=lambda c=cost_us: Work(None, c),  # type: ignore[misc]
                done=lambda f, i=i: ends.append((lanes.now_us(), i)),  # type: ignore[misc]
            )
            lanes.at(at_us, lambda one=one: feed(one))  # type: ignore[misc]
        lanes.run()
        return ends

    first = trace()
    assert first == trace()
    assert len(first) == len(jobs)
    assert first == sorted(first, key=lambda e: e[0])


def test_the_wall_time_of_a_job_is_measured(make_lanes: MakeLanes) -> None:
    lanes, measured = make_lanes(), list[Finished[str]]()
    lanes.submit(Job(Lane.SEE, lambda: Work("seen", 1), measured.append))
    lanes.run()
    (finished,) = measured
    assert finished.value == "seen" and finished.wall_us >= 0
