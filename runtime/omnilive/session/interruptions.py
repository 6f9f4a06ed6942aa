"""Interruptions: an answer that was stopped goes on if it was stopped by nothing.

One stopped answer at a time is held. It goes on from its last spoken word when what interrupted it
has no words or asks for nothing, and is cancelled when it does, when another utterance comes, or
when the grace is over. It never decodes or speaks; that is ``answering``'s part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from omnilive import events
from omnilive.eventlog import EventLog
from omnilive.lanes import Lanes, Timer
from omnilive.session.answering import Answerer
from omnilive.session.config import TurnConfig
from omnilive.session.evidence import Question
from omnilive.session.generations import Generations
from omnilive.session.outcomes import Outcome, Outcomes
from omnilive.session.playout import Played
from omnilive.session.speaking import Speaking

FALSE_ALARMS = frozenset({"filler", "no_words"})
"""Why an utterance is unanswered that interrupted nothing after all."""


@dataclass(eq=False)
class _Held:
    """A stopped answer.

    Attributes:
        by_utterance: what stopped it; None when a client did.
        at_us: when.
        then: how it ends, once the client has told what it played; None while undecided.
    """

    speaking: Speaking
    by_generation: int
    by_utterance: int | None
    at_us: int
    silenced_us: int
    then: Callable[[_Held], None] | None = None
    timers: list[Timer] = field(default_factory=list)


class Interruptions:
    """Stops answers, holds them and lets them go on or go. Runs on the loop."""

    def __init__(
        self,
        answerer: Answerer,
        generations: Generations,
        outcomes: Outcomes,
        lanes: Lanes,
        log: EventLog,
        config: TurnConfig,
    ) -> None:
        self._answerer = answerer
        self._generations = generations
        self._outcomes = outcomes
        self._lanes = lanes
        self._log = log
        self._grace_us = config.resume_grace_ms * 1000
        self._wait_us = config.playout_wait_ms * 1000
        self._held: _Held | None = None
        generations.when_advanced(self._on_advanced)
        generations.when_advanced(lambda _, utterance: outcomes.supersede(utterance))
        outcomes.hurry(self._waits_for)
        outcomes.when_settled(self._on_settled)

    @property
    def idle(self) -> bool:
        """Whether no answer is in progress, held or owed."""
        return self._held is None and not self._answerer.busy and not self._outcomes.owes

    def begin(self, question: Question) -> None:
        """A question is to be answered: what it interrupted is over."""
        if self._held is not None:
            self._cancel(self._held)
        self._answerer.begin(question)

    def interrupt(self, played: Played | None = None, generation: int | None = None) -> None:
        """A client stops the answer: it goes on only when the client says so.

        Args:
            played: what the client had played of it.
            generation: which answer it means; what came after that one goes on. None for
                whatever is being answered now.
        """
        if played is not None:
            self.report(played)
        if generation is None or self._answerer.generation == generation:
            self._generations.advance(None)

    def stop(self) -> None:
        """The session ends: what is in progress or held is over at once."""
        self._generations.advance(None)
        if self._held is not None:
            self._cancel(self._held)

    def resume(self) -> None:
        """A client lets the answer that is held go on, if there is one."""
        if self._held is not None and self._held.then is None:
            self._conclude(self._held, self._resume)

    def report(self, played: Played) -> None:
        """A client's account of what it played, of the answer in progress or the one held."""
        self._answerer.report(played)
        held = self._held
        if held is not None and held.speaking.question.generation == played.generation:
            held.speaking.report(played)
            if held.then is not None and played.final:
                held.then(held)

    def _on_advanced(self, generation: int, utterance: int | None) -> None:
        if self._held is not None:
            if utterance is not None and utterance == self._held.by_utterance:
                return  # the utterance that interrupted goes on
            self._cancel(self._held)
        now_us = self._lanes.now_us()
        stopped = self._answerer.stop(utterance)
        if stopped is None:
            return
        speaking = stopped.speaking
        self._outcomes.release(speaking.question.utterance)
        held = _Held(speaking, generation, utterance, now_us, stopped.silenced_us)
        self._held = held
        self._log.emit(
            events.AnswerInterrupted(
                *speaking.ids, generation, stopped.silenced_us, bool(speaking.ended_by)
            )
        )
        typed = utterance is not None and utterance < 0
        if typed or not self._grace_us:
            self._conclude(held, self._cancel)
        else:
            self._later(held, now_us + self._grace_us, lambda: self._conclude(held, self._cancel))

    def _waits_for(self, utterance: int) -> bool:
        """Whether an answer goes on as soon as ``utterance`` is known to be nothing."""
        held = self._held
        return held is not None and held.then is None and held.by_utterance == utterance

    def _on_settled(self, outcome: Outcome) -> None:
        held = self._held
        if held is None or held.by_utterance is None or held.by_utterance != outcome.utterance:
            return
        false_alarm = isinstance(outcome, events.Unanswered) and outcome.reason in FALSE_ALARMS
        self._conclude(held, self._resume if false_alarm else self._cancel)

    def _conclude(self, held: _Held, then: Callable[[_Held], None]) -> None:
        """End it as soon as what was heard of it is known: a client's account takes a moment."""
        if self._held is not held or held.then is not None:
            return
        reported, due_us = held.speaking.reported, held.at_us + self._wait_us
        if reported is None or reported.final or self._lanes.now_us() >= due_us:
            then(held)
            return
        held.then = then
        self._later(held, due_us, lambda: then(held) if self._held is held else None)

    def _later(self, held: _Held, at_us: int, callback: Callable[[], None]) -> None:
        held.timers.append(self._lanes.at(at_us, callback))

    def _release(self, held: _Held) -> int:
        """Let go of it; returns how many characters of it were heard."""
        self._held = None
        for timer in held.timers:
            timer.cancel()
        return held.speaking.said_at(held.at_us)

    def _cancel(self, held: _Held) -> None:
        said = self._release(held)
        self._outcomes.answered(_outcome(held, said))

    def _resume(self, held: _Held) -> None:
        said = self._release(held)
        if _whole(held.speaking, said):
            self._outcomes.answered(_outcome(held, said))
            return
        utterance, from_generation = held.speaking.ids
        generation = self._generations.advance(utterance)
        self._outcomes.owe(utterance, generation, spoken=False)
        resumed = self._answerer.prepare(held.speaking, said, generation)
        self._log.emit(
            events.AnswerResumed(
                utterance,
                generation,
                from_generation,
                held.speaking.text[:said].rstrip(),
                resumed.tokens,
            )
        )
        self._answerer.go_on(resumed)


def _whole(speaking: Speaking, said: int) -> bool:
    """Whether every word of an answer was decoded and heard."""
    return bool(speaking.ended_by) and said >= len(speaking.text.rstrip())


def _outcome(held: _Held, said: int) -> events.AnswerFinished | events.AnswerCancelled:
    speaking = held.speaking
    if _whole(speaking, said):
        return speaking.finished
    return events.AnswerCancelled(
        *speaking.ids,
        held.by_generation,
        speaking.text,
        speaking.tokens,
        held.silenced_us,
        bool(speaking.ended_by),
        speaking.text[:said].rstrip(),
    )
