"""The watchdog hears of the service only while every lane of every session makes progress."""

from __future__ import annotations

import asyncio
import os
import threading
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor import Supervisor

from lane_jobs import WAIT_S, job, soon
from omnilive.lanes import Job, Lane, Lanes, Progress, ThreadLanes, VirtualLanes, Work
from omnilive.service.watchdog import StuckLanes, keep_watch, lanes_of
from omnilive.systemd import watchdog_s

WITHIN_S = 8.0
"""So that the watchdog looks once a second."""

PING = ["WATCHDOG=1"]


class Time:
    """A clock that a test turns: ``wait`` returns once the test has let a look pass."""

    def __init__(self) -> None:
        self.us = 0
        self.looked = asyncio.Event()
        self._go = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        self.looked.set()
        await self._go.wait()
        self._go.clear()
        self.us += round(seconds * 1e6)

    async def look(self) -> None:
        """Let the next look happen."""
        await self.looked.wait()
        self.looked.clear()
        self._go.set()
        await self.looked.wait()


class Wedge:
    """A job that ends when it is let go, on lanes whose loop runs on a thread of its own."""

    def __init__(self, lanes: Lanes, lane: Lane) -> None:
        self.began, self._go = threading.Event(), threading.Event()
        self.ended = threading.Event()
        wedged = Job(lane, self._run, lambda finished: self.ended.set())
        self.lanes = lanes
        soon(lanes, lambda: lanes.submit(wedged))
        others = [threading.Event() for other in Lane if other is not lane]
        for other, done in zip((x for x in Lane if x is not lane), others, strict=True):
            soon(lanes, partial(lanes.submit, self._brief(other, done)))
        lanes.start()
        self._loop = threading.Thread(target=lanes.run)
        self._loop.start()
        assert all(event.wait(WAIT_S) for event in (self.began, *others))

    @staticmethod
    def _brief(lane: Lane, done: threading.Event) -> Job:
        return Job(lane, lambda: Work(None, 0), lambda finished: done.set())

    def _run(self) -> Work[None]:
        self.began.set()
        assert self._go.wait(WAIT_S)
        return Work(None, 0)

    def progress(self) -> dict[Lane, Progress]:
        return dict(self.lanes.progress())

    def let_go(self) -> None:
        self._go.set()
        self._loop.join(WAIT_S)
        assert self.ended.is_set()


@pytest.mark.parametrize("lane", Lane)
def test_a_wedged_lane_of_any_session_ends_the_pings_until_it_gets_on(
    lane: Lane, tmp_path: Path
) -> None:
    idle, wedged = ThreadLanes(), ThreadLanes()

    async def watch(supervisor: Supervisor) -> None:
        wedge = Wedge(wedged, lane)
        time = Time()
        sessions = {"idle": idle, "wedged": wedge}
        watching = asyncio.ensure_future(
            keep_watch(
                WITHIN_S,
                lambda: lanes_of(sessions),
                now_us=lambda: time.us,
                wait=time.wait,
                environment=supervisor.environment(WITHIN_S),
            )
        )
        pings = 0
        await time.looked.wait()
        while (said := supervisor.waiting()) == PING and pings < WITHIN_S:
            pings += 1
            await time.look()
        # The last ping came within the manager's time of the wedge.
        assert 0 < pings < WITHIN_S and time.us < WITHIN_S * 1e6
        assert said == [f"STATUS=stuck: {lane.value} lane of session wedged"]
        await time.look()
        assert supervisor.waiting() == []

        wedge.let_go()
        await time.look()
        assert supervisor.waiting() == [*PING, "STATUS=every lane makes progress again"]
        watching.cancel()

    with Supervisor(tmp_path) as supervisor:
        asyncio.run(asyncio.wait_for(watch(supervisor), 2 * WAIT_S))
    wedged.close()


def test_a_loop_that_takes_no_results_owes_them() -> None:
    lanes = ThreadLanes()
    done = threading.Event()
    lanes.submit(Job(Lane.SEE, lambda: Work(done.set(), 0), lambda finished: None))
    lanes.start()
    assert done.wait(WAIT_S)
    assert lanes.progress()[Lane.SEE].owed == 1
    lanes.run()
    assert lanes.progress() == {lane: Progress(int(lane is Lane.SEE), 0) for lane in Lane}
    lanes.close()


def test_virtual_lanes_owe_what_has_not_ended() -> None:
    lanes = VirtualLanes()
    for name in ("first", "second"):
        lanes.submit(job(Lane.REASON, name, []))
    assert lanes.progress()[Lane.REASON] == Progress(0, 2)
    lanes.run()
    assert lanes.progress()[Lane.REASON] == Progress(2, 0)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), max_size=40))
def test_a_lane_is_stuck_when_it_owed_at_every_look_of_the_limit_and_ended_nothing(
    looks: list[tuple[int, int]],
) -> None:
    """Each look: jobs ended since the one before, and jobs owed."""
    limit, stuck_lanes, ended = 3, StuckLanes(3), 0
    for now, (more, owed) in enumerate(looks):
        ended += more
        window = looks[max(0, now - limit) : now + 1]
        stuck = (
            len(window) == limit + 1
            and all(o for _, o in window)
            and not any(e for e, _ in window[1:])
        )
        found = stuck_lanes.look(now, {"lane": Progress(ended, owed)})
        assert found == (["lane"] if stuck else [])


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "2500000"}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": str(os.getpid())}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_manager_says_whom_it_watches_and_how_closely(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert watchdog_s(environment) == seconds
