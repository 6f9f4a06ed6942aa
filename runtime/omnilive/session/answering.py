"""Answering: a grounded question becomes tokens, sentences and speech.

It works for one generation at a time and never outlives it: ``stop`` silences what was placed on
the track but not yet heard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from omnilive import events
from omnilive.errors import TooLongError
from omnilive.eventlog import EventLog
from omnilive.lanes import Finished, Job, Lane, Lanes, Timer, Work
from omnilive.perception.endpoint import Endpointer
from omnilive.reasoning.reasoner import AnswerToken
from omnilive.session.costs import VirtualCostConfig
from omnilive.session.decoding import Decoding
from omnilive.session.evidence import Question
from omnilive.session.outcomes import Outcomes
from omnilive.session.playout import Played
from omnilive.session.scene import SceneWatch
from omnilive.session.speaking import Speaking
from omnilive.sources.types import samples_to_us
from omnilive.speech.config import SentenceConfig
from omnilive.speech.outlet import AudioChunk, Outlet
from omnilive.speech.sentences import SentenceSplitter
from omnilive.speech.track import AnswerTrack
from omnilive.speech.voice import Voice
from omnilive.speech.words import Spoken
from omnilive.tasks import Task, TaskQueue


@dataclass(frozen=True)
class AnswerParts:
    """The stages an answer calls, put together by the session."""

    decoding: Decoding
    voice: Voice
    track: AnswerTrack
    endpointer: Endpointer
    scenes: SceneWatch | None = None


@dataclass(frozen=True, eq=False)
class Stopped:
    """An answer that was stopped before all of it was heard.

    Attributes:
        silenced_us: placed audio that is not heard now.
    """

    speaking: Speaking
    silenced_us: int


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
        playout_wait_us: int = 0,
        outlet: Outlet | None = None,
    ) -> None:
        self._parts = parts
        self._decoding = parts.decoding
        self._lanes = lanes
        self._log = log
        self._outcomes = outcomes
        self._sentences = sentences
        self._costs = costs
        self._playout_wait_us = playout_wait_us
        self._outlet = outlet
        self._tasks = TaskQueue(lanes, Lane.REASON)
        self._speaking: Speaking | None = None
        self._ending: Timer | None = None

    @property
    def busy(self) -> bool:
        """Whether an answer is being decoded or heard."""
        return self._speaking is not None

    @property
    def generation(self) -> int | None:
        """Of the answer being decoded or heard, or None."""
        return None if self._speaking is None else self._speaking.question.generation

    def begin(self, question: Question) -> None:
        """Start answering; whatever came before has been stopped by its generation."""
        scenes = self._parts.scenes
        scene = None if scenes is None else scenes.now()
        self.go_on(Speaking(question, SentenceSplitter(self._sentences), scene=scene))

    def prepare(self, stopped: Speaking, said: int, generation: int) -> Speaking:
        """The state in which ``stopped`` goes on after its first ``said`` characters."""
        return stopped.resumed(said, generation, SentenceSplitter(self._sentences))

    def go_on(self, speaking: Speaking) -> None:
        """Start an answer, or let one that was prepared go on."""
        self._speaking = speaking
        if self._outlet is not None:
            self._outlet.begin()
        self._tasks.submit(
            Task(
                self._decoding.steps(speaking),
                on_step=lambda finished: self._on_step(speaking, finished),
                generation=speaking.question.generation,
                feeds=Lane.SPEAK,
            )
        )

    def stop(self, by_utterance: int | None) -> Stopped | None:
        """Stop the answer in progress, if it is still being decoded or heard.

        It has its outcome when all of it was heard, and none yet when the utterance it answers
        goes on; None is returned for both.
        """
        speaking, self._speaking = self._speaking, None
        if speaking is None:
            return None
        self._wait_no_more()
        silenced_us = self._parts.track.cut(self._lanes.now_us())
        if self._outlet is not None:
            self._outlet.cut()
            speaking.handed = self._outlet.handed
        if speaking.question.utterance == by_utterance:
            return None
        if speaking.spoken_out and speaking.is_heard(not silenced_us):
            self._outcomes.answered(speaking.finished)
            return None
        return Stopped(speaking, silenced_us)

    def listened(self) -> None:
        """More of the stream was heard: what waited for the question to be over may sound."""
        if self._speaking is not None and self._speaking.ready:
            self._place_ready(self._speaking)

    def report(self, played: Played) -> None:
        """A client's account of what it played; one of another generation is left alone."""
        speaking = self._speaking
        if speaking is None or speaking.question.generation != played.generation:
            return
        if self._outlet is not None:
            speaking.handed = self._outlet.handed
        speaking.report(played)
        if speaking.spoken_out and speaking.ledger.samples and speaking.is_heard(False):
            self._finish(speaking)

    def _on_step(self, speaking: Speaking, finished: Finished[Any]) -> None:
        value = finished.value
        if isinstance(value, AnswerToken):
            self._on_token(speaking, value, finished.wall_us)
            return
        speaking.wall_us += finished.wall_us
        if isinstance(value, events.EvidenceChosen):
            self._log.emit(value, wall_us=speaking.wall_us, stage="evidence")
            speaking.wall_us = 0
        elif isinstance(value, events.SceneRefreshed):
            self._log.emit(value, wall_us=speaking.wall_us, stage="refresh")
            speaking.wall_us = 0
        elif isinstance(value, TooLongError):
            self._speaking = None
            self._outcomes.unanswered(*speaking.ids, "too_long")

    def _on_token(self, speaking: Speaking, token: AnswerToken, wall_us: int) -> None:
        if token.reason != "stop":
            event_id = self._log.emit(
                events.TokenDecoded(*speaking.ids, speaking.tokens, token.text_delta),
                wall_us=wall_us,
                stage="decode",
            )
            if speaking.wall_us:
                self._log.time(event_id, "prefill", speaking.wall_us)
                speaking.wall_us = 0
        sentences = speaking.take(token)
        for sentence in sentences:
            self._speak(speaking, sentence)
        scenes = self._parts.scenes
        if sentences and not token.done and scenes is not None:
            speaking.change = scenes.change_since(speaking.scene)
        if token.done:
            self._finish_when_heard(speaking)

    def _speak(self, speaking: Speaking, sentence: str) -> None:
        question = speaking.question
        speaking.unspoken += 1
        start = speaking.locate(sentence)

        def synthesize() -> Work[Spoken]:
            spoken = self._parts.voice.say(sentence, question.language)
            cost = samples_to_us(len(spoken.samples)) * self._costs.speech_us_per_s // 1_000_000
            return Work(spoken, cost)

        def place(finished: Finished[Spoken]) -> None:
            speaking.ready.append((start, finished))
            self._place_ready(speaking)

        self._lanes.submit(Job(Lane.SPEAK, synthesize, place, generation=question.generation))

    def _place_ready(self, speaking: Speaking) -> None:
        """Put what is synthesized on the track, once the question seems to be over."""
        if self._parts.endpointer.may_go_on(speaking.question.utterance):
            return  # ``listened`` tries again
        ready, speaking.ready = speaking.ready, []
        for start, finished in ready:
            speaking.unspoken -= 1
            self._place(speaking, start, finished)
        self._finish_when_heard(speaking)

    def _place(self, speaking: Speaking, start: int, finished: Finished[Spoken]) -> None:
        """Put a sentence on the track; from now on speech interrupts instead of going on."""
        spoken, first = finished.value, speaking.ledger.samples
        if not len(spoken.samples):
            speaking.ledger.add(start, spoken, self._lanes.now_us())
            return
        utterance, generation = speaking.ids
        self._parts.endpointer.seal(utterance)
        placed = self._parts.track.place(self._lanes.now_us(), spoken.samples, generation)
        speaking.ledger.add(start, spoken, placed.start_us)
        speaking.heard_us = placed.end_us
        self._log.emit(
            events.SentenceSpoken(*speaking.ids, spoken.text, placed.start_us, placed.end_us),
            wall_us=finished.wall_us,
            stage="speak",
        )
        if self._outlet is not None:
            self._outlet.add(
                AudioChunk(generation, utterance, first, placed.start_us, spoken.samples)
            )

    def _finish_when_heard(self, speaking: Speaking) -> None:
        """Wait for the end of the last sentence, once it is known which one is the last."""
        if not speaking.spoken_out:
            return
        if self._outlet is not None:
            utterance, generation = speaking.ids
            nothing = np.zeros(0, np.float32)
            first, end_us = speaking.ledger.samples, speaking.heard_us
            self._outlet.add(AudioChunk(generation, utterance, first, end_us, nothing, last=True))
        self._end_at(speaking.heard_us, speaking, self._playout_wait_us)

    def _end_at(self, at_us: int, speaking: Speaking, patience_us: int) -> None:
        self._wait_no_more()
        self._ending = self._lanes.at(at_us, lambda: self._heard(speaking, patience_us))

    def _wait_no_more(self) -> None:
        """The end of an answer that is not heard any more keeps no session waiting."""
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def _heard(self, speaking: Speaking, patience_us: int) -> None:
        """By stream time the last word has sounded; a client may be a little behind."""
        if self._speaking is not speaking:
            return
        if patience_us and not (speaking.is_played_out or speaking.is_heard(True)):
            later_us = self._lanes.now_us() + patience_us
            self._end_at(later_us, speaking, 0)
        else:
            self._finish(speaking)

    def _finish(self, speaking: Speaking) -> None:
        self._wait_no_more()
        self._speaking = None
        self._outcomes.answered(speaking.finished)
