"""Conversation: words become a question once it is known to be one, and what it is about.

It never decodes an answer; that is ``answering``'s part.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from omnilive import events
from omnilive.errors import TooLongError
from omnilive.eventlog import EventLog
from omnilive.lanes import Finished, Job, Lane, Lanes, Work
from omnilive.memory.grounding import Grounding
from omnilive.perception.language import detect_language
from omnilive.reasoning.instruction import InstructionCheck, Verdict
from omnilive.session.config import TurnConfig
from omnilive.session.costs import VirtualCostConfig
from omnilive.session.evidence import Question
from omnilive.session.generations import Generations
from omnilive.session.listening import Heard
from omnilive.session.outcomes import Outcomes
from omnilive.session.watching import MemorySnapshot, Watcher
from omnilive.tasks import Task


@dataclass(frozen=True)
class ConversationParts:
    """The stages a conversation calls, put together by the session."""

    check: InstructionCheck
    grounding: Grounding


@dataclass(eq=False)
class _Turn:
    """What is known so far about one question.

    Attributes:
        stages: what is still to be found out; each tuple runs side by side.
        over: it gets no answer; what is still running for it no longer counts.
        too_long: its words exceed a limit of one of the stages.
    """

    utterance: int
    generation: int
    snapshot: MemorySnapshot
    text: str
    language: str
    stages: list[tuple[str, ...]]
    probability: float | None = None
    over: bool = False
    too_long: bool = False
    question: Question | None = None
    running: set[str] = field(default_factory=set)


_STAGES = {
    "parallel": (("check", "ground"),),
    "check_first": (("check",), ("ground",)),
    "ground_first": (("ground",), ("check",)),
}


class Conversation:
    """Takes spoken and typed words, hands questions to be answered on. Runs on the loop."""

    def __init__(
        self,
        parts: ConversationParts,
        watcher: Watcher,
        begin_answer: Callable[[Question], None],
        generations: Generations,
        outcomes: Outcomes,
        lanes: Lanes,
        log: EventLog,
        config: TurnConfig,
        costs: VirtualCostConfig,
    ) -> None:
        self._parts = parts
        self._watcher = watcher
        self._begin_answer = begin_answer
        self._generations = generations
        self._outcomes = outcomes
        self._lanes = lanes
        self._log = log
        self._config = config
        self._costs = costs
        self._typed = 0

    def hear(self, heard: Heard) -> None:
        """Take what somebody said; whether it wants an answer is found out here."""
        late = self._config.snapshot == "speech_end"
        turn = _Turn(
            heard.utterance,
            heard.generation,
            heard.at_end if late else heard.at_start,
            heard.text,
            heard.language,
            list(_STAGES[self._config.order]),
        )
        self._next_stage(turn)

    def ask(self, text: str) -> None:
        """Take a typed question: it needs no ears and no instruction check."""
        self._typed += 1
        utterance = -self._typed
        turn = _Turn(
            utterance,
            self._generations.advance(utterance),
            self._watcher.snapshot(),
            text.strip(),
            detect_language(text),
            [("ground",)],
            probability=1.0,
        )
        self._outcomes.owe(utterance, turn.generation, spoken=False)
        self._log.emit(
            events.Transcribed(
                utterance, turn.generation, turn.text, turn.language, typed=True, tokens=0
            )
        )
        if turn.text:
            self._next_stage(turn)
        else:
            self._outcomes.unanswered(utterance, turn.generation, "no_words")

    def _next_stage(self, turn: _Turn) -> None:
        if turn.too_long:
            self._outcomes.unanswered(turn.utterance, turn.generation, "too_long")
        elif turn.stages:
            turn.running = set(turn.stages.pop(0))
            for stage in sorted(turn.running):
                (self._check if stage == "check" else self._ground)(turn)
        elif turn.question is not None:
            self._begin_answer(turn.question)

    def _is_instruction(self, probability: float) -> bool:
        return self._parts.check.is_instruction(probability)

    def _stage_done(self, turn: _Turn, stage: str) -> None:
        turn.running.discard(stage)
        if turn.over:
            return
        if turn.probability is not None and not self._is_instruction(turn.probability):
            turn.over = True
            self._outcomes.unanswered(turn.utterance, turn.generation, "filler")
        elif not turn.running:
            self._next_stage(turn)

    def _check(self, turn: _Turn) -> None:
        def check() -> Work[Verdict | None]:
            try:
                verdict = self._parts.check.judge(turn.text)
            except TooLongError:
                return Work(None, 0)
            return Work(verdict, verdict.tokens * self._costs.prefill_token_us)

        def checked(finished: Finished[Verdict | None]) -> None:
            if finished.value is None:
                turn.too_long = True
            else:
                turn.probability = finished.value.probability
                self._log.emit(
                    events.InstructionChecked(
                        turn.utterance,
                        turn.generation,
                        turn.probability,
                        self._is_instruction(turn.probability),
                    ),
                    wall_us=finished.wall_us,
                    stage="instruction",
                )
            self._stage_done(turn, "check")

        self._lanes.submit(Job(Lane.REASON, check, checked, generation=turn.generation))

    def _ground(self, turn: _Turn) -> None:
        wall_us = 0

        def on_step(finished: Finished[Question | TooLongError | None]) -> None:
            nonlocal wall_us
            wall_us += finished.wall_us
            if isinstance(finished.value, TooLongError):
                turn.too_long = True
            elif finished.value is not None and not turn.over:
                turn.question = finished.value
                self._log.emit(_grounded(turn.question), wall_us=wall_us, stage="ground")

        self._watcher.tasks.submit(
            Task(
                self._grounding(turn),
                on_step,
                on_end=lambda: self._stage_done(turn, "ground"),
                generation=turn.generation,
            )
        )

    def _grounding(
        self, turn: _Turn
    ) -> Generator[Work[Question | TooLongError | None], None, None]:
        parts = self._parts
        clips, long_term = yield from self._watcher.recall(turn.snapshot)
        before = parts.grounding.tokens_computed
        try:
            scores, selection = parts.grounding.ground(long_term, clips, turn.text)
        except TooLongError as error:
            yield Work(error, 0)
            return
        tokens = parts.grounding.tokens_computed - before
        question = Question(
            turn.utterance,
            turn.generation,
            turn.text,
            turn.language,
            long_term,
            clips,
            scores,
            selection,
        )
        yield Work(question, tokens * self._costs.memory_token_us)


def _grounded(question: Question) -> events.Grounded:
    return events.Grounded(
        question.utterance,
        question.generation,
        question.selection.rule,
        tuple(c.index for c in question.known),
        tuple(float(s) for s in question.scores),
        tuple(c.index for c in question.clips),
        question.selection.fallback,
    )
