"""Reading ahead: the same items in the same order, bounded, and no thread left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive.sources.prefetch import prefetched


def reading_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "prefetch"]


@settings(deadline=None)
@given(st.lists(st.integers()), st.integers(1, 5))
def test_items_come_unchanged_and_in_order(items: list[int], limit: int) -> None:
    assert list(prefetched(items, limit)) == items
    assert not reading_threads()


def test_an_error_comes_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield from (1, 2, 3)
        raise OSError("gone")

    seen = []
    with pytest.raises(OSError, match="gone"):
        for item in prefetched(broken(), 2):
            seen.append(item)
    assert seen == [1, 2, 3]
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

    items = prefetched(endless(), 3)
    assert next(items) == 0
    assert filled.wait(10)  # 1 taken, 3 on the shelf, 1 waiting for room
    assert len(produced) == 5
    items.close()
    assert len(produced) == 5
    assert not reading_threads()


def test_closing_early_closes_the_source_in_its_own_thread() -> None:
    closed_in: list[str] = []

    def source() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed_in.append(threading.current_thread().name)

    items = prefetched(source(), 1)
    next(items)
    items.close()
    assert closed_in == ["prefetch"]
    assert not reading_threads()


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        list(prefetched([1], 0))
