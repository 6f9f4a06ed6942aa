"""From the endpoint decision to the first token, in the reference's order and in this runtime's.

Both ways run the same stages on the same engines, from the same memory, frames, sound and words:
the newest frame has come with the endpoint, and the answer is about it. The reference's order
(spec §4, §5.8) is serial: sound class, words, the memory of the newest frame, retrieval,
instruction check, answer; its sleeps, polls and waits for the next frame are left out.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from omnilive.config import RuntimeConfig
from omnilive.engine.interface import F32
from omnilive.engine.pack import EnginePack
from omnilive.memory.clip import Clip, Keyframe
from omnilive.memory.compressor import Compressor
from omnilive.memory.grounding import Grounding
from omnilive.memory.keyframes import KeyframeStore
from omnilive.memory.long_term import LongTermMemory
from omnilive.perception.audio_model import AudioModel
from omnilive.perception.frame_encoder import FrameEncoder
from omnilive.reasoning.instruction import InstructionCheck
from omnilive.reasoning.prompt import PromptBuilder
from omnilive.reasoning.reasoner import Reasoner
from omnilive.session.costs import VirtualCostConfig
from omnilive.session.evidence import EvidenceReader, Question
from omnilive.session.remembering import MemorySnapshot, Remembering, SeenFrame
from omnilive.sources.types import SAMPLE_RATE_HZ, US_PER_SECOND
from omnilive.steps import finish

WORDS, OTHER_WORDS = "What is on the table beside the lamp?", "Who came in a moment ago?"
LABEL_TOKENS, WORD_TOKENS = 4, 12
"""Tokens of a sound class and of a short question; random weights would go on to the limit."""
BACKGROUND_S, UTTERANCE_S = 3, 3
FRAME = (360, 640)
"""Height and width of the frames, pixels."""


@dataclass(frozen=True)
class Way:
    """One way from the endpoint to the first token.

    Attributes:
        keeps_kv: KV of closed clips, of the check's prompt and of the answer's beginning.
        lazy: the open clip's features are kept, and it is compressed for the question alone.
        overlaps: the sound class was found while the user spoke; memory is made ready beside the
            transcription, and the check runs beside the retrieval.
    """

    name: str
    keeps_kv: bool
    lazy: bool
    overlaps: bool


WAYS = (
    Way("reference's order", keeps_kv=False, lazy=False, overlaps=False),
    Way("+ KV reuse", keeps_kv=True, lazy=False, overlaps=False),
    Way("+ lazy compression", keeps_kv=True, lazy=True, overlaps=False),
    Way("+ overlap", keeps_kv=True, lazy=True, overlaps=True),
)
"""Each adds one cause to the one before it."""


@dataclass
class Answered:
    """What one way took and found.

    Attributes:
        seconds: from the endpoint decision to the first token.
        stages: seconds of each stage; they overlap where stages do.
        selected: indices of the clips found.
        prompt_tokens, kept_tokens: of the answer's prompt, and those whose KV was there.
    """

    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    long_term: F32 = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    selected: tuple[int, ...] = ()
    token: int = -1
    prompt_tokens: int = 0
    kept_tokens: int = 0


class Answering:
    """One memory of ``closed`` clips, an open clip, and a question about it."""

    def __init__(
        self,
        pack: EnginePack,
        config: RuntimeConfig,
        folder: Path,
        *,
        closed: int,
        open_frames: int,
        seed: int,
    ) -> None:
        """Fill the memory; closed clips are random rows, since only their number costs time."""
        rng = np.random.default_rng(seed)
        self._pack = pack
        self._config = dataclasses.replace(
            config,
            recognition=dataclasses.replace(
                config.recognition, max_tokens=WORD_TOKENS, max_label_tokens=LABEL_TOKENS
            ),
        )
        self._keyframes = KeyframeStore(folder, config.keyframes)
        self._encoder = FrameEncoder(pack)
        self._audio = AudioModel(pack, self._config.recognition)
        self._sound = rng.standard_normal(BACKGROUND_S * SAMPLE_RATE_HZ).astype(np.float32) / 10
        self._voice = rng.standard_normal(UTTERANCE_S * SAMPLE_RATE_HZ).astype(np.float32) / 10
        self._closed = [self._random_clip(rng, index) for index in range(closed)]
        begin_us = closed * config.segmentation.clip_max * US_PER_SECOND
        self._pictures = [
            rng.integers(0, 256, (*FRAME, 3), dtype=np.uint8) for _ in range(open_frames)
        ]
        self._seen = [
            SeenFrame(
                begin_us + index * US_PER_SECOND,
                self._encoder.encode(rgb).features,
                self._keyframes.put(begin_us + index * US_PER_SECOND, rgb),
            )
            for index, rgb in enumerate(self._pictures)
        ]
        self._prompts = PromptBuilder(pack, config.prompt)
        self._evidence = EvidenceReader(
            self._prompts, self._keyframes, config.evidence, config.budget, VirtualCostConfig()
        )
        self._kept = self._integrator(keeps_kv=True)
        self._generation = 0

    def answer(self, way: Way) -> Answered:
        """One question, from the endpoint to its first token, as ``way`` does it."""
        stages = self._stages_before(way)
        found = Answered()
        start = time.perf_counter()
        if way.overlaps:
            self._side_by_side(stages, found)
        else:
            for name in ("classify", "transcribe", "see", "recall", "ground", "check"):
                _timed(name, stages.run[name], found)
        _timed("answer", lambda: stages.answer(found), found)
        found.seconds = time.perf_counter() - start
        found.long_term = stages.long_term
        return found

    def _side_by_side(self, stages: _Stages, found: Answered) -> None:
        """What the lanes do: words beside memory, then the check beside the retrieval."""

        def remember() -> None:
            _timed("see", stages.run["see"], found)
            _timed("recall", stages.run["recall"], found)

        with ThreadPoolExecutor(1) as lane:
            remembering = lane.submit(remember)
            _timed("transcribe", stages.run["transcribe"], found)
            remembering.result()
            grounding = lane.submit(lambda: _timed("ground", stages.run["ground"], found))
            _timed("check", stages.run["check"], found)
            grounding.result()

    def _stages_before(self, way: Way) -> _Stages:
        """The stages as they are when the user has spoken, an earlier question behind them."""
        pack, config = self._pack, self._config
        long_term = self._kept if way.keeps_kv else self._integrator(keeps_kv=False)
        if way.keeps_kv:
            # The newest closed clip was integrated when it closed.
            finish(_steps(long_term, self._closed))
        remembering = Remembering(
            self._encoder,
            Compressor(pack, config.compression),
            long_term,
            VirtualCostConfig(),
            US_PER_SECOND,
        )
        check = InstructionCheck(pack, config.instruction)
        reasoner = Reasoner(
            pack, dataclasses.replace(config.reasoning, keep_prefix=way.keeps_kv), config.sampling
        )
        if way.keeps_kv:
            check.judge(OTHER_WORDS)
            self._answer_another(reasoner)
        frames = tuple(
            frame if way.lazy else dataclasses.replace(frame, rgb=rgb)
            for frame, rgb in zip(self._seen, self._pictures, strict=True)
        )
        self._generation += 1
        return _Stages(
            self._parts(), remembering, frames, check, reasoner, way.keeps_kv, self._generation
        )

    def _parts(self) -> _Parts:
        return _Parts(
            self._pack,
            self._config,
            self._encoder,
            self._audio,
            self._closed,
            self._pictures[-1],
            self._sound,
            self._voice,
            self._prompts,
            self._evidence,
        )

    def _answer_another(self, reasoner: Reasoner) -> None:
        """Leave an earlier question's prompt in the arena: other memory, other words."""
        prompts = self._prompts
        memory = self._closed[0].short_term[:1]
        counts = prompts.count_memory(len(memory), [], ())
        budget = prompts.plan(
            OTHER_WORDS, "en", [], counts, self._config.budget, context_tokens=1024
        )
        assembly = prompts.begin(OTHER_WORDS, "en", memory, [], None, budget)
        answer = reasoner.begin(assembly.prompt(), 0)
        while not answer.prefill_step():
            pass

    def _integrator(self, *, keeps_kv: bool) -> LongTermMemory:
        config = self._config
        return LongTermMemory(
            self._pack,
            config.long_term,
            clip_max=config.segmentation.clip_max,
            keeps_kv=keeps_kv,
        )

    def _random_clip(self, rng: np.random.Generator, index: int) -> Clip:
        spec, frames = self._pack.manifest.memory, self._config.segmentation.clip_max
        start = index * frames
        pts = tuple((start + i) * US_PER_SECOND for i in range(frames))
        rows = rng.standard_normal((spec.slots * frames + 1, spec.hidden)).astype(np.float32)
        return Clip(
            index,
            pts[0],
            pts[-1] + US_PER_SECOND,
            pts,
            tuple(Keyframe(f"gone-{p}", FRAME[1], FRAME[0]) for p in pts),
            rows[:-1],
            rows[-1],
        )


