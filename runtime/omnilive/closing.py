"""Closes what was opened, whatever happens. It never lets a later error hide the first one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class Closers:
    """Steps to take at the end of a ``with`` block, the last added first.

    Every step is taken, also after the block or another step has failed. The first error is the
    one raised; what failed after it is attached to it as notes (PEP 678).
    """

    def __init__(self) -> None:
        self._steps: list[Callable[[], None]] = []

    def add(self, step: Callable[[], None]) -> None:
        """Take ``step`` at the end."""
        self._steps.append(step)

    def enter(self, manager: AbstractContextManager[T]) -> T:
        """Enter ``manager`` now and leave it at the end; it is not told of errors."""
        entered = manager.__enter__()

        def leave() -> None:
            manager.__exit__(None, None, None)

        self.add(leave)
        return entered

    def __enter__(self) -> Closers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        first = error
        while self._steps:
            try:
                self._steps.pop()()
            except BaseException as later:
                if first is None:
                    first = later
                else:
                    _add_note(first, f"then: {type(later).__name__}: {later}")
        if first is not None and first is not error:
            raise first


def _add_note(error: BaseException, note: str) -> None:
    """``BaseException.add_note`` of Python 3.11, for 3.10, too."""
    notes = [*getattr(error, "__notes__", []), note]
    error.__notes__ = notes  # type: ignore[attr-defined,unused-ignore]
