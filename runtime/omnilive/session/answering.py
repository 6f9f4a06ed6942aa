"""Answering: a grounded question becomes tokens, sentences and speech.

It works for one generation at a time and never outlives it: ``cancel`` silences what was placed
on the track but not yet heard.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from omnilive import events
from omnilive.engine.interface import F32
from omnilive.eventlog import EventLog
from omnilive.lanes import Finished, Job, Lane, Lanes, Work
from omnilive.memory.clip import Clip
from omnilive.memory.keyframes import KeyframeStore
from omnilive.perception.endpoint import Endpointer
from omnilive.reasoning.config import BudgetConfig
from omnilive.reasoning.prompt import PromptBuilder
from omnilive.reasoning.reasoner import AnswerToken, Reasoner
from omnilive.reasoning.stitch import stitch
from omnilive.session.config import EvidenceConfig
from omnilive.session.costs import VirtualCostConfig
from omnilive.sources.types import samples_to_us
from omnilive.speech.config import SentenceConfig
from omnilive.speech.sentences import SentenceSplitter
from omnilive.speech.track import AnswerTrack
from omnilive.speech.voice import Voice
from omnilive.tasks import Task, TaskQueue


@dataclass(frozen=True, eq=False)
class Question:
    """A question with the memory it is about.

    Attributes:
        long_term: float32 [K, H].
        clips: the selected clips in time order.
        ranking: positions in ``clips``, the most related first.
        newest: the newest clip known to the question, or None before the first frame.
        fallback_frames: newest frames that stand in when no clip passed the rule, else 0.
    """

    utterance: int
    generation: int
    text: str
    language: str
    long_term: F32
    clips: tuple[Clip, ...]
    ranking: tuple[int, ...]
    newest: Clip | None
    fallback_frames: int


@dataclass(frozen=True)
class AnswerParts:
    """The stages an answer calls, put together by the session."""

    prompts: PromptBuilder
    reasoner: Reasoner
    keyframes: KeyframeStore
    voice: Voice
    track: AnswerTrack
    endpointer: Endpointer


@dataclass(eq=False)
class _Speaking:
    """State of the answer in progress."""

    question: Question
    splitter: SentenceSplitter
    text: str = ""
    tokens: int = 0
    prefill_wall_us: int = 0
    finished: bool = False
    unspoken: int = 0


class Answerer:
    """Runs one answer at a time on the reason and speak lanes. Its methods run on the loop."""

    def __init__(
        self,
        parts: AnswerParts,
        lanes: Lanes,
        log: EventLog,
        evidence: EvidenceConfig,
        budget: BudgetConfig,
        sentences: SentenceConfig,
        costs: VirtualCostConfig,
    ) -> None:
        self._parts = parts
        self._lanes = lanes
        self._log = log
        self._evidence = evidence
        self._budget = budget
        self._sentences = sentences
        self._costs = costs
        self._tasks = TaskQueue(lanes, Lane.REASON)
        self._speaking: _Speaking | None = None
        self.answers = 0
        self.cancelled = 0

    def begin(self, question: Question) -> None:
        """Start answering; whatever came before has been cancelled by its generation."""
        speaking = _Speaking(question, SentenceSplitter(self._sentences))
        self._speaking = speaking
        self._tasks.submit(
            Task(
                self._steps(question),
                on_step=lambda finished: self._on_step(speaking, finished),
                generation=question.generation,
            )
        )

    def cancel(self, by_generation: int) -> None:
        """Stop the answer in progress, if it is still being decoded or heard."""
        speaking, self._speaking = self._speaking, None
        if speaking is None:
            return
        silenced_us = self._parts.track.cut(self._lanes.now_us())
        if speaking.finished and not speaking.unspoken and not silenced_us:
            return
        self.cancelled += 1
        self._log.emit(
            events.AnswerCancelled(
                speaking.question.utterance,
                speaking.question.generation,
                by_generation,
                speaking.text,
                speaking.tokens,
                silenced_us,
            )
        )

    def _steps(self, question: Question) -> Generator[Work[Any], None, None]:
        frames = self._frames(question)
        long_term, short_term = self._memory(question)
        prompts, reasoner = self._parts.prompts, self._parts.reasoner
        budget = prompts.plan(
            question.text,
            question.language,
            [(frame.shape[1], frame.shape[0]) for _, frame in frames],
            prompts.count_memory(
                0 if long_term is None else len(long_term),
                [len(rows) for rows in short_term],
                question.ranking if short_term else (),
            ),
            self._budget,
            context_tokens=reasoner.prompt_limit,
        )
        kept = [frames[i] for i in budget.frames]
        yield Work(
            events.EvidenceChosen(
                question.utterance,
                question.generation,
                tuple(keyframe for keyframe, _ in kept),
                budget.tiles,
                budget.visual_tokens,
                budget.memory_tokens,
                budget.text_tokens,
                budget.prompt_tokens,
                budget.limited_by,
            ),
            0,
        )
        canvas = stitch([frame for _, frame in kept], prompts.geometry.pixels) if kept else None
        assembly = prompts.begin(
            question.text, question.language, long_term, short_term, canvas, budget
        )
        tiles = budget.tiles
        while not assembly.step():
            encoded = min(tiles, prompts.config.tiles_per_step)
            tiles -= encoded
            yield Work(None, encoded * self._costs.tile_us)
        yield Work(None, tiles * self._costs.tile_us)
        answer = reasoner.begin(assembly.prompt(), question.generation)
        tokens, chunk = budget.prompt_tokens, reasoner.config.prefill_chunk
        for start in range(0, tokens, chunk):
            answer.prefill_step()
            yield Work(None, min(chunk, tokens - start) * self._costs.prefill_token_us)
        while not answer.done:
            yield Work(answer.step(), self._costs.decode_step_us)

    def _on_step(self, speaking: _Speaking, finished: Finished[Any]) -> None:
        value = finished.value
        if isinstance(value, events.EvidenceChosen):
            self._log.emit(value, wall_us=finished.wall_us, stage="evidence")
        elif isinstance(value, AnswerToken):
            self._on_token(speaking, value, finished.wall_us)
        else:
            speaking.prefill_wall_us += finished.wall_us

    def _on_token(self, speaking: _Speaking, token: AnswerToken, wall_us: int) -> None:
        question = speaking.question
        ids = (question.utterance, question.generation)
        if token.reason != "stop":
            event_id = self._log.emit(
                events.TokenDecoded(*ids, speaking.tokens, token.text_delta),
                wall_us=wall_us,
                stage="decode",
            )
            if speaking.tokens == 0:
                self._log.time(event_id, "prefill", speaking.prefill_wall_us)
            speaking.tokens += 1
        speaking.text += token.text_delta
        sentences = speaking.splitter.push(token.text_delta)
        if token.done:
            sentences += speaking.splitter.flush()
            speaking.finished = True
            self.answers += 1
            self._log.emit(
                events.AnswerFinished(
                    *ids, speaking.text, question.language, speaking.tokens, token.reason
                )
            )
        for sentence in sentences:
            self._speak(speaking, sentence)

    def _speak(self, speaking: _Speaking, sentence: str) -> None:
        question = speaking.question
        speaking.unspoken += 1

        def synthesize() -> Work[F32]:
            samples = self._parts.voice.synthesize(sentence, question.language)
            cost = samples_to_us(len(samples)) * self._costs.speech_us_per_s // 1_000_000
            return Work(samples, cost)

        def place(finished: Finished[F32]) -> None:
            speaking.unspoken -= 1
            if not len(finished.value):
                return
            self._parts.endpointer.seal(question.utterance)
            placed = self._parts.track.place(
                self._lanes.now_us(), finished.value, question.generation
            )
            self._log.emit(
                events.SentenceSpoken(
                    question.utterance,
                    question.generation,
                    sentence,
                    placed.start_us,
                    placed.end_us,
                ),
                wall_us=finished.wall_us,
                stage="speak",
            )

        self._lanes.submit(Job(Lane.SPEAK, synthesize, place, generation=question.generation))

    def _memory(self, question: Question) -> tuple[F32 | None, list[F32]]:
        """Long-term memory and each selected clip's short-term memory, as far as wanted."""
        if not self._evidence.memory_tokens or not len(question.long_term):
            return None, []
        return question.long_term, [c.short_term for c in question.clips]

    def _frames(self, question: Question) -> list[tuple[str, npt.NDArray[np.uint8]]]:
        """Keyframes to show, in time order; ones already evicted from disk are left out."""
        ids: dict[str, None] = {}
        if self._evidence.frame_rule == "demo_pair":
            for clip in question.clips[:1]:
                ids.update(dict.fromkeys(clip.keyframes[-3:][::2]))
        else:
            for clip in question.clips:
                ids.update(dict.fromkeys(clip.keyframes))
        if question.newest is not None:
            count = max(question.fallback_frames, self._evidence.current_frames)
            newest = question.newest.keyframes[-count:] if count else ()
            pair = self._evidence.frame_rule == "demo_pair"
            ids.update(dict.fromkeys(newest[::2] if pair else newest))
        read = ((i, self._parts.keyframes.get(i)) for i in ids)
        return [(i, frame) for i, frame in read if frame is not None]
