"""Reads a source ahead in a thread of its own; it never holds more than it was told to."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


def prefetched(source: Iterable[T], limit: int) -> Generator[T, None, None]:
    """Iterate over ``source``, decoded in another thread.

    Items come in the order of the source; an error it raises comes after the items before it.
    When the iteration ends or is closed early, the thread has ended too. The thread begins at
    the first item asked for.

    Args:
        source: iterated once, in the thread.
        limit: most items held, at least 1.
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}, expected 1 or more")
    shelf: _Shelf[T] = _Shelf(limit)
    thread = threading.Thread(target=_fill, args=(source, shelf), name="prefetch", daemon=True)
    thread.start()
    try:
        yield from shelf.taken()
    finally:
        shelf.stop()
        thread.join()


def _fill(source: Iterable[T], shelf: _Shelf[T]) -> None:
    error: BaseException | None = None
    try:
        items = iter(source)
        for item in items:
            if not shelf.put(item):
                break
        if isinstance(items, Generator):
            items.close()  # what it holds is released in the thread that made it
    except BaseException as e:
        error = e
    shelf.end(error)


class _Shelf(Generic[T]):
    """A bounded queue that ends with an error or without one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[T] = deque()
        self._error: BaseException | None = None
        self._ended = False
        self._stopped = False
        self._changed = threading.Condition()

    def put(self, item: T) -> bool:
        """Wait for room and add; False when nobody wants more."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._items) < self._limit)
            if self._stopped:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None) -> None:
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def taken(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._items) or self._ended)
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
