"""Asking: typed questions come when they were meant to. It never waits for one after the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from omnilive.lanes import Lanes, Timer


@dataclass(frozen=True)
class Ask:
    """A typed question and the stream time it is asked at, microseconds."""

    text: str
    at_us: int


class Asking:
    """Asks each question at its time, and keeps those for later than the stream's end.

    Runs on the loop.
    """

    def __init__(self, lanes: Lanes, asks: Iterable[Ask], ask: Callable[[str], None]) -> None:
        """Set a timer for each of ``asks``; ``ask`` takes the words."""
        self._ask = ask
        self._late: tuple[Ask, ...] = ()
        self._pending: deque[tuple[Ask, Timer]] = deque(
            (one, lanes.at(one.at_us, self._ask_next))
            for one in sorted(asks, key=lambda one: one.at_us)
        )

    @property
    def late(self) -> tuple[Ask, ...]:
        """Questions for later than the end, in the order of their times; none before ``end``."""
        return self._late

    def end(self) -> None:
        """The stream is over: whoever asks does so at a time of their own from now on."""
        self._late = tuple(ask for ask, _ in self._pending)
        for _, timer in self._pending:
            timer.cancel()
        self._pending.clear()

    def _ask_next(self) -> None:
        ask, _ = self._pending.popleft()
        self._ask(ask.text)
