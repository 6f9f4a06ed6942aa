"""Evidence: which keyframes and memory a question is answered from, chosen before any is read.

Sizes kept with the clips are enough to choose; only the frames that the budget keeps are decoded,
a few at a time. It never runs an engine.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from omnilive import events
from omnilive.engine.interface import F32
from omnilive.lanes import Work
from omnilive.memory.clip import Clip, Keyframe
from omnilive.memory.keyframes import KeyframeStore
from omnilive.memory.selection import Selection, ranking
from omnilive.reasoning.budget import VisualBudget
from omnilive.reasoning.config import BudgetConfig
from omnilive.reasoning.prompt import PromptBuilder
from omnilive.reasoning.stitch import U8, Stitching
from omnilive.session.config import EvidenceConfig
from omnilive.session.costs import VirtualCostConfig


@dataclass(frozen=True, eq=False)
class Question:
    """A question with the memory it is about.

    Attributes:
        long_term: float32 [K, H].
        known: every clip it knows, oldest first.
        scores: float32, cosine of each with the question.
        selection: what the retrieval rule made of the scores.
        current: what was seen while it was being asked, besides; in time order.
    """

    utterance: int
    generation: int
    text: str
    language: str
    long_term: F32
    known: tuple[Clip, ...]
    scores: F32
    selection: Selection
    current: tuple[Keyframe, ...] = ()

    @property
    def clips(self) -> tuple[Clip, ...]:
        """The selected clips in time order."""
        return tuple(self.known[i] for i in self.selection.clips)

    @property
    def ranking(self) -> tuple[int, ...]:
        """Positions in ``clips``, the most related first."""
        return tuple(ranking([float(self.scores[i]) for i in self.selection.clips]))


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the prompt is made of.

    Attributes:
        long_term: float32 [K, H], or None.
        short_term: float32 [4T, H] of each clip on offer; the budget says which are kept.
        canvas: the kept frames stitched, uint8 [h, w, 3], or None without any.
    """

    long_term: F32 | None
    short_term: tuple[F32, ...]
    canvas: U8 | None
    budget: VisualBudget
    event: events.EvidenceChosen


def wanted_keyframes(question: Question, config: EvidenceConfig) -> list[Keyframe]:
    """The keyframes a question asks for by the configured rules, in time order, each once.

    Under ``demo_pair`` they are the last and the third-last frame of one clip, or of the newest
    frames that stand in for it (spec §2.7); the ``all_frames`` fallback is of every clip whatever
    the rule.
    """
    pair = config.frame_rule == "demo_pair"
    wanted: list[Keyframe] = []
    if question.selection.fallback == "all_frames":
        for clip in question.known:
            wanted += clip.keyframes
    elif pair:
        for clip in question.clips[:1]:
            wanted += _pair(clip.keyframes)
    else:
        for clip in question.clips:
            wanted += clip.keyframes
    count = max(question.selection.fallback_frames, config.current_frames)
    recent = (*(question.known[-1].keyframes if question.known else ()), *question.current)
    if count:
        wanted += _pair(recent[-count:]) if pair else recent[-count:]
    wanted += question.current
    return list({keyframe.id: keyframe for keyframe in wanted}.values())


def _pair(keyframes: Sequence[Keyframe]) -> Sequence[Keyframe]:
    return keyframes[-3:][::2]


class EvidenceReader:
    """Chooses the evidence of one question at a time and reads it."""

    def __init__(
        self,
        prompts: PromptBuilder,
        keyframes: KeyframeStore,
        config: EvidenceConfig,
        budget: BudgetConfig,
        costs: VirtualCostConfig,
    ) -> None:
        self._prompts = prompts
        self._keyframes = keyframes
        self._config = config
        self._budget = budget
        self._costs = costs

    def read(
        self, question: Question, context_tokens: int
    ) -> Generator[Work[None], None, Evidence]:
        """Steps that choose and read; each reads ``evidence.frames_per_step`` frames at most.

        A frame that is gone when its turn comes is left out and the choice made again.

        Args:
            question: what is asked.
            context_tokens: tokens the prompt may take.

        Raises:
            TooLongError: the words alone exceed the context.
        """
        wanted = wanted_keyframes(question, self._config)
        offered = [k for k in wanted if k.id in self._keyframes]
        long_term, short_term = self._memory(question)
        canvas: U8 | None = None
        while True:
            budget = self._plan(question, offered, long_term, short_term, context_tokens)
            kept = [offered[i] for i in budget.frames]
            if not kept:
                break
            stitching = Stitching(
                [(k.width, k.height) for k in kept], self._prompts.geometry.pixels
            )
            gone = yield from self._stitch(stitching, kept)
            if gone is None:
                canvas = stitching.picture()
                break
            offered.remove(gone)
        event = events.EvidenceChosen(
            question.utterance,
            question.generation,
            tuple(k.id for k in kept),
            budget.tiles,
            budget.visual_tokens,
            budget.memory_tokens,
            budget.text_tokens,
            budget.prompt_tokens,
            budget.limited_by,
            budget.prefill_ms,
            tuple(question.clips[i].index for i in budget.clips),
            len(wanted) - len(offered),
        )
        return Evidence(long_term, short_term, canvas, budget, event)

    def _stitch(
        self, stitching: Stitching, keyframes: Sequence[Keyframe]
    ) -> Generator[Work[None], None, Keyframe | None]:
        """Put every keyframe into the picture; the first that is gone, if any, ends it."""
        step = self._config.frames_per_step
        for start in range(0, len(keyframes), step):
            block = keyframes[start : start + step]
            for keyframe in block:
                frame = self._keyframes.get(keyframe.id)
                if frame is None or frame.shape[:2] != (keyframe.height, keyframe.width):
                    return keyframe
                stitching.add(frame)
            yield Work(None, len(block) * self._costs.keyframe_us)
        return None

    def _memory(self, question: Question) -> tuple[F32 | None, tuple[F32, ...]]:
        """Long-term memory and each selected clip's short-term memory, as far as wanted."""
        if not self._config.memory_tokens or not len(question.long_term):
            return None, ()
        return question.long_term, tuple(c.short_term for c in question.clips)

    def _plan(
        self,
        question: Question,
        offered: Sequence[Keyframe],
        long_term: F32 | None,
        short_term: Sequence[F32],
        context_tokens: int,
    ) -> VisualBudget:
        memory = self._prompts.count_memory(
            0 if long_term is None else len(long_term),
            [len(rows) for rows in short_term],
            question.ranking if short_term else (),
        )
        return self._prompts.plan(
            question.text,
            question.language,
            [(k.width, k.height) for k in offered],
            memory,
            self._budget,
            context_tokens=context_tokens,
        )
