"""Reading ahead: the same items in the same order, bounded, and no thread left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive.sources.prefetch import Prefetch

WAIT_S = 30
"""How long a test waits for a thread before it fails."""


def reading_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "prefetch"]


@settings(deadline=None)
@given(st.lists(st.integers()), st.integers(1, 5))
def test_items_come_unchanged_and_in_order(items: list[int], limit: int) -> None:
    prefetch = Prefetch(items, limit)
    assert list(iter(prefetch.take, None)) == items
    assert prefetch.take() is None
    assert prefetch.close(WAIT_S)
    assert not reading_threads()


def test_an_error_comes_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield from (1, 2, 3)
        raise OSError("gone")

    prefetch, seen = Prefetch(broken(), 2), list[int | None]()
    with pytest.raises(OSError, match="gone"):
        while True:
            seen.append(prefetch.take())
    assert seen == [1, 2, 3]
    assert prefetch.close(WAIT_S)
    assert not reading_threads()


def test_no_more_than_the_limit_is_read_ahead() -> None:
    produced: list[int] = []
    filled = threading.Event()

    def endless() -> Iterator[int]:
        while True:
            produced.append(len(produced))
            if len(produced) == 5:
                filled.set()
            yield produced[-1]

    prefetch = Prefetch(endless(), 3)
    assert prefetch.take() == 0
    assert filled.wait(WAIT_S)  # 1 taken, 3 held, 1 waiting for room
    assert len(produced) == 5
    assert prefetch.close(WAIT_S)
    assert len(produced) == 5
    assert not reading_threads()


def test_closing_early_closes_the_source_in_its_own_thread() -> None:
    closed_in: list[str] = []

    def source() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed_in.append(threading.current_thread().name)

    prefetch = Prefetch(source(), 1)
    prefetch.take()
    assert prefetch.close(WAIT_S)
    assert closed_in == ["prefetch"]
    assert prefetch.take() is None
    assert not reading_threads()


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        Prefetch([1], 0)


def test_whoever_waits_is_told_once_when_there_is_something_to_take() -> None:
    release, told = threading.Event(), threading.Event()
    times: list[str] = []

    def source() -> Iterator[int]:
        assert release.wait(WAIT_S)
        yield from (1, 2)

    def ready() -> None:
        times.append(threading.current_thread().name)
        told.set()

    prefetch = Prefetch(source(), 2)
    prefetch.when_ready(ready)
    assert times == []
    release.set()
    assert told.wait(WAIT_S)
    assert [prefetch.take(), prefetch.take(), prefetch.take()] == [1, 2, None]
    assert times == ["prefetch"]
    prefetch.when_ready(ready)
    assert times == ["prefetch", threading.current_thread().name]
    assert prefetch.close(WAIT_S)


def test_whoever_waits_is_told_of_the_end_and_of_an_error() -> None:
    release, told = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        assert release.wait(WAIT_S)
        raise OSError("gone")
        yield

    prefetch = Prefetch(source(), 1)
    prefetch.when_ready(told.set)
    release.set()
    assert told.wait(WAIT_S)
    with pytest.raises(OSError, match="gone"):
        prefetch.take()
    assert prefetch.close(WAIT_S)


def test_a_source_that_gives_nothing_is_left_behind_and_its_thread_ends_with_it() -> None:
    stalled, release = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        stalled.set()
        assert release.wait(WAIT_S)
        yield 1

    prefetch = Prefetch(source(), 1)
    assert stalled.wait(WAIT_S)
    assert not prefetch.close(timeout_s=0)
    assert [t.daemon for t in reading_threads()] == [True]
    assert prefetch.take() is None
    release.set()
    assert prefetch.close(WAIT_S)
    assert not reading_threads()
