"""From the endpoint decision to the first token, in the reference's order and in this runtime's.

Both ways run the same stages on the same engines, from the same memory, frames, sound and words:
the newest frame has come with the endpoint, and the answer is about it. The reference's order
(spec §4, §5.8) is serial: sound class, words, the memory of the newest frame, retrieval,
instruction check, answer; its sleeps, polls and waits for the next frame are left out. What
overlaps runs as in a session: step by step on lanes that share the cores.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memory_stages import OTHER_WORDS, FirstToken, Shared, Stages
from memory_stages import Steps as StageSteps
from omnilive.config import RuntimeConfig
from omnilive.engine.interface import F32
from omnilive.engine.pack import EnginePack
from omnilive.lanes import Lane, ThreadLanes, Work
from omnilive.memory.clip import Clip, Keyframe
from omnilive.memory.compressor import Compressor
from omnilive.memory.keyframes import KeyframeStore
from omnilive.memory.long_term import LongTermMemory
from omnilive.perception.audio_model import AudioModel
from omnilive.perception.frame_encoder import FrameEncoder
from omnilive.reasoning.instruction import InstructionCheck
from omnilive.reasoning.prompt import PromptBuilder
from omnilive.reasoning.reasoner import Reasoner
from omnilive.scheduling.cores import core_shares
from omnilive.session.costs import VirtualCostConfig
from omnilive.session.evidence import EvidenceReader
from omnilive.session.remembering import Remembering, SeenFrame
from omnilive.sources.types import SAMPLE_RATE_HZ, US_PER_SECOND
from omnilive.steps import finish
from omnilive.tasks import Task, TaskQueue

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
        overlaps: the sound class was found while the user spoke; memory is made ready on a lane
            beside that of the transcription, and the check beside the retrieval. Engines of two
            lanes take turns at the cores, as in a session.
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


@dataclass(frozen=True, eq=False)
class Answered:
    """What one way took and found.

    Attributes:
        seconds: from the endpoint decision to the first token.
        stages: seconds of each stage, from its first step to its last; they overlap where stages
            do.
        long_term: float32 [K, H].
    """

    seconds: float
    stages: dict[str, float]
    long_term: F32
    first: FirstToken


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
        threads: int,
    ) -> None:
        """Fill the memory; closed clips are random rows, since only their number costs time.

        ``threads``: those of each engine of ``pack``; the lanes share as many cores.
        """
        self._threads = threads
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
        self._sound, self._voice = (
            rng.normal(0, 0.1, seconds * SAMPLE_RATE_HZ).astype(np.float32)
            for seconds in (BACKGROUND_S, UTTERANCE_S)
        )
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
        took: dict[str, float] = {}
        start = time.perf_counter()
        if way.overlaps:
            seconds = _on_lanes(stages, took, self._threads)
        else:
            for name in ("classify", "transcribe", "see", "recall", "ground", "check", "answer"):
                finish(_timed(name, stages.steps[name](), took))
            seconds = time.perf_counter() - start
        if stages.first is None:
            raise RuntimeError("a stage has not run")
        return Answered(seconds, took, stages.long_term, stages.first)

    def _stages_before(self, way: Way) -> Stages:
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
        return Stages(
            self._shared(), remembering, frames, check, reasoner, way.keeps_kv, self._generation
        )

    def _shared(self) -> Shared:
        return Shared(
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


def _on_lanes(stages: Stages, took: dict[str, float], threads: int) -> float:
    """As a session orders it: words beside memory, then the check beside the retrieval.

    Returns:
        Seconds to the first token.
    """
    lanes = ThreadLanes(shares=core_shares(threads))
    queues = {lane: TaskQueue(lanes, lane) for lane in Lane}
    judged: set[str] = set()
    ended_s = 0.0

    def submit(lane: Lane, name: str, then: Callable[[], None]) -> None:
        steps = _as_work(_timed(name, stages.steps[name](), took))
        queues[lane].submit(Task(steps, lambda step: None, then, name=name))

    def worded() -> None:
        submit(Lane.REASON, "check", lambda: judge("check"))
        submit(Lane.REMEMBER, "ground", lambda: judge("ground"))

    def judge(name: str) -> None:
        judged.add(name)
        if len(judged) == 2:
            submit(Lane.REASON, "answer", end)

    def end() -> None:
        nonlocal ended_s
        ended_s = time.perf_counter()

    with closing(lanes):
        lanes.start()
        start_s = time.perf_counter()
        submit(Lane.LISTEN, "transcribe", worded)
        submit(Lane.SEE, "see", lambda: submit(Lane.REMEMBER, "recall", lambda: None))
        lanes.run()
    return ended_s - start_s


def _as_work(steps: StageSteps) -> Generator[Work[None], None, None]:
    for _ in steps:
        yield Work(None, 0)


def _steps(memory: LongTermMemory, clips: Sequence[Clip]) -> Generator[None, None, None]:
    integration = memory.begin(clips)
    while not integration.step():
        yield


def _timed(name: str, steps: StageSteps, took: dict[str, float]) -> StageSteps:
    """The steps, and their time once they are through."""
    start_s = time.perf_counter()
    yield from steps
    took[name] = time.perf_counter() - start_s
