"""The generation: the integer that barge-in advances. Nothing else may make an answer stale."""

from __future__ import annotations

from collections.abc import Callable

from omnilive.lanes import Lanes
from omnilive.session.outcomes import Outcomes


class Generations:
    """Counts generations, and makes everything older stale when a new one begins.

    Args:
        stop_answer: called with the new generation and its utterance.
    """

    def __init__(
        self, lanes: Lanes, stop_answer: Callable[[int, int], None], outcomes: Outcomes
    ) -> None:
        self._lanes = lanes
        self._stop_answer = stop_answer
        self._outcomes = outcomes
        self.current = 0

    def advance(self, utterance: int) -> int:
        """Begin a generation for ``utterance``: all work of older ones is dropped.

        Another utterance that was waiting for its answer, or hearing it, gets its outcome.
        """
        self.current += 1
        self._lanes.cancel_before(self.current)
        self._stop_answer(self.current, utterance)
        self._outcomes.supersede(utterance)
        return self.current
