"""Watches a world as a session does, at once instead of in real time, and asks of its memory.

The stages and their order are those of ``session/watching.py`` and ``session/conversation.py``;
only the lanes between them are left out. It never looks at what is true in the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from omnilive.config import RuntimeConfig
from omnilive.engine.interface import F32
from omnilive.engine.pack import EnginePack
from omnilive.memory.clip import Clip, Keyframe
from omnilive.memory.compressor import CompressedClip, Compressor
from omnilive.memory.grounding import Grounding
from omnilive.memory.keyframes import KeyframeStore
from omnilive.memory.long_term import LongTermMemory
from omnilive.memory.segmentation import Segmenter, cut_threshold, cut_vector
from omnilive.memory.store import MemoryStore
from omnilive.perception.frame_encoder import FrameEncoder
from omnilive.perception.language import detect_language
from omnilive.reasoning.budget import VisualBudget
from omnilive.reasoning.prompt import PromptBuilder
from omnilive.reasoning.reasoner import Reasoner
from omnilive.session.evidence import EvidenceReader, Question
from omnilive.sources.types import US_PER_SECOND
from omnilive.steps import finish


@dataclass(frozen=True, eq=False)
class Memory:
    """What is known at one moment.

    Attributes:
        clips: oldest first, the open one compressed as the last.
        long_term: float32 [K, H].
    """

    clips: tuple[Clip, ...]
    long_term: F32


class Watching:
    """The memory of one stream, filled frame by frame."""

    def __init__(self, pack: EnginePack, config: RuntimeConfig, keyframes: KeyframeStore) -> None:
        segmentation = config.segmentation
        self._feature = segmentation.cut_feature
        self._period_us = round(US_PER_SECOND / config.source.fps)
        self._encoder = FrameEncoder(pack)
        threshold = cut_threshold(segmentation, pack.calibration)
        self._segmenter = Segmenter(segmentation, threshold.cosine)
        self._compressor = Compressor(pack, config.compression)
        self._store = MemoryStore(config.store)
        self._long_term = LongTermMemory(pack, config.long_term, clip_max=segmentation.clip_max)
        self._keyframes = keyframes
        self._open: list[tuple[int, F32, Keyframe]] = []
        self._closed = 0

    def see(self, pts_us: int, rgb: npt.NDArray[np.uint8]) -> str:
        """Take a frame uint8 [h, w, 3]; returns why it began a clip, if it did."""
        encoded = self._encoder.encode(rgb)
        keyframe = self._keyframes.put(pts_us, rgb)
        vector = cut_vector(self._feature, encoded.features, encoded.cls)
        decision = self._segmenter.push(pts_us, vector)
        if decision.cut:
            self._store.add(self._compressed())
            self._closed, self._open = self._closed + 1, []
        self._open.append((pts_us, encoded.features, keyframe))
        return decision.reason

    def memory(self) -> Memory:
        """What is known now. At least one frame must have been seen."""
        clips = (*self._store.clips, self._compressed())
        integration = self._long_term.begin(clips)
        while not integration.step():
            pass
        return Memory(clips, integration.result)

    def _compressed(self) -> Clip:
        start_us, end_us = self._open[0][0], self._open[-1][0] + self._period_us
        compression = self._compressor.begin([f for _, f, _ in self._open], start_us, end_us)
        while not compression.step():
            pass
        memory: CompressedClip = compression.result
        return Clip(
            index=self._closed,
            start_us=start_us,
            end_us=end_us,
            frame_pts=tuple(pts for pts, _, _ in self._open),
            keyframes=tuple(keyframe for _, _, keyframe in self._open),
            short_term=memory.short_term,
            global_memory=memory.global_memory,
        )


class Answering:
    """Grounds and answers typed questions with one configuration."""

    def __init__(self, pack: EnginePack, config: RuntimeConfig, keyframes: KeyframeStore) -> None:
        self._grounding = Grounding(pack, config.retrieval)
        self._prompts = PromptBuilder(pack, config.prompt)
        self._reasoner = Reasoner(pack, config.reasoning, config.sampling)
        self._evidence = EvidenceReader(
            self._prompts, keyframes, config.evidence, config.budget, config.virtual_cost
        )
        self._budget = config.budget
        self._answered = 0

    def ground(self, text: str, memory: Memory) -> Question:
        """The question with the cosine of each clip and the clips selected."""
        scores, selection = self._grounding.ground(memory.long_term, memory.clips, text)
        return Question(
            -1,
            1,
            text,
            detect_language(text),
            memory.long_term,
            memory.clips,
            scores,
            selection,
        )

    def answer(self, question: Question) -> str:
        """The whole answer from the evidence that the configuration allows."""
        evidence = finish(self._evidence.read(question, self._reasoner.prompt_limit))
        return self._decode(
            question.text,
            question.language,
            evidence.long_term,
            evidence.short_term,
            evidence.canvas,
            evidence.budget,
        )

    def answer_unseeing(self, text: str) -> str:
        """The answer to the words alone: no frames and no memory in the prompt."""
        language = detect_language(text)
        budget = self._prompts.plan(
            text,
            language,
            [],
            self._prompts.count_memory(0, [], ()),
            self._budget,
            context_tokens=self._reasoner.prompt_limit,
        )
        return self._decode(text, language, None, (), None, budget)

    def _decode(
        self,
        text: str,
        language: str,
        long_term: F32 | None,
        short_term: Sequence[F32],
        canvas: npt.NDArray[np.uint8] | None,
        budget: VisualBudget,
    ) -> str:
        assembly = self._prompts.begin(text, language, long_term, short_term, canvas, budget)
        while not assembly.step():
            pass
        self._answered += 1
        answer = self._reasoner.begin(assembly.prompt(), self._answered)
        while not answer.prefill_step():
            pass
        said = ""
        while not answer.done:
            said += answer.step().text_delta
        return said.strip()


def keyframe_store(folder: Path, config: RuntimeConfig) -> KeyframeStore:
    """A store for the frames of one stream."""
    return KeyframeStore(folder, config.keyframes)
