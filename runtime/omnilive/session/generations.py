"""The generation: the integer that barge-in advances. Nothing else may make an answer stale."""

from __future__ import annotations

from collections.abc import Callable

from omnilive.lanes import Lanes


class Generations:
    """Counts generations, and makes everything older stale when a new one begins."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._told: list[Callable[[int, int | None], None]] = []
        self.current = 0

    def when_advanced(self, tell: Callable[[int, int | None], None]) -> None:
        """Call ``tell`` with each new generation and its utterance, in the order of these calls."""
        self._told.append(tell)

    def advance(self, utterance: int | None) -> int:
        """Begin a generation for ``utterance``, or for none: all work of older ones is dropped."""
        self.current += 1
        self._lanes.cancel_before(self.current)
        for tell in self._told:
            tell(self.current, utterance)
        return self.current