@dataclass(frozen=True, eq=False)
class _Parts:
    """What all ways share."""

    pack: EnginePack
    config: RuntimeConfig
    encoder: FrameEncoder
    audio: AudioModel
    closed: Sequence[Clip]
    newest: Any
    sound: F32
    voice: F32
    prompts: PromptBuilder
    evidence: EvidenceReader


class _Stages:
    """The stages of one question, in the state they have at the endpoint."""

    def __init__(
        self,
        parts: _Parts,
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
        self.run: dict[str, Callable[[], object]] = {
            "classify": lambda: parts.audio.classify(parts.sound),
            "transcribe": lambda: parts.audio.transcribe(parts.voice),
            "see": lambda: parts.encoder.encode(parts.newest),
            "recall": self._recall,
            "ground": self._ground,
            "check": lambda: check.judge(WORDS),
        }

    def _recall(self) -> None:
        snapshot = MemorySnapshot(len(self._parts.closed), self._frames)
        clip, _ = finish(self._remembering.compression(snapshot))
        self._clips = (*self._parts.closed, clip)
        self.long_term, _ = finish(self._remembering.integration(self._clips))

    def _ground(self) -> None:
        scores, selection = self._grounding.ground(self.long_term, self._clips, WORDS)
        self._question = Question(
            0, self._generation, WORDS, "en", self.long_term, self._clips, scores, selection
        )

    def answer(self, found: Answered) -> None:
        """Evidence, pictures, prefill and the first token."""
        parts, question = self._parts, self._question
        if question is None:
            raise RuntimeError("the question is not grounded")
        evidence = finish(parts.evidence.read(question, self._reasoner.prompt_limit))
        assembly = parts.prompts.begin(
            question.text,
            question.language,
            evidence.long_term,
            evidence.short_term,
            evidence.canvas,
            evidence.budget,
        )
        while not assembly.step():
            pass
        answer = self._reasoner.begin(assembly.prompt(), self._generation)
        while not answer.prefill_step():
            pass
        found.token = answer.step().id
        found.selected = tuple(clip.index for clip in question.clips)
        found.prompt_tokens = evidence.budget.prompt_tokens
        found.kept_tokens = answer.kept_tokens


def _steps(memory: LongTermMemory, clips: Sequence[Clip]) -> Generator[None, None, None]:
    integration = memory.begin(clips)
    while not integration.step():
        yield


def _timed(name: str, stage: Callable[[], object], found: Answered) -> None:
    start = time.perf_counter()
    stage()
    found.stages[name] = time.perf_counter() - start
