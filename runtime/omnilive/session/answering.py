"""Answering: a grounded question becomes tokens, sentences and speech.

It works for one generation at a time and never outlives it: ``cancel`` silences what was placed
on the track but not yet heard.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from omnilive import events
from omnilive.engine.interface import F32
from omnilive.errors import TooLongError
from omnilive.eventlog import EventLog
from omnilive.lanes import Finished, Job, Lane, Lanes, Work
from omnilive.perception.endpoint import Endpointer
from omnilive.reasoning.prompt import PromptBuilder
from omnilive.reasoning.reasoner import AnswerToken, Reasoner
from omnilive.session.costs import VirtualCostConfig
from omnilive.session.evidence import Evidence, EvidenceReader, Question
from omnilive.session.outcomes import Outcomes
from omnilive.sources.types import samples_to_us
from omnilive.speech.config import SentenceConfig
from omnilive.speech.sentences import SentenceSplitter
from omnilive.speech.track import AnswerTrack
from omnilive.speech.voice import Voice
from omnilive.tasks import Task, TaskQueue


@dataclass(frozen=True)
class AnswerParts:
    """The stages an answer calls, put together by the session."""

    evidence: EvidenceReader
    prompts: PromptBuilder
    reasoner: Reasoner
    voice: Voice
    track: AnswerTrack
    endpointer: Endpointer


@dataclass(eq=False)
class _Speaking:
    """State of the answer in progress.

    Attributes:
        wall_us: measured time of the steps since the last event they led to.
        ended_by: why the text ended; empty while it is being decoded.
        unspoken: sentences not yet on the track.
        heard_us: when the last sentence on the track has been heard.
    """

    question: Question
    splitter: SentenceSplitter
    text: str = ""
    tokens: int = 0
    wall_us: int = 0
    ended_by: str = ""
    unspoken: int = 0
    heard_us: int = 0

    @property
    def ids(self) -> tuple[int, int]:
        """The first two fields of its events."""
        return self.question.utterance, self.question.generation

    @property
    def finished(self) -> events.AnswerFinished:
        """Its outcome when nothing stops it."""
        language = self.question.language
        return events.AnswerFinished(*self.ids, self.text, language, self.tokens, self.ended_by)


class Answerer:
    """Runs one answer at a time on the reason and speak lanes. Its methods run on the loop."""

    def __init__(
        self,
        parts: AnswerParts,
        lanes: Lanes,
        log: EventLog,
        outcomes: Outcomes,
        sentences: SentenceConfig,
        costs: VirtualCostConfig,
    ) -> None:
        self._parts = parts
        self._lanes = lanes
        self._log = log
        self._outcomes = outcomes
        self._sentences = sentences
        self._costs = costs
        self._tasks = TaskQueue(lanes, Lane.REASON)
        self._speaking: _Speaking | None = None

    def begin(self, question: Question) -> None:
        """Start answering; whatever came before has been cancelled by its generation."""
        speaking = _Speaking(question, SentenceSplitter(self._sentences))
        self._speaking = speaking
        self._tasks.submit(
            Task(
                self._steps(question),
                on_step=lambda finished: self._on_step(speaking, finished),
                generation=question.generation,
                feeds=Lane.SPEAK,
            )
        )

    def cancel(self, by_generation: int, by_utterance: int) -> None:
        """Stop the answer in progress, if it is still being decoded or heard.

        It has no outcome yet when the utterance it answers goes on.
        """
        speaking, self._speaking = self._speaking, None
        if speaking is None:
            return
        silenced_us = self._parts.track.cut(self._lanes.now_us())
        if speaking.question.utterance == by_utterance:
            return
        complete = bool(speaking.ended_by)
        if complete and not speaking.unspoken and not silenced_us:
            self._outcomes.answered(speaking.finished)
            return
        self._outcomes.answered(
            events.AnswerCancelled(
                *speaking.ids, by_generation, speaking.text, speaking.tokens, silenced_us, complete
            )
        )

    def _steps(self, question: Question) -> Generator[Work[Any], None, None]:
        context_tokens = self._parts.reasoner.prompt_limit
        try:
            evidence = yield from self._parts.evidence.read(question, context_tokens)
        except TooLongError as error:
            yield Work(error, 0)
            return
        yield Work(evidence.event, 0)
        yield from self._answer(question, evidence)

    def _answer(
        self, question: Question, evidence: Evidence
    ) -> Generator[Work[AnswerToken | None], None, None]:
        prompts, reasoner, costs = self._parts.prompts, self._parts.reasoner, self._costs
        assembly = prompts.begin(
            question.text,
            question.language,
            evidence.long_term,
            evidence.short_term,
            evidence.canvas,
            evidence.budget,
        )
        tiles = evidence.budget.tiles
        while not assembly.step():
            encoded = min(tiles, prompts.config.tiles_per_step)
            tiles -= encoded
            yield Work(None, encoded * costs.tile_us)
        yield Work(None, tiles * costs.tile_us)
        answer = reasoner.begin(assembly.prompt(), question.generation)
        tokens = evidence.budget.prompt_tokens - answer.kept_tokens
        chunk = reasoner.config.prefill_chunk
        for start in range(0, tokens, chunk):
            answer.prefill_step()
            yield Work(None, min(chunk, tokens - start) * costs.prefill_token_us)
        while not answer.done:
            yield Work(answer.step(), costs.decode_step_us)

    def _on_step(self, speaking: _Speaking, finished: Finished[Any]) -> None:
        value = finished.value
        if isinstance(value, AnswerToken):
            self._on_token(speaking, value, finished.wall_us)
            return
        speaking.wall_us += finished.wall_us
        if isinstance(value, events.EvidenceChosen):
            self._log.emit(value, wall_us=speaking.wall_us, stage="evidence")
            speaking.wall_us = 0
        elif isinstance(value, TooLongError):
            self._speaking = None
            self._outcomes.unanswered(*speaking.ids, "too_long")

    def _on_token(self, speaking: _Speaking, token: AnswerToken, wall_us: int) -> None:
        if token.reason != "stop":
            event_id = self._log.emit(
                events.TokenDecoded(*speaking.ids, speaking.tokens, token.text_delta),
                wall_us=wall_us,
                stage="decode",
            )
            if speaking.tokens == 0:
                self._log.time(event_id, "prefill", speaking.wall_us)
            speaking.tokens += 1
        speaking.text += token.text_delta
        speaking.ended_by = token.reason
        for sentence in speaking.splitter.push(token.text_delta):
            self._speak(speaking, sentence)
        if token.done:
            for sentence in speaking.splitter.flush():
                self._speak(speaking, sentence)
            self._finish_when_heard(speaking)

    def _speak(self, speaking: _Speaking, sentence: str) -> None:
        question = speaking.question
        speaking.unspoken += 1

        def synthesize() -> Work[F32]:
            samples = self._parts.voice.synthesize(sentence, question.language)
            cost = samples_to_us(len(samples)) * self._costs.speech_us_per_s // 1_000_000
            return Work(samples, cost)

        def place(finished: Finished[F32]) -> None:
            speaking.unspoken -= 1
            if len(finished.value):
                self._place(speaking, sentence, finished)
            self._finish_when_heard(speaking)

        self._lanes.submit(Job(Lane.SPEAK, synthesize, place, generation=question.generation))

    def _place(self, speaking: _Speaking, sentence: str, finished: Finished[F32]) -> None:
        """Put a sentence on the track; from now on speech interrupts instead of going on."""
        question = speaking.question
        self._parts.endpointer.seal(question.utterance)
        placed = self._parts.track.place(self._lanes.now_us(), finished.value, question.generation)
        speaking.heard_us = placed.end_us
        self._log.emit(
            events.SentenceSpoken(*speaking.ids, sentence, placed.start_us, placed.end_us),
            wall_us=finished.wall_us,
            stage="speak",
        )

    def _finish_when_heard(self, speaking: _Speaking) -> None:
        """Wait for the end of the last sentence, once it is known which one is the last."""

        def heard() -> None:
            if self._speaking is speaking:
                self._speaking = None
                self._outcomes.answered(speaking.finished)

        if speaking.ended_by and not speaking.unspoken:
            self._lanes.at(speaking.heard_us, heard)
