"""Outcomes: every utterance ends with exactly one event. What that event says is for others.

One utterance at a time owes an outcome: a new one supersedes it. Speech can still continue an
utterance found to ask for nothing, so that verdict waits until the endpointer would no longer
reopen it; an utterance that has its outcome is sealed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from omnilive import events
from omnilive.eventlog import EventLog
from omnilive.lanes import Lanes
from omnilive.perception.endpoint import Endpointer

Outcome = events.AnswerFinished | events.AnswerCancelled | events.Unanswered


@dataclass(eq=False)
class _Owed:
    """An utterance without an outcome.

    Attributes:
        until_us: when speech can no longer continue it.
        verdict: its outcome, unless it goes on until then.
    """

    utterance: int
    generation: int
    until_us: int
    verdict: events.Unanswered | None = None


class Outcomes:
    """Keeps the utterance that owes an outcome, and logs each one's. Runs on the loop."""

    def __init__(self, endpointer: Endpointer, lanes: Lanes, log: EventLog) -> None:
        self._endpointer = endpointer
        self._lanes = lanes
        self._log = log
        self._owed: _Owed | None = None
        self._is_awaited: Callable[[int], bool] = lambda utterance: False
        self._told: list[Callable[[Outcome], None]] = []
        self.answers = 0
        """Answers heard to their end."""
        self.cancelled = 0
        """Answers stopped by another utterance."""

    @property
    def owes(self) -> bool:
        """Whether an utterance waits for its outcome, as far as it is not held elsewhere."""
        return self._owed is not None

    def when_settled(self, tell: Callable[[Outcome], None]) -> None:
        """Call ``tell`` with every outcome, after it was logged."""
        self._told.append(tell)

    def hurry(self, is_awaited: Callable[[int], bool]) -> None:
        """Give an utterance that ``is_awaited`` its outcome as soon as it is known.

        Speech might still have continued it.
        """
        self._is_awaited = is_awaited

    def owe(self, utterance: int, generation: int, *, spoken: bool) -> None:
        """Take note that ``utterance`` has been said to its end, as far as one can tell."""
        reopen_us = self._endpointer.reopen_us if spoken else 0
        self._owed = _Owed(utterance, generation, self._lanes.now_us() + reopen_us)

    def unanswered(self, utterance: int, generation: int, reason: str) -> None:
        """``utterance`` gets no answer, unless speech continues it first."""
        owed = self._owed
        if owed is None or owed.utterance != utterance:
            raise ValueError(f"utterance {utterance} owes no outcome")
        owed.verdict = events.Unanswered(utterance, generation, reason)
        if owed.until_us <= self._lanes.now_us() or self._is_awaited(utterance):
            self._conclude(owed)
        else:
            self._lanes.at(owed.until_us, lambda: self._conclude(owed))

    def answered(self, outcome: events.AnswerFinished | events.AnswerCancelled) -> None:
        """The utterance's answer has been heard, or was stopped for good."""
        self.release(outcome.utterance)
        self._settle(outcome)

    def release(self, utterance: int) -> None:
        """Whoever holds the answer of ``utterance`` will tell its outcome."""
        if self._owed is not None and self._owed.utterance == utterance:
            self._owed = None

    def supersede(self, utterance: int | None) -> None:
        """A generation of ``utterance`` begins: another one that owes an outcome gets it now."""
        owed, self._owed = self._owed, None
        if owed is not None and owed.utterance != utterance:
            superseded = events.Unanswered(owed.utterance, owed.generation, "superseded")
            self._settle(owed.verdict or superseded)

    def _conclude(self, owed: _Owed) -> None:
        if self._owed is owed and owed.verdict is not None:
            self._owed = None
            self._settle(owed.verdict)

    def _settle(self, outcome: Outcome) -> None:
        self._endpointer.seal(outcome.utterance)
        self.answers += isinstance(outcome, events.AnswerFinished)
        self.cancelled += isinstance(outcome, events.AnswerCancelled)
        self._log.emit(outcome)
        for tell in self._told:
            tell(outcome)
