"""How many cores are shared, and that lanes which want them take turns."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lane_jobs import WAIT_S, job, soon
from omnilive.config import RuntimeConfig
from omnilive.engine.config import EngineConfig
from omnilive.engine.manifest import EngineInfo
from omnilive.engine.placement import lanes_on_device
from omnilive.lanes import Job, Lane, LaneCores, LanesConfig, ThreadLanes, Work
from omnilive.realtime import cores_of_all_sessions, with_measured_threads
from omnilive.scheduling.cores import (
    allowed_cores,
    core_shares,
    measured_cores,
    thread_throughput,
)


@pytest.fixture
def one_core() -> Iterator[ThreadLanes]:
    """Lanes whose every job wants the only core."""
    lanes = ThreadLanes(LanesConfig(cores=1, patience_ms=60_000), dict.fromkeys(Lane, 1))
    lanes.start()
    yield lanes
    lanes.close()


@given(cores=st.integers(1, 64), limit=st.integers(1, 64))
def test_threads_are_counted_while_each_adds_a_cores_worth(cores: int, limit: int) -> None:
    found = measured_cores(limit, lambda threads: float(min(threads, cores)))
    assert 1 <= found <= limit
    if cores >= limit:
        assert found == limit
    else:  # the last doubling that paid
        assert cores / 2 < found <= 2 * cores


def test_second_threads_of_a_core_are_not_counted() -> None:
    assert measured_cores(8, lambda threads: min(threads, 4) + 0.3 * max(0, threads - 4)) == 4


def test_work_of_threads_is_measured() -> None:
    assert thread_throughput(1, seconds=0.001) > 0


@pytest.mark.parametrize(
    ("written", "most"), [("150000 100000\n", 2), ("10000 100000\n", 1), ("max 100000\n", 1024)]
)
def test_a_quota_limits_the_cores(tmp_path: Path, written: str, most: int) -> None:
    unlimited = allowed_cores(tmp_path / "none")
    (tmp_path / "cpu.max").write_text(written, encoding="ascii")
    assert allowed_cores(tmp_path / "cpu.max") == min(unlimited, most)


def test_lanes_take_turns_on_one_core_the_more_important_first(one_core: ThreadLanes) -> None:
    log: list[str] = []
    release = threading.Event()

    def hold() -> Work[str]:
        assert release.wait(WAIT_S)
        return Work("held", 0)

    def begin() -> None:
        one_core.submit(Job(Lane.REMEMBER, hold, lambda f: log.append(f.value)))
        for lane in (Lane.REMEMBER, Lane.REASON, Lane.SPEAK, Lane.SEE, Lane.LISTEN):
            one_core.submit(
                Job(lane, lambda lane=lane: Work(lane.value, 0), lambda f: log.append(f.value))  # type: ignore[misc]
            )
        release.set()

    soon(one_core, begin)
    one_core.run()
    assert log == ["held", "listen", "see", "speak", "reason", "remember"]


def test_a_job_that_waits_for_a_core_is_cancelled_with_its_generation(
    one_core: ThreadLanes,
) -> None:
    log: list[str] = []
    release = threading.Event()

    def hold() -> Work[str]:
        assert release.wait(WAIT_S)
        return Work("held", 0)

    def begin() -> None:
        one_core.submit(Job(Lane.SEE, hold, lambda f: log.append(f.value)))
        one_core.submit(
            Job(
                Lane.REASON,
                lambda: Work("stale", 0),
                lambda f: log.append(f.value),
                dropped=lambda: log.append("dropped"),
                generation=1,
            )
        )
        one_core.cancel_before(2)
        release.set()

    soon(one_core, begin)
    one_core.run()
    assert log == ["dropped", "held"]


def test_engines_share_all_cores_and_the_voice_takes_one() -> None:
    shares = core_shares(6)
    assert shares[Lane.SPEAK] == 1
    assert all(shares[lane] == 6 for lane in set(Lane) - {Lane.SPEAK})


def test_lanes_whose_engines_run_on_a_device_keep_no_core_from_others() -> None:
    began, both = threading.Barrier(2), []

    def meet() -> Work[int]:
        return Work(began.wait(timeout=WAIT_S), 0)

    lanes = ThreadLanes(shares=core_shares(2, {Lane.SEE, Lane.REASON}))
    lanes.start()
    try:
        for lane in (Lane.SEE, Lane.REASON):
            lanes.submit(Job(lane, meet, lambda finished: both.append(finished.value)))
        lanes.run()
    finally:
        lanes.close()
    # Each waited for the other one to run.
    assert sorted(both) == [0, 1]


def test_a_lane_is_on_a_device_when_all_of_its_engines_are() -> None:
    names = ("mem_vit", "mem_proj", "mem_lm", "aud_enc")
    engines = {name: info(name, "ort") for name in names}
    assert lanes_on_device(engines, EngineConfig()) == set()
    assert lanes_on_device(engines, EngineConfig(device="cuda")) == {
        Lane.SEE,
        Lane.REMEMBER,
        Lane.LISTEN,
    }
    mixed = {
        **engines,
        "mem_vit": info("mem_vit", "tensorrt"),
        "mem_lm": info("mem_lm", "tensorrt"),
    }
    assert lanes_on_device(mixed, EngineConfig()) == {Lane.SEE}


def info(name: str, backend: str) -> EngineInfo:
    """The record of an engine of that backend."""
    return EngineInfo(name, backend, "model", (), {}, (), (), None, {}, 0.0)


def test_threads_left_open_are_measured_and_those_given_are_kept() -> None:
    measured = with_measured_threads(RuntimeConfig())
    assert 1 <= measured.engine.threads <= allowed_cores()
    given = dataclasses.replace(RuntimeConfig(), engine=EngineConfig(threads=3))
    assert with_measured_threads(given) is given


def test_lanes_that_share_cores_with_others_take_turns_with_them() -> None:
    log: list[str] = []
    everybody_asked = threading.Event()
    cores = LaneCores(1)
    shares = dict.fromkeys(Lane, 1)
    one, other = (ThreadLanes(LanesConfig(patience_ms=60_000), shares, cores=cores) for _ in "12")

    def hold() -> Work[None]:
        assert everybody_asked.wait(WAIT_S)
        return Work(None, 0)

    def step(name: str) -> Work[None]:
        log.append(name)
        return Work(None, 0)

    def ask(lanes: ThreadLanes, name: str) -> None:
        for _ in range(5):
            lanes.submit(Job(Lane.REASON, partial(step, name), lambda f: None))

    def begin() -> None:
        one.submit(Job(Lane.REASON, hold, lambda f: None))
        ask(one, "one")
        ask(other, "other")
        assert (cores.members, cores.free) == (2, 0)
        everybody_asked.set()

    with contextlib.closing(one), contextlib.closing(other):
        one.start()
        other.start()
        soon(one, begin)
        one.run()
        other.run()
        assert log == ["other", "one"] * 5
        assert cores.free == 1


def test_lanes_that_share_cores_leave_them_to_others_when_they_close() -> None:
    cores = LaneCores(1)
    shares = dict.fromkeys(Lane, 1)
    unserved = ThreadLanes(None, shares, cores=cores)
    unserved.submit(Job(Lane.REASON, lambda: Work(None, 0), lambda f: None))
    assert cores.free == 0
    lanes, done = ThreadLanes(None, shares, cores=cores), list[str]()
    with contextlib.closing(lanes):
        lanes.start()
        soon(lanes, lambda: lanes.submit(job(Lane.SEE, "seen", done)))
        soon(lanes, unserved.close)
        lanes.run()
    assert done == ["seen"]
    del unserved
    gc.collect()
    assert cores.members == 1


@given(threads=st.integers(1, 64), worth=st.integers(1, 64), cores=st.integers(0, 64))
def test_sessions_share_all_cores_there_are_unless_configured(
    threads: int, worth: int, cores: int
) -> None:
    config = dataclasses.replace(
        RuntimeConfig(), engine=EngineConfig(threads=threads), lanes=LanesConfig(cores=cores)
    )
    assert cores_of_all_sessions(config, lambda: worth) == (cores or max(threads, worth))


def test_fewer_than_no_cores_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer than 0"):
        LaneCores(-1)
