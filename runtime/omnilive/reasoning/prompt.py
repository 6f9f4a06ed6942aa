"""The reasoner's prompt as embeddings: words, memory and image tokens in the trained order.

Layout of spec §2.7 in the template of §1.6. Evidence was chosen by ``budget``; this file never
drops any, and evidence that does not match its budget is an error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omnilive.engine.interface import F32
from omnilive.engine.pack import EnginePack
from omnilive.errors import EngineError
from omnilive.reasoning.assembly import Picture, Prompt, PromptAssembly, PromptCounts
from omnilive.reasoning.budget import MemoryCounts, VisualBudget, choose_evidence
from omnilive.reasoning.config import QUESTION_MARK, BudgetConfig, PromptConfig
from omnilive.reasoning.image_tokens import TileGeometry
from omnilive.reasoning.stitch import U8
from omnilive.reasoning.template import ChatTemplate
from omnilive.reasoning.tiles import tiles_of

__all__ = ["Prompt", "PromptAssembly", "PromptBuilder", "PromptCounts"]

CHINESE = "zh"


class PromptBuilder:
    """Builds prompts from one pack. Thread-safe."""

    def __init__(self, pack: EnginePack, config: PromptConfig) -> None:
        """Take the pack's reasoner tokenizer and tables; the encoders load on first use."""
        config.validate()
        self.config = config
        self._spec = pack.manifest.reasoner
        self._pack = pack
        self._template = ChatTemplate(pack.tokenizer("reasoner"), self._spec.bos_id)
        self._embeddings = pack.table("vlm_embed")
        self._separators = pack.table("vlm_separators").rows([0, 1])

    @property
    def geometry(self) -> TileGeometry:
        """Tile size and tokens of this reasoner."""
        return TileGeometry(self._spec.pixels, self._spec.grid)

    def count_text(self, question: str, language: str, *, has_frames: bool) -> int:
        """Prompt tokens outside memory block and image."""
        return sum(map(len, self._text(question, language, has_frames)))

    def count_memory(
        self, long_term: int, short_term: Sequence[int], ranking: Sequence[int]
    ) -> MemoryCounts:
        """Cost of the memory on offer, labels included.

        Args:
            long_term: rows of long-term memory, 0 for none.
            short_term: rows of each retrieved clip, in time order.
            ranking: indices of those clips, the most related first.
        """
        overview_label = len(self._template.words(self.config.overview_label))
        return MemoryCounts(
            overview=long_term + overview_label if long_term else 0,
            clips=tuple(short_term),
            related_label=len(self._template.words(self.config.related_label)),
            ranking=tuple(ranking),
        )

    def plan(
        self,
        question: str,
        language: str,
        frame_sizes: Sequence[tuple[int, int]],
        memory: MemoryCounts,
        config: BudgetConfig,
        *,
        context_tokens: int,
    ) -> VisualBudget:
        """``choose_evidence`` with this prompt's own text counted."""
        return choose_evidence(
            frame_sizes,
            memory,
            self.count_text(question, language, has_frames=True),
            config,
            geometry=self.geometry,
            context_tokens=context_tokens,
            text_tokens_without_frames=self.count_text(question, language, has_frames=False),
        )

    def begin(
        self,
        question: str,
        language: str,
        long_term: F32 | None,
        short_term: Sequence[F32],
        canvas: U8 | None,
        budget: VisualBudget,
    ) -> PromptAssembly:
        """Start a prompt whose tiles are encoded step by step.

        Args:
            question: the user's words (spec §3.2 prefix included, if any).
            language: ``en`` or ``zh``.
            long_term: float32 [K, memory hidden], or None.
            short_term: float32 [4T, memory hidden] of each retrieved clip, in the order counted.
            canvas: the frames ``budget.frames`` stitched, or None when it keeps none.
            budget: from ``plan``; only what it keeps is used.

        Raises:
            EngineError: canvas, memory or question is not what the budget counted.
        """
        head, tail = self._text(question, language, canvas is not None)
        memory = self._memory_block(long_term, short_term, budget)
        counts = PromptCounts(
            text=len(head) + len(tail),
            memory=sum(map(len, memory)),
            visual=budget.visual_tokens,
            tiles=budget.tiles,
        )
        if (counts.text, counts.memory) != (budget.text_tokens, budget.memory_tokens):
            raise _mismatch(f"{counts.text} text and {counts.memory} memory tokens")
        return PromptAssembly(
            head=self._embed(head),
            memory=memory,
            picture=self._picture(canvas, budget),
            tail=self._embed(tail),
            counts=counts,
            encode_tiles=self._encode_tiles,
            separators=self._separators,
            tiles_per_step=self.config.tiles_per_step,
        )

    def _picture(self, canvas: U8 | None, budget: VisualBudget) -> Picture | None:
        if canvas is None and budget.scaled is None:
            return None
        size = (0, 0) if canvas is None else (canvas.shape[1], canvas.shape[0])
        if canvas is None or budget.scaled is None or size != budget.picture:
            raise _mismatch(f"a picture of {list(size)} pixels")
        return Picture(tiles_of(canvas, budget.scaled, self._spec.pixels), budget.scaled)

    def _memory_block(
        self, long_term: F32 | None, short_term: Sequence[F32], budget: VisualBudget
    ) -> list[F32]:
        """Labels and projected memory, in prompt order (spec §2.7)."""
        if any(i >= len(short_term) for i in budget.clips):
            raise _mismatch(f"short-term memory of {len(short_term)} clips")
        overview = [long_term] if budget.overview and long_term is not None else []
        related = [short_term[i] for i in budget.clips]
        if not overview and not related:
            return []
        rows = np.concatenate([*overview, *related]).astype(np.float32, copy=False)
        projected = self._pack.engine("mem_to_vlm").run({"memory": rows})["embeds"]
        split = sum(map(len, overview))
        block = []
        if overview:
            block += [self._words(self.config.overview_label), projected[:split]]
        if related:
            block += [self._words(self.config.related_label), projected[split:]]
        return block

    def _text(self, question: str, language: str, has_frames: bool) -> tuple[list[int], list[int]]:
        """Ids before and after the evidence."""
        config = self.config
        asked = (
            config.question_template if has_frames else config.question_template_without_frames
        ).replace(QUESTION_MARK, question)
        system = config.system_prompt_zh if language == CHINESE else config.system_prompt_en
        return self._template.head(system), self._template.tail(asked, config.answer_prefix)

    def _words(self, text: str) -> F32:
        return self._embed(self._template.words(text))

    def _embed(self, ids: Sequence[int]) -> F32:
        return self._embeddings.rows(np.asarray(ids, np.int64))

    def _encode_tiles(self, tiles: U8) -> F32:
        embeds: F32 = self._pack.engine("vlm_vit").run({"tiles": tiles})["embeds"]
        return embeds


def _mismatch(what: str) -> EngineError:
    return EngineError(
        f"was given {what}, which is not what its budget counted",
        where="prompt",
        mend="Stitch exactly the budget's frames and pass the memory that was counted.",
    )
