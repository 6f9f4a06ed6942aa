"""What a full lane does, how a feeder waits for room, and what becomes of stale jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from lane_jobs import WAIT_S, MakeLanes, job, soon
from omnilive.errors import ConfigError
from omnilive.lanes import Job, Lane, LaneFullError, LanesConfig, ThreadLanes, VirtualLanes, Work


def test_a_full_frame_lane_drops_its_oldest_waiting_job(make_lanes: MakeLanes) -> None:
    lanes, log = make_lanes(), list[str]()
    all_there = threading.Event()

    def first() -> Work[str]:
        if isinstance(lanes, ThreadLanes):
            assert all_there.wait(WAIT_S)
        return Work("0", 10)

    def fill() -> None:
        lanes.submit(Job(Lane.SEE, first, lambda f: log.append(f.value)))
        for i in range(1, 6):
            lanes.submit(job(Lane.SEE, str(i), log))
        all_there.set()

    soon(lanes, fill)
    lanes.run()
    assert log == ["dropped 1", "dropped 2", "dropped 3", "0", "4", "5"]


@pytest.mark.parametrize("lane", sorted(set(Lane) - {Lane.SEE}, key=lambda lane: lane.value))
def test_any_other_full_lane_refuses_a_job_and_keeps_those_it_has(
    make_lanes: MakeLanes, lane: Lane
) -> None:
    lanes, log = make_lanes(), list[str]()
    capacity = lanes.capacity(lane)

    def fill() -> None:
        for i in range(1 + capacity):  # one runs, the others wait
            lanes.submit(job(lane, str(i), log))
        with pytest.raises(LaneFullError, match=lane.value):
            lanes.submit(job(lane, "one too many", log))

    soon(lanes, fill)
    lanes.run()
    assert log == [str(i) for i in range(1 + capacity)]


def test_the_limits_of_the_lanes_are_those_configured() -> None:
    config = LanesConfig(listen=5, see=6, remember=7, reason=8, speak=40)
    lanes = VirtualLanes(config)
    capacities = [lanes.capacity(lane) for lane in Lane]
    assert capacities == [5, 6, 7, 8, 40]


@pytest.mark.parametrize("name", [lane.value for lane in Lane])
@pytest.mark.parametrize("value", [0, -1, 10**9])
def test_a_limit_that_is_none_is_refused(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"lanes\.{name}"):
        LanesConfig(**{name: value}).validate()


def test_a_stale_job_is_never_run_and_the_result_of_a_running_one_is_dropped(
    make_lanes: MakeLanes,
) -> None:
    lanes, log = make_lanes(), list[str]()
    ran: list[str] = []

    def recorded(name: str, generation: int | None) -> Job:
        def run() -> Work[str]:
            ran.append(name)
            return Work(name, 10)

        return Job(
            Lane.REASON,
            run,
            done=lambda f: log.append(f.value),
            dropped=lambda: log.append(f"dropped {name}"),
            generation=generation,
        )

    def begin() -> None:
        lanes.submit(recorded("running", 1))
        lanes.submit(recorded("waiting", 1))
        lanes.submit(recorded("new", 2))
        lanes.submit(recorded("ageless", None))
        lanes.cancel_before(2)
        lanes.submit(recorded("too late", 1))

    soon(lanes, begin)
    lanes.run()
    assert log == ["dropped waiting", "dropped too late", "dropped running", "new", "ageless"]
    assert ran == ["running", "new", "ageless"]


def test_a_generation_once_stale_stays_so(make_lanes: MakeLanes) -> None:
    lanes = make_lanes()
    lanes.cancel_before(5)
    lanes.cancel_before(3)
    assert lanes.is_stale(4) and not lanes.is_stale(5) and not lanes.is_stale(None)


def test_a_feeder_waits_for_room_instead_of_losing_a_job(make_lanes: MakeLanes) -> None:
    lanes, log = make_lanes(LanesConfig(listen=1)), list[str]()
    left = list("abcdefg")

    def feed() -> None:
        assert lanes.has_room(Lane.LISTEN)
        lanes.submit(job(Lane.LISTEN, left.pop(0), log))
        if left:
            lanes.when_room(Lane.LISTEN, feed)

    soon(lanes, feed)
    lanes.run()
    assert "".join(log) == "abcdefg"


def test_a_feeder_is_not_called_while_the_lane_is_full(make_lanes: MakeLanes) -> None:
    lanes, log = make_lanes(LanesConfig(listen=1)), list[str]()

    def fill() -> None:
        for name in ("running", "waiting"):
            lanes.submit(job(Lane.LISTEN, name, log))
        lanes.when_room(Lane.LISTEN, lambda: log.append("room"))
        assert "room" not in log

    soon(lanes, fill)
    lanes.run()
    assert log.index("running") < log.index("room")


def test_a_feeder_of_several_jobs_waits_until_all_fit(make_lanes: MakeLanes) -> None:
    lanes, log = make_lanes(LanesConfig(listen=3)), list[str]()

    def fill() -> None:
        for name in "abcd":
            lanes.submit(job(Lane.LISTEN, name, log))
        lanes.when_room(Lane.LISTEN, lambda: log.append("room for 2"), jobs=2)

    soon(lanes, fill)
    lanes.run()
    assert log.index("b") < log.index("room for 2")
    with pytest.raises(ValueError, match="never fit"):
        lanes.when_room(Lane.LISTEN, lambda: None, jobs=4)


def test_feeders_are_served_in_order_and_none_finds_the_lane_full(make_lanes: MakeLanes) -> None:
    lanes, log = make_lanes(LanesConfig(listen=1)), list[str]()

    def feeder(name: str) -> Callable[[], None]:
        return lambda: lanes.submit(job(Lane.LISTEN, name, log))

    def begin() -> None:
        for name in "abcde":
            lanes.when_room(Lane.LISTEN, feeder(name))

    soon(lanes, begin)
    lanes.run()
    assert log == list("abcde")


def test_cancelling_a_generation_makes_room_for_all_that_fit(make_lanes: MakeLanes) -> None:
    lanes, log = make_lanes(LanesConfig(reason=2)), list[str]()
    release = threading.Event()

    def hold() -> Work[str]:
        if isinstance(lanes, ThreadLanes):
            assert release.wait(WAIT_S)
        return Work("running", 1_000)

    def room() -> None:
        log.append("room")
        if log.count("room") == 2:
            release.set()

    def begin() -> None:
        lanes.submit(Job(Lane.REASON, hold, lambda f: log.append(f.value)))
        for name in "ab":
            lanes.submit(job(Lane.REASON, name, log, generation=1))
        for _ in range(2):
            lanes.when_room(Lane.REASON, room)
        lanes.cancel_before(2)

    soon(lanes, begin)
    lanes.run()
    assert log == ["dropped a", "dropped b", "room", "room", "running"]
