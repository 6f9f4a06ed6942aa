"""Feeding and asking: everything comes in its time, and nobody waits for a source that stalls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest

from lane_jobs import WAIT_S
from omnilive.lanes import Job, Lane, Lanes, LanesConfig, ThreadLanes, VirtualLanes, Work
from omnilive.session.asking import Ask, Asking
from omnilive.session.feeding import Feeder, Item
from omnilive.sources.prefetch import Prefetch
from omnilive.sources.types import Frame, Pcm, SourceWarning
from omnilive.tasks import Task, TaskQueue

SECOND = 1_000_000


def always_room(callback: Callable[[], None], tasks: int) -> None:
    callback()


def frame(pts_us: int) -> Frame:
    return Frame(pts_us, np.zeros((1, 1, 3), np.uint8))


def pcm(pts_us: int) -> Pcm:
    return Pcm(pts_us, np.zeros(1_600, np.float32))


def feed(
    lanes: Lanes, source: Iterable[Item], period_us: int = SECOND
) -> list[tuple[int, str, int]]:
    """Run ``source`` to its end; returns (when, what, its PTS or, at the end, the duration)."""
    log: list[tuple[int, str, int]] = []
    items = Prefetch(source, 2)

    def deliver(item: Item) -> None:
        log.append((lanes.now_us(), type(item).__name__, item.pts_us))

    def finish(duration_us: int) -> None:
        log.append((lanes.now_us(), "end", duration_us))

    Feeder(lanes, items, period_us, deliver, finish, always_room).next()
    try:
        lanes.run()
    finally:
        assert items.close(WAIT_S)
    return log


def test_items_come_in_order_when_they_are_due_and_the_last_frame_is_shown_for_its_period() -> None:
    items = [frame(0), pcm(0), SourceWarning(50_000, "odd"), pcm(100_000), frame(SECOND)]
    assert feed(VirtualLanes(), items) == [
        (0, "Frame", 0),
        (100_000, "Pcm", 0),
        (100_000, "SourceWarning", 50_000),
        (200_000, "Pcm", 100_000),
        (SECOND, "Frame", SECOND),
        (2 * SECOND, "end", 2 * SECOND),
    ]


def test_an_empty_source_ends_at_once() -> None:
    assert feed(VirtualLanes(), []) == [(0, "end", 0)]


def test_virtual_time_waits_for_a_source_that_is_behind() -> None:
    """Each item comes only after a thread has been started for it; a timer is due before it."""

    def slow() -> Iterator[Item]:
        for i in range(20):
            helper = threading.Thread(target=lambda: None)
            helper.start()
            helper.join(WAIT_S)
            yield frame(i * SECOND)

    def run(source: Iterable[Item]) -> list[tuple[int, str, int]]:
        lanes = VirtualLanes()
        ticks: list[tuple[int, str, int]] = []
        for i in range(20):
            at_us = i * SECOND + SECOND // 2
            lanes.at(at_us, lambda at_us=at_us: ticks.append((lanes.now_us(), "tick", at_us)))  # type: ignore[misc]
        log = feed(lanes, source)
        assert [(now_us, at_us) for now_us, _, at_us in ticks] == [
            (i * SECOND + SECOND // 2,) * 2 for i in range(20)
        ]
        return log

    assert run(slow()) == run([frame(i * SECOND) for i in range(20)])


def test_jobs_and_timers_go_on_while_the_source_stalls(thread_lanes: ThreadLanes) -> None:
    done, log = threading.Event(), list[str]()

    def stalling() -> Iterator[Item]:
        yield frame(0)
        assert done.wait(WAIT_S), "the loop waits for the source"
        yield frame(1)

    def finished(name: str) -> None:
        log.append(name)
        done.set()

    def start_job() -> None:
        log.append("timer")
        thread_lanes.submit(Job(Lane.SEE, lambda: Work("job", 0), lambda f: finished(f.value)))

    thread_lanes.at(1_000, start_job)
    items = feed(thread_lanes, stalling(), period_us=1)
    assert log == ["timer", "job"]
    assert [what for _, what, _ in items] == ["Frame", "Frame", "end"]


def test_an_interruption_reaches_the_loop_while_the_source_stalls(
    thread_lanes: ThreadLanes,
) -> None:
    release = threading.Event()

    def stalling() -> Iterator[Item]:
        assert release.wait(WAIT_S)
        yield frame(0)

    def interrupt() -> None:
        release.set()
        raise KeyboardInterrupt

    thread_lanes.at(0, interrupt)
    with pytest.raises(KeyboardInterrupt):
        feed(thread_lanes, stalling())


def test_an_error_of_the_source_is_raised_from_the_loop_after_the_items_before_it() -> None:
    def broken() -> Iterator[Item]:
        yield frame(0)
        raise OSError("gone")

    lanes, seen = VirtualLanes(), list[int]()
    items = Prefetch(broken(), 2)

    def take(item: Item) -> None:
        seen.append(item.pts_us)

    Feeder(lanes, items, SECOND, take, lambda d: None, always_room).next()
    with pytest.raises(OSError, match="gone"):
        lanes.run()
    assert seen == [0]
    assert items.close(WAIT_S)


def test_the_source_waits_while_the_listen_lane_is_full() -> None:
    lanes, delivered = VirtualLanes(LanesConfig(listen=4)), list[int]()
    tasks = TaskQueue(lanes, Lane.LISTEN)

    def half_seconds() -> Iterator[Work[None]]:
        yield Work(None, SECOND // 2)
        yield Work(None, SECOND // 2)

    def listen(item: Item) -> None:
        delivered.append(lanes.now_us())
        for _ in range(2):  # a second of work each, where a block lasts a tenth of it
            tasks.submit(Task(half_seconds(), lambda f: None))  # type: ignore[arg-type]

    items: Prefetch[Item] = Prefetch([pcm(i * 100_000) for i in range(10)], 2)
    Feeder(lanes, items, SECOND, listen, lambda d: None, tasks.when_room).next()
    lanes.run()
    assert len(delivered) == 10
    assert delivered[-1] >= 15 * SECOND
    assert items.close(WAIT_S)


def asked(lanes: Lanes, asks: Iterable[Ask], end_us: int | None) -> tuple[list[object], Asking]:
    log: list[object] = []
    asking = Asking(lanes, asks, lambda text: log.append((lanes.now_us(), text)))
    if end_us is not None:
        lanes.at(end_us, asking.end)
    lanes.run()
    return log, asking


def test_questions_are_asked_at_their_times_whatever_their_order() -> None:
    asks = [Ask("later", 7), Ask("sooner", 3), Ask("as soon", 3)]
    log, asking = asked(VirtualLanes(), asks, end_us=7)
    assert log == [(3, "sooner"), (3, "as soon"), (7, "later")]
    assert asking.late == ()


@pytest.mark.parametrize("lanes", [VirtualLanes, ThreadLanes])
def test_nobody_waits_for_a_question_after_the_end(lanes: type[Lanes]) -> None:
    asks = [Ask("much later", 10**30), Ask("later", 10**15), Ask("now", 0)]
    running = lanes()
    running.start()
    log, asking = asked(running, asks, end_us=5)
    assert [text for _, text in log] == ["now"]  # type: ignore[misc]
    assert asking.late == (Ask("later", 10**15), Ask("much later", 10**30))
    assert running.now_us() < 10**12
    running.close()
