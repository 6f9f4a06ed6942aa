"""The scripted parts of a session without engines, see ``session_room``.

A sample above 0.5 is speech and its value says which word is spoken, so that a transcript tells
what audio it was made from.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

import memory_fakes
from omnilive.errors import TooLongError
from omnilive.events import Event
from omnilive.lanes import VirtualLanes
from omnilive.memory.clip import Keyframe
from omnilive.memory.config import RetrievalConfig
from omnilive.memory.keyframes import keyframe_id
from omnilive.memory.selection import select
from omnilive.perception.audio_model import AudioStep, SoundClass, Transcript
from omnilive.perception.frame_encoder import Encoding, FrameFeatures
from omnilive.perception.language import detect_language
from omnilive.reasoning.instruction import Verdict
from omnilive.reasoning.reasoner import AnswerToken
from omnilive.speech.words import Spoken, proportional

CHAR_SAMPLES = 800
"""A spoken character lasts 50 ms."""


class Recorder:
    """The event log in memory."""

    def __init__(self, lanes: VirtualLanes) -> None:
        self._lanes = lanes
        self.events: list[tuple[int, Event]] = []

    def emit(self, event: Event, *, wall_us: int | None = None, stage: str = "") -> int:
        self.events.append((self._lanes.now_us(), event))
        return len(self.events)

    def time(self, event_id: int, stage: str, wall_us: int) -> None:
        assert 0 < event_id <= len(self.events)


class Ears:
    """An audio model that reads words from the samples."""

    def __init__(self) -> None:
        self.vocabulary: list[str] = []
        self.sound = "Speech"
        self.stammer = 0  # tokens it writes besides the words

    def code(self, word: str) -> float:
        """The sample value that says ``word``."""
        self.vocabulary.append(word)
        return 1.0 + len(self.vocabulary)

    def classifying(self, samples: np.ndarray) -> Generator[AudioStep, None, SoundClass]:
        assert not (samples > 0.5).any()
        yield AudioStep(len(samples), 10, 1)
        return SoundClass(self.sound, 1, 10)

    def transcribing(self, samples: np.ndarray) -> Generator[AudioStep, None, Transcript]:
        voiced = samples[samples > 1.5]
        starts = np.flatnonzero(np.diff(voiced, prepend=0))
        words = " ".join(w for v in voiced[starts] if (w := self.vocabulary[int(v) - 2]))
        yield AudioStep(len(samples), 10)
        for _ in range(len(starts) + self.stammer):
            yield AudioStep(tokens=1)
        return Transcript(words, detect_language(words), len(starts), 10)


@dataclass
class Check:
    """A yes/no check: what is in ``fillers`` is none, what holds ``LONG`` is too long."""

    fillers: tuple[str, ...] = ("um",)
    judged: list[str] = field(default_factory=list)

    def judging(self, text: str) -> Generator[int, None, Verdict]:
        self.judged.append(text)
        if "LONG" in text:
            raise TooLongError("too long", where="check", mend="-")
        yield 20
        return Verdict(0.1 if text in self.fillers else 0.9, 20)

    def is_instruction(self, probability: float) -> bool:
        return probability >= 0.5


@dataclass
class Finder:
    """A grounding with the cosines it is told, one per clip from the oldest on, then 0."""

    config: RetrievalConfig
    scores: Sequence[float] = ()
    asked: list[str] = field(default_factory=list)

    def grounding(
        self, long_term: np.ndarray, clips: Sequence[Any], text: str
    ) -> Generator[int, None, Any]:
        self.asked.append(text)
        if "ENDLESS" in text:
            raise TooLongError("too long", where="question", mend="-")
        yield 10
        scores = [*self.scores, *[0.0] * len(clips)][: len(clips)]
        return np.array(scores, np.float32), select(scores, self.config)


class Album:
    """A keyframe store in memory; ``gone`` are evicted before anybody asks."""

    def __init__(self) -> None:
        self.frames: dict[str, np.ndarray] = {}
        self.gone: set[str] = set()
        self.read: list[str] = []
        self.before_read: Callable[[str], None] = lambda key: None

    def __contains__(self, key: str) -> bool:
        return key in self.frames and key not in self.gone

    def take(self, pts_us: int, rgb: np.ndarray) -> Keyframe:
        key = keyframe_id(pts_us)
        self.frames[key] = rgb
        return Keyframe(key, rgb.shape[1], rgb.shape[0])

    def write_soon(self, key: str, done: Callable[[], None]) -> Future[None]:
        written: Future[None] = Future()
        written.set_result(None)
        done()
        return written

    def get(self, key: str) -> np.ndarray | None:
        self.before_read(key)
        self.read.append(key)
        return self.frames[key] if key in self else None


@dataclass
class Mouth:
    """A voice whose sentences last ``CHAR_SAMPLES`` per character; ``mute`` ones make no sound."""

    said: list[tuple[str, str]] = field(default_factory=list)
    mute: bool = False

    def say(self, text: str, language: str) -> Spoken:
        self.said.append((text, language))
        return proportional(
            text, np.full(0 if self.mute else len(text) * CHAR_SAMPLES, 0.5, np.float32)
        )


class Reply:
    """An answer of given pieces, one per token, with the interface of ``reasoner.Answer``."""

    def __init__(self, prompt: Any, pieces: list[str], chunk: int) -> None:
        self.prompt = prompt
        self.prefill_left = len(prompt.embeds)
        self.done = False
        self.rollbacks: list[int] = []
        self._pieces, self._chunk, self._at = [*pieces, ""], chunk, 0

    def prefill_step(self) -> bool:
        self.prefill_left -= min(self._chunk, self.prefill_left)
        return not self.prefill_left

    def renew(self, prompt: Any) -> int:
        self.prompt = prompt
        self.prefill_left = len(prompt.embeds) - 1
        return 1

    def rollback(self, tokens: int) -> None:
        assert tokens <= self._at
        self.rollbacks.append(tokens)
        self._at, self.done = tokens, False

    def step(self) -> AnswerToken:
        assert not self.prefill_left and not self.done
        piece = self._pieces[self._at]
        self._at += 1
        self.done = self._at == len(self._pieces)
        return AnswerToken(0, piece, self.done, "stop" if self.done else "")


class Speaker:
    """A reasoner that answers every prompt with the same text, a word per token."""

    def __init__(self, text: str, limit: int) -> None:
        self.config = SimpleNamespace(prefill_chunk=64)
        self.prompt_limit = limit
        self.pieces = [piece for piece in text.replace(" ", " \n").split("\n") if piece]
        self.prompts: list[Any] = []
        self.replies: list[Reply] = []

    def begin(self, prompt: Any, generation: int) -> Reply:
        self.prompts.append(prompt)
        self.replies.append(Reply(prompt, self.pieces, self.config.prefill_chunk))
        return self.replies[-1]


def begin(rgb: np.ndarray) -> Encoding:
    """A frame encoder whose features follow from the colour alone."""
    return Encoding(None, lambda: _encode(rgb))


def _encode(rgb: np.ndarray) -> FrameFeatures:
    spec = memory_fakes.SPEC
    colour = rgb.mean(axis=(0, 1), dtype=np.float32) - 128
    patches = np.resize(colour, (spec.grid**2, spec.features)).astype(np.float32)
    return FrameFeatures(patches, np.resize(colour, spec.cls).astype(np.float32))
