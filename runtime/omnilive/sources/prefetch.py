"""Reads a source ahead in a thread of its own; it never holds more than it was told to."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """The items of an iterable, read in another thread from now on.

    Items come in the order of the source; an error it raises comes after the items before it.
    ``when_ready``, ``take`` and ``close`` are called from one thread.
    """

    def __init__(self, source: Iterable[T], limit: int) -> None:
        """Begin to read ``source``, iterated once, in the thread; hold ``limit`` items at most."""
        if limit < 1:
            raise ValueError(f"limit is {limit}, expected 1 or more")
        self._limit = limit
        self._items: deque[T] = deque()
        self._error: BaseException | None = None
        self._ended = False
        self._stopped = False
        self._ready: Callable[[], None] | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(
            target=self._read, args=(source,), name="prefetch", daemon=True
        )
        self._thread.start()

    def when_ready(self, ready: Callable[[], None]) -> None:
        """Call ``ready`` once, as soon as ``take`` would not wait.

        It is called at once, or in the reading thread: it must be quick and safe there.
        """
        with self._changed:
            if not (self._items or self._ended):
                self._ready = ready
                return
        ready()

    def take(self) -> T | None:
        """The next item, or None after the last one and after ``close``; waits for it.

        Raises:
            BaseException: what the source raised, once its items are taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._ended or self._stopped)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
        if self._error is not None and not self._stopped:
            raise self._error
        return None

    def close(self, timeout_s: float) -> bool:
        """Stop reading and forget what was read; wait ``timeout_s`` seconds for the thread.

        Returns:
            Whether the thread has ended. A source that never gives its next item keeps it; the
            thread then ends with that item, or with the process.
        """
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _read(self, source: Iterable[T]) -> None:
        error: BaseException | None = None
        try:
            items = iter(source)
            for item in items:
                if not self._put(item):
                    break
            if isinstance(items, Generator):
                items.close()  # what it holds is released in the thread that made it
        except BaseException as e:
            error = e
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify_all()
        self._tell()

    def _put(self, item: T) -> bool:
        """Wait for room and add; False when nobody wants more."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._items) < self._limit)
            if self._stopped:
                return False
            self._items.append(item)
            self._changed.notify_all()
        self._tell()
        return True

    def _tell(self) -> None:
        with self._changed:
            ready, self._ready = self._ready, None
        if ready is not None:
            ready()
