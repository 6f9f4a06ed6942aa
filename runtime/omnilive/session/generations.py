"""The generation: the integer that barge-in advances. Nothing else may make an answer stale."""

from __future__ import annotations

from collections.abc import Callable

from omnilive.lanes import Lanes


class Generations:
    """Counts generations, and makes everything older stale when a new one begins."""

    def __init__(self, lanes: Lanes, on_advance: Callable[[int], None]) -> None:
        self._lanes = lanes
        self._on_advance = on_advance
        self.current = 0

    def advance(self) -> int:
        """Begin a new generation: stale jobs are dropped, the old answer is told to stop."""
        self.current += 1
        self._lanes.cancel_before(self.current)
        self._on_advance(self.current)
        return self.current
