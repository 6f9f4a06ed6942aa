"""Conversation: words become a question once it is known to be one, and what it is about.

It never decodes an answer; that is ``answering``'s part.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from omnilive import events
from omnilive.eventlog import EventLog
from omnilive.lanes import Finished, Job, Lane, Lanes, Work
from omnilive.memory.clip import Clip
from omnilive.memory.grounding import Grounding
from omnilive.memory.selection import ranking
from omnilive.memory.store import MemoryStore
from omnilive.perception.language import detect_language
from omnilive.reasoning.instruction import InstructionCheck
from omnilive.session.answering import Answerer, Question
from omnilive.session.config import TurnConfig
from omnilive.session.costs import VirtualCostConfig
from omnilive.session.generations import Generations
from omnilive.session.listening import Heard
from omnilive.session.watching import MemorySnapshot, Watcher
from omnilive.tasks import Task


@dataclass(frozen=True)
class ConversationParts:
    """The stages a conversation calls, put together by the session."""

    check: InstructionCheck
    grounding: Grounding
    store: MemoryStore


@dataclass(eq=False)
class _Turn:
    """What is known so far about one question."""

    utterance: int
    generation: int
    snapshot: MemorySnapshot
    text: str
    language: str
    stages: list[tuple[str, ...]]
    probability: float | None = None
    question: Question | None = None
    running: set[str] = field(default_factory=set)


_STAGES = {
    "parallel": (("check", "ground"),),
    "check_first": (("check",), ("ground",)),
    "ground_first": (("ground",), ("check",)),
}


class Conversation:
    """Takes spoken and typed words, hands questions to the answerer. Runs on the loop."""

    def __init__(
        self,
        parts: ConversationParts,
        watcher: Watcher,
        answerer: Answerer,
        generations: Generations,
        lanes: Lanes,
        log: EventLog,
        config: TurnConfig,
        costs: VirtualCostConfig,
    ) -> None:
        self._parts = parts
        self._watcher = watcher
        self._answerer = answerer
        self._generations = generations
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
        turn = _Turn(
            -self._typed,
            self._generations.advance(),
            self._watcher.snapshot(),
            text.strip(),
            detect_language(text),
            [("ground",)],
            probability=1.0,
        )
        self._log.emit(
            events.Transcribed(
                turn.utterance, turn.generation, turn.text, turn.language, typed=True, tokens=0
            )
        )
        self._next_stage(turn)

    def _next_stage(self, turn: _Turn) -> None:
        if turn.probability is not None and not self._parts.check.is_instruction(turn.probability):
            self._log.emit(events.Unanswered(turn.utterance, turn.generation, "filler"))
        elif turn.stages:
            turn.running = set(turn.stages.pop(0))
            for stage in sorted(turn.running):
                (self._check if stage == "check" else self._ground)(turn)
        elif turn.question is not None:
            self._answerer.begin(turn.question)

    def _stage_done(self, turn: _Turn, stage: str) -> None:
        turn.running.discard(stage)
        if not turn.running:
            self._next_stage(turn)

    def _check(self, turn: _Turn) -> None:
        def check() -> Work[float]:
            probability = self._parts.check.probability(turn.text)
            tokens = len(self._parts.check.prompt_ids(turn.text))
            return Work(probability, tokens * self._costs.prefill_token_us)

        def checked(finished: Finished[float]) -> None:
            turn.probability = finished.value
            self._log.emit(
                events.InstructionChecked(
                    turn.utterance,
                    turn.generation,
                    finished.value,
                    self._parts.check.is_instruction(finished.value),
                ),
                wall_us=finished.wall_us,
                stage="instruction",
            )
            self._stage_done(turn, "check")

        self._lanes.submit(Job(Lane.REASON, check, checked, generation=turn.generation))

    def _ground(self, turn: _Turn) -> None:
        wall_us = 0

        def on_step(finished: Finished[tuple[Question, events.Grounded] | None]) -> None:
            nonlocal wall_us
            wall_us += finished.wall_us
            if finished.value is not None:
                turn.question, event = finished.value
                self._log.emit(event, wall_us=wall_us, stage="ground")

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
    ) -> Generator[Work[tuple[Question, events.Grounded] | None], None, None]:
        parts, snapshot = self._parts, turn.snapshot
        clips = [c for c in parts.store.clips if c.index < snapshot.closed]
        if snapshot.open_frames:
            open_clip, _ = yield from self._watcher.compression(snapshot)
            clips.append(open_clip)
        long_term, _ = yield from self._watcher.integration(clips)
        before = parts.grounding.tokens_computed
        scores, selection = parts.grounding.ground(long_term, clips, turn.text)
        tokens = parts.grounding.tokens_computed - before
        selected: list[Clip] = [clips[i] for i in selection.clips]
        question = Question(
            utterance=turn.utterance,
            generation=turn.generation,
            text=turn.text,
            language=turn.language,
            long_term=long_term,
            clips=tuple(selected),
            ranking=tuple(ranking([scores[i] for i in selection.clips])),
            newest=clips[-1] if clips else None,
            fallback_frames=selection.fallback_frames,
        )
        event = events.Grounded(
            turn.utterance,
            turn.generation,
            selection.rule,
            tuple(c.index for c in clips),
            tuple(float(s) for s in scores),
            tuple(c.index for c in selected),
            selection.fallback,
        )
        yield Work((question, event), tokens * self._costs.memory_token_us)
