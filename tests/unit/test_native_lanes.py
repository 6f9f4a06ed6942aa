"""The native scheduler from Python: jobs of both kinds, tickets, refusals, signals and figures."""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections.abc import Iterator
from types import FrameType
from typing import Any

import numpy as np
import pytest

from lane_jobs import WAIT_S
from omnilive._native import (
    LaneScheduler,
    LaneTicket,
    OrtTensor,
    chain_jobs,
    noop_job,
    resize_into,
    resize_rgb,
)

LONG_US = WAIT_S * 1_000_000
LISTEN, SEE, REMEMBER, REASON, SPEAK = range(5)


def new_scheduler(**settings: Any) -> LaneScheduler:
    defaults: dict[str, Any] = {
        "capacities": [2] * 5,
        "drop_oldest": [False] * 5,
        "priorities": [0] * 5,
        "permits": [0] * 5,
    }
    return LaneScheduler(**{**defaults, **settings})


@pytest.fixture
def scheduler() -> Iterator[LaneScheduler]:
    """A scheduler whose lanes are all served."""
    scheduler = new_scheduler()
    threads = [threading.Thread(target=scheduler.serve, args=(lane,)) for lane in range(5)]
    for thread in threads:
        thread.start()
    yield scheduler
    scheduler.close()
    for thread in threads:
        thread.join()
    assert scheduler.serving == 0


def ticket_of(submitted: tuple[Any, list[Any]]) -> LaneTicket:
    ticket, made_way = submitted
    assert isinstance(ticket, LaneTicket) and made_way == []
    return ticket


def test_python_jobs_follow_native_ones_and_hand_back_what_they_return(
    scheduler: LaneScheduler,
) -> None:
    native = ticket_of(scheduler.submit_native(SEE, noop_job()))
    python = ticket_of(scheduler.submit(REASON, "mine", lambda: 42, after=[native]))
    assert scheduler.take(LONG_US) == ("mine", 42, None, False)
    assert native.state == python.state == "done"
    assert native.times_ns is not None and python.times_ns is not None
    assert native.times_ns[2] <= python.times_ns[1]
    assert scheduler.gil_taken == 1


def test_a_native_job_hands_back_how_long_it_ran_and_takes_no_gil(
    scheduler: LaneScheduler,
) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (40, 30, 3), np.uint8)
    square = OrtTensor("uint8", [1, 8, 9, 3])
    job = resize_into(rgb, square)
    ticket = ticket_of(scheduler.submit_native(SEE, job, reports=True, owner="mine"))
    owner, ran_ns, error, dropped = scheduler.take(LONG_US)
    assert (owner, error, dropped) == ("mine", None, False) and ticket.times_ns is not None
    assert 0 < ran_ns <= ticket.times_ns[2] - ticket.times_ns[1]
    np.testing.assert_array_equal(square.array[0], resize_rgb(rgb, 8, 9))
    ticket_of(scheduler.submit(SEE, "second", lambda: None))
    scheduler.take(LONG_US)
    counts = [scheduler.figures(lane) for lane in (SEE, REASON)]
    assert [c["native"] for c in counts] == [1, 0] and [c["gil_taken"] for c in counts] == [1, 0]


def test_a_native_job_that_fails_says_why(scheduler: LaneScheduler) -> None:
    too_high = resize_into(np.zeros((70_000, 1, 3), np.uint8), OrtTensor("uint8", [1, 8, 8, 3]))
    job = chain_jobs([noop_job(), too_high, noop_job()])
    ticket = ticket_of(scheduler.submit_native(SEE, job, reports=True, owner="mine"))
    owner, value, error, _ = scheduler.take(LONG_US)
    assert owner == "mine" and value is None and ticket.state == "failed"
    assert isinstance(error, RuntimeError) and "65536 pixels, not 70000" in str(error)
    counts = scheduler.figures(SEE)
    assert counts["native"] == 0 and counts["failed"] == 1
    with pytest.raises(RuntimeError, match="65536 pixels"):
        job.run()


def test_a_native_job_lets_go_of_what_it_read_and_of_its_owner(scheduler: LaneScheduler) -> None:
    class Owner:
        pass

    rgb, owner = np.zeros((4, 4, 3), np.uint8), Owner()
    refs = [weakref.ref(rgb), weakref.ref(owner)]
    job = resize_into(rgb, OrtTensor("uint8", [1, 2, 2, 3]))
    ticket_of(scheduler.submit_native(SEE, job, reports=True, owner=owner))
    del rgb, job, owner
    scheduler.take(LONG_US)
    assert [ref() for ref in refs] == [None, None]


def test_native_jobs_that_make_way_are_known_by_their_owners() -> None:
    scheduler = new_scheduler(capacities=[1] * 5, drop_oldest=[True] * 5)
    for owner in ("first", None, "third"):
        submitted = [scheduler.submit_native(SEE, noop_job(), generation=1, owner=owner)]
    assert submitted[0][1] == []  # the one without an owner made way; nobody serves the lane
    assert scheduler.cancel_before(2) == ["third"]
    scheduler.close()


