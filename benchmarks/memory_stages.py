"""The stages between the endpoint decision and the first token, put together for one question.

They are the runtime's own; it decides neither their order nor what is kept between questions.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from omnilive.config import RuntimeConfig
from omnilive.engine.interface import F32
from omnilive.engine.pack import EnginePack
from omnilive.memory.clip import Clip
from omnilive.memory.grounding import Grounding
from omnilive.perception.audio_model import AudioModel
from omnilive.perception.frame_encoder import FrameEncoder
from omnilive.reasoning.instruction import InstructionCheck
from omnilive.reasoning.prompt import PromptBuilder
from omnilive.reasoning.reasoner import Reasoner
from omnilive.session.evidence import EvidenceReader, Question
from omnilive.session.remembering import MemorySnapshot, Remembering, SeenFrame

Steps = Generator[Any, None, Any]

WORDS, OTHER_WORDS = "What is on the table beside the lamp?", "Who came in a moment ago?"
"""The question that is timed, and the one before it."""


@dataclass(frozen=True)
class FirstToken:
    """What an answer begins with.

    Attributes:
        token: its id.
        selected: indices of the clips found.
        prompt_tokens, kept_tokens: of the prompt, and those whose KV was there.
    """

    token: int
    selected: tuple[int, ...]
    prompt_tokens: int
    kept_tokens: int


@dataclass(frozen=True, eq=False)
class Shared:
    """What every question finds ready.

    Attributes:
        newest: uint8 [h, w, 3], the frame that came with the endpoint.
        sound, voice: float32 [n] at 16 kHz: the background, and the utterance.
    """

    pack: EnginePack
    config: RuntimeConfig
    encoder: FrameEncoder
    audio: AudioModel
    closed: Sequence[Clip]
    newest: npt.NDArray[np.uint8]
    sound: F32
    voice: F32
    prompts: PromptBuilder
    evidence: EvidenceReader


class Stages:
    """The stages of one question, in the state they have at the endpoint.

    Attributes:
        steps: begins each stage, by name; each step is one that nothing else interrupts. Grounding
            comes after recalling, the answer after everything else.
        long_term: float32 [K, H], once recalled.
        first: what the answer begins with, once it has.
    """

    def __init__(
        self,
        parts: Shared,
        remembering: Remembering,
        frames: tuple[SeenFrame, ...],
        check: InstructionCheck,
        reasoner: Reasoner,
        keeps_kv: bool,
        generation: int,
    ) -> None:
        self._parts = parts
        self._remembering = remembering
        self._frames = frames
        self._check = check
        self._reasoner = reasoner
        self._grounding = Grounding(parts.pack, parts.config.retrieval, keeps_kv=keeps_kv)
        self._generation = generation
        self._clips: tuple[Clip, ...] = ()
        self._question: Question | None = None
        self.long_term: F32 = np.zeros((0, 0), np.float32)
        self.first: FirstToken | None = None
        self.steps: dict[str, Callable[[], Steps]] = {
            "classify": lambda: parts.audio.classifying(parts.sound),
            "transcribe": lambda: parts.audio.transcribing(parts.voice),
            "see": self._see,
            "recall": self._recall,
            "ground": self._ground,
            "check": lambda: check.judging(WORDS),
            "answer": self._answer,
        }

    def _see(self) -> Steps:
        self._parts.encoder.encode(self._parts.newest)
        yield

    def _recall(self) -> Steps:
        snapshot = MemorySnapshot(len(self._parts.closed), self._frames)
        clip, _ = yield from self._remembering.compression(snapshot)
        self._clips = (*self._parts.closed, clip)
        self.long_term, _ = yield from self._remembering.integration(self._clips)

    def _ground(self) -> Steps:
        scores, selection = yield from self._grounding.grounding(self.long_term, self._clips, WORDS)
        self._question = Question(
            0, self._generation, WORDS, "en", self.long_term, self._clips, scores, selection
        )

    def _answer(self) -> Steps:
        """Evidence, pictures, prefill and the first token."""
        parts, question = self._parts, self._question
        if question is None:
            raise RuntimeError("the question is not grounded")
        evidence = yield from parts.evidence.read(question, self._reasoner.prompt_limit)
        assembly = parts.prompts.begin(
            question.text,
            question.language,
            evidence.long_term,
            evidence.short_term,
            evidence.canvas,
            evidence.budget,
        )
        while not assembly.step():
            yield
        answer = self._reasoner.begin(assembly.prompt(), self._generation)
        while not answer.prefill_step():
            yield
        self.first = FirstToken(
            answer.step().id,
            tuple(clip.index for clip in question.clips),
            evidence.budget.prompt_tokens,
            answer.kept_tokens,
        )
        yield
