"""Listening: audio becomes utterances, utterances become words. It never judges the words."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from omnilive import events
from omnilive.eventlog import EventLog
from omnilive.lanes import Finished, Lane, Lanes, Work
from omnilive.perception import endpoint
from omnilive.perception.audio_model import AudioModel, AudioStep, SoundClass, Transcript
from omnilive.perception.endpoint import Endpointer, Utterance
from omnilive.perception.language import detect_language, last_words, question_text
from omnilive.session.config import TurnConfig
from omnilive.session.costs import VirtualCostConfig
from omnilive.session.generations import Generations
from omnilive.session.outcomes import Outcomes
from omnilive.session.watching import MemorySnapshot
from omnilive.sources.types import Pcm, samples_to_us
from omnilive.tasks import Task, TaskQueue

R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Heard:
    """What somebody said.

    Attributes:
        text: its last words, with the background sound's prefix (spec §3.2).
        at_start, at_end: memory as it was when the speech began and ended.
    """

    utterance: int
    generation: int
    text: str
    language: str
    at_start: MemorySnapshot
    at_end: MemorySnapshot


@dataclass(eq=False)
class _Speech:
    """What is known about the utterance being heard.

    Attributes:
        words: the last ones of the parts that were split off.
    """

    index: int
    generation: int
    at_start: MemorySnapshot
    sound: SoundClass | None = None
    words: str = ""


class Listening:
    """Feeds the endpointer and the audio model. Everything but the engine work is on the loop."""

    def __init__(
        self,
        endpointer: Endpointer,
        audio: AudioModel,
        generations: Generations,
        outcomes: Outcomes,
        snapshot: Callable[[], MemorySnapshot],
        on_heard: Callable[[Heard], None],
        prepare: Callable[[MemorySnapshot, int], None],
        lanes: Lanes,
        log: EventLog,
        config: TurnConfig,
        costs: VirtualCostConfig,
    ) -> None:
        self._endpointer = endpointer
        self._audio = audio
        self._generations = generations
        self._outcomes = outcomes
        self._take_snapshot = snapshot
        self._on_heard = on_heard
        self._prepare = prepare
        self._log = log
        self._config = config
        self._costs = costs
        self._tasks = TaskQueue(lanes, Lane.LISTEN)
        self._told: list[Callable[[], None]] = []
        self._speech: _Speech | None = None
        self.utterances = 0

    def when_room(self, callback: Callable[[], None], tasks: int) -> None:
        """Call back once ``tasks`` more utterances, or their sounds, may wait to be heard."""
        self._tasks.when_room(callback, tasks)

    def when_listened(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` after every block of audio, and at the end of the stream."""
        self._told.append(tell)

    def on_pcm(self, pcm: Pcm) -> None:
        """Take one block of audio."""
        self._handle(self._endpointer.push(pcm))

    def finish(self) -> None:
        """The stream is over: an open utterance ends here."""
        self._handle(self._endpointer.finish())

    def _handle(self, heard: list[endpoint.EndpointEvent]) -> None:
        for event in heard:
            if isinstance(event, endpoint.SpeechStarted):
                self._speech = self._on_started(event)
            elif self._speech is None:
                raise RuntimeError("the endpointer ended what it never began")
            elif isinstance(event, endpoint.SpeechContinued):
                self._speech.generation = self._generations.advance(event.index)
                self._log.emit(events.SpeechContinued(event.index, self._speech.generation))
            else:
                self._on_ended(self._speech, event.utterance)
        for tell in self._told:
            tell()

    def _on_started(self, event: endpoint.SpeechStarted) -> _Speech:
        generation = self._generations.advance(event.index)
        self.utterances += 1
        speech = _Speech(event.index, generation, self._take_snapshot())
        self._log.emit(events.SpeechStarted(event.index, generation, event.onset_us))

        def classified(finished: Finished[SoundClass]) -> None:
            speech.sound = finished.value
            self._log.emit(
                events.SoundClassified(event.index, generation, finished.value.label),
                wall_us=finished.wall_us,
                stage="classify",
            )

        self._listen(self._audio.classifying(event.background), classified, None)
        if self._config.snapshot == "speech_start":
            self._prepare_memory(speech.at_start, generation)
        return speech

    def _prepare_memory(self, snapshot: MemorySnapshot, generation: int) -> None:
        """Have memory ready for the question, unless it is to wait for the check or its words."""
        if self._config.order == "parallel":
            self._prepare(snapshot, generation)

    def _on_ended(self, speech: _Speech, utterance: Utterance) -> None:
        last = not utterance.is_split
        if last and speech.generation != self._generations.current:
            # A question was typed meanwhile; what is said last counts.
            speech.generation = self._generations.advance(speech.index)
        generation, at_end = speech.generation, self._take_snapshot()
        self._log.emit(
            events.SpeechEnded(
                utterance.index,
                generation,
                utterance.start_us,
                utterance.end_us,
                len(utterance.samples),
                utterance.is_split,
            )
        )
        if last:
            self._outcomes.owe(speech.index, generation, spoken=True)
            late = self._config.snapshot == "speech_end"
            self._prepare_memory(at_end if late else speech.at_start, generation)

        def transcribed(finished: Finished[Transcript]) -> None:
            transcript = finished.value
            self._log.emit(
                events.Transcribed(
                    utterance.index,
                    generation,
                    transcript.text,
                    transcript.language,
                    typed=False,
                    tokens=transcript.tokens,
                ),
                wall_us=finished.wall_us,
                stage="transcribe",
            )
            words = f"{speech.words} {transcript.text}".strip()
            words = last_words(words, self._config.max_words)
            if last:
                self._hear(speech, generation, words, at_end)
            else:
                speech.words = words

        # The first part of a long utterance stays heard when its rest is reopened.
        lasting = generation if last else None
        self._listen(self._audio.transcribing(utterance.samples), transcribed, lasting)

    def _listen(
        self,
        steps: Generator[AudioStep, None, R],
        done: Callable[[Finished[R]], None],
        generation: int | None,
    ) -> None:
        """Run steps of the audio model on the listen lane; ``done`` gets their result."""
        wall_us = 0

        def on_step(finished: Finished[R | None]) -> None:
            nonlocal wall_us
            wall_us += finished.wall_us
            if finished.value is not None:
                done(Finished(finished.value, wall_us))

        self._tasks.submit(
            Task(self._paid(steps), on_step, generation=generation, name=_name_of(steps))
        )

    def _paid(self, steps: Generator[AudioStep, None, R]) -> Generator[Work[R | None], None, None]:
        """The steps with their cost, and at the end what they return."""
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                yield Work(stop.value, 0)
                return
            yield Work(None, self._cost_us(step))

    def _hear(self, speech: _Speech, generation: int, words: str, at_end: MemorySnapshot) -> None:
        """Hand the words of all parts over."""
        if not words:
            self._outcomes.unanswered(speech.index, generation, "no_words")
            return
        language = detect_language(words)
        text = question_text(Transcript(words, language, 0, 0), speech.sound)
        self._on_heard(Heard(speech.index, generation, text, language, speech.at_start, at_end))

    def _cost_us(self, step: AudioStep) -> int:
        costs = self._costs
        return (
            samples_to_us(step.samples) * costs.audio_encode_us_per_s // 1_000_000
            + step.prompt_tokens * costs.audio_prefill_token_us
            + step.tokens * costs.audio_decode_step_us
        )


def _name_of(steps: Generator[Any, None, Any]) -> str:
    """As the function is called that made them."""
    return str(getattr(steps, "__name__", ""))