@pytest.mark.parametrize(
    ("picture", "dtype", "shape"),
    [
        (np.zeros((4, 4), np.uint8), "uint8", (1, 2, 2, 3)),
        (np.zeros((4, 4, 4), np.uint8), "uint8", (1, 2, 2, 3)),
        (np.zeros((0, 4, 3), np.uint8), "uint8", (1, 2, 2, 3)),
        (np.zeros((4, 4, 3), np.float32), "uint8", (1, 2, 2, 3)),
        (np.zeros((4, 4, 3), np.uint8), "uint8", (2, 2, 2, 3)),
        (np.zeros((4, 4, 3), np.uint8), "float32", (1, 2, 2, 3)),
    ],
)
def test_only_pictures_are_resized_and_only_into_one(
    picture: Any, dtype: str, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[(1, )?h, w, 3\]"):
        resize_into(picture, OrtTensor(dtype, shape))


def test_an_exception_comes_with_its_traceback_and_drops_what_waits(
    scheduler: LaneScheduler,
) -> None:
    gate = threading.Event()

    def fail() -> None:
        assert gate.wait(WAIT_S)
        raise KeyError("gone")

    first = ticket_of(scheduler.submit(SEE, "first", fail))
    ticket_of(scheduler.submit(REASON, "second", lambda: None, after=[first]))
    gate.set()
    outcomes = [scheduler.take(LONG_US) for _ in range(2)]
    owner, value, error, dropped = outcomes[0]
    assert (owner, value, dropped) == ("first", None, False)
    assert isinstance(error, KeyError) and error.__traceback__ is not None
    assert outcomes[1] == ("second", None, None, True)
    assert first.state == "failed" and not scheduler.busy
    late, _ = scheduler.submit(REASON, "late", lambda: None, after=[first])
    assert late == "stale"


def test_what_is_posted_is_taken_in_order(scheduler: LaneScheduler) -> None:
    calls = [lambda i=i: i for i in range(3)]
    poster = threading.Thread(target=lambda: [scheduler.post(call) for call in calls])
    poster.start()
    assert [scheduler.take(LONG_US) for _ in calls] == calls
    poster.join()
    assert scheduler.take(0) is None


def test_a_signal_ends_the_wait(scheduler: LaneScheduler) -> None:
    class SignalError(Exception):
        pass

    def raise_it(number: int, frame: FrameType | None) -> None:
        raise SignalError

    before = signal.signal(signal.SIGUSR1, raise_it)
    try:
        sender = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1))
        with pytest.raises(SignalError):
            sender.start()
            scheduler.take(LONG_US)
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_no_job_is_kept_alive_once_it_is_over(scheduler: LaneScheduler) -> None:
    class Owner:
        pass

    def call() -> None:
        pass

    owner = Owner()
    refs = [weakref.ref(owner), weakref.ref(call)]
    ticket_of(scheduler.submit(SEE, owner, call))
    scheduler.take(LONG_US)
    del owner, call
    assert [ref() for ref in refs] == [None, None]


def test_closing_lets_go_of_every_job_that_waits() -> None:
    class Owner:
        pass

    scheduler, owner = new_scheduler(), Owner()
    ref = weakref.ref(owner)
    ticket_of(scheduler.submit(SEE, owner, lambda: None))
    ticket_of(scheduler.submit(SEE, owner, lambda: None))
    del owner
    scheduler.close()
    assert ref() is None and not scheduler.busy
    assert scheduler.submit(SEE, "late", lambda: None) == ("closed", [])


def test_a_full_lane_says_so_and_a_stale_job_is_named_by_its_owner() -> None:
    scheduler = new_scheduler(drop_oldest=[False, True, False, False, False])
    for lane in (LISTEN, SEE):
        for i in range(3):
            ticket_of(scheduler.submit(lane, i, lambda: None, generation=1))
    assert scheduler.load(LISTEN) == 2
    assert scheduler.submit(LISTEN, 3, lambda: None) == ("full", [])
    ticket, made_way = scheduler.submit(SEE, 3, lambda: None, generation=1)
    assert isinstance(ticket, LaneTicket) and made_way == [1]
    assert scheduler.cancel_before(2) == [1, 2, 2, 3]
    assert scheduler.submit(SEE, 4, lambda: None, generation=1) == ("stale", [])
    figures = scheduler.figures(SEE)
    assert (figures["submitted"], figures["dropped"], figures["cancelled"]) == (4, 1, 2)
    scheduler.close()


def test_what_cannot_be_is_refused(scheduler: LaneScheduler) -> None:
    for settings in (
        {"capacities": [0] * 5},
        {"capacities": [1] * 4},
        {"permits": [-1] * 5},
        {"cores": -1},
        {"spin_us": -1},
    ):
        with pytest.raises(ValueError):
            new_scheduler(**settings)
    other = new_scheduler()
    foreign = ticket_of(other.submit_native(SEE, noop_job()))
    with pytest.raises(ValueError, match="another scheduler"):
        scheduler.submit(SEE, "mine", lambda: None, after=[foreign])
    with pytest.raises(IndexError):
        scheduler.submit(5, "mine", lambda: None)
    scheduler.submit(SEE, "here", lambda: None)
    scheduler.take(LONG_US)
    with pytest.raises(RuntimeError, match="see is served already"):
        scheduler.serve(SEE)
    other.close()
