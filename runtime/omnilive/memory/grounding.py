"""Finds the clips a question is about: question feature, cosine with every Ĥ, selection rule.

It reads memory (spec §2.5, §2.6) and never changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from omnilive import _native
from omnilive.engine.interface import F32, KvArena
from omnilive.errors import ConfigError, TooLongError
from omnilive.memory.clip import Clip, read_only
from omnilive.memory.config import RetrievalConfig
from omnilive.memory.prefill import ChunkedPrefill, arena_for
from omnilive.memory.selection import Selection, select

if TYPE_CHECKING:
    from omnilive.engine.pack import EnginePack


def globals_of(clips: Sequence[Clip], width: int) -> F32:
    """Ĥ of every clip, float32 [K, width]."""
    if not clips:
        return np.zeros((0, width), np.float32)
    return np.stack([c.global_memory for c in clips])


class Grounding:
    """Question to clips, with the KV of the last long-term memory kept between questions.

    Args:
        keeps_kv: False computes every question from nothing (``memory.algorithm``).
    """

    def __init__(self, pack: EnginePack, config: RetrievalConfig, *, keeps_kv: bool = True) -> None:
        self._decoder = pack.decoder("mem_lm")
        self._table = pack.table("mem_embed")
        self._tokenizer = pack.tokenizer("memory")
        self._width = pack.manifest.memory.hidden
        self._max_positions = pack.manifest.memory.max_positions
        self._config = config
        self._keeps_kv = keeps_kv
        self._arena: KvArena | None = None
        self._held: F32 | None = None
        self.tokens_computed = 0
        """LM tokens run since the object was made."""

    def question_feature(self, long_term: F32, question: str) -> F32:
        """q: the LM's output at the last token of [long-term memory, tok(question)].

        Args:
            long_term: float32 [K, H]; K may be 0. Its KV is kept, so further questions on the
                same long-term memory run only their own tokens.
            question: raw text, no template (spec §2.5); beyond ``max_question_tokens`` only
                its end is read.

        Returns:
            float32 [H], read-only.

        Raises:
            ConfigError: a question without any token.
            TooLongError: long-term memory and question exceed the engine's positions.
        """
        ids = self._tokenizer.encode(question)[-self._config.max_question_tokens :]
        if not ids:
            raise ConfigError("is empty", where="question", mend="Ask something in words.")
        tokens = len(long_term) + len(ids)
        if tokens > self._max_positions:
            raise TooLongError(
                f"with long-term memory takes {tokens} tokens, mem_lm has {self._max_positions}"
                " positions",
                where="question",
                mend="Lower retrieval.max_question_tokens or long_term.max_clips.",
            )
        words = self._table.rows(ids)
        arena, held = self._arena_with(long_term, tokens)
        embeds = np.concatenate([long_term[held:], words]).astype(np.float32, copy=False)
        prefill = ChunkedPrefill(
            self._decoder, arena, embeds, step_tokens=self._config.step_tokens, keep=1
        )
        while not prefill.done:
            self.tokens_computed += prefill.step()
        self._held = read_only(long_term) if self._keeps_kv else None
        return read_only(prefill.hidden()[0])

    def _arena_with(self, long_term: F32, tokens: int) -> tuple[KvArena, int]:
        """The arena, and how many of its rows already hold this long-term memory."""
        held, self._held = self._held, None
        if self._arena is None or self._arena.capacity < tokens:
            self._arena = arena_for(self._decoder, tokens, self._max_positions)
            return self._arena, 0
        same = held is not None and (held is long_term or np.array_equal(held, long_term))
        rows = len(long_term) if same else 0
        self._arena.truncate(rows)
        return self._arena, rows

    def score(self, feature: F32, globals_: F32) -> F32:
        """Cosine float32 [K] of ``feature`` [H] with each row of ``globals_`` [K, H]."""
        if len(globals_) == 0:
            return np.zeros(0, np.float32)
        rows = np.ascontiguousarray(globals_)
        indices, scores = _native.topk_cosine(np.ascontiguousarray(feature), rows, len(rows))
        result = np.empty(len(rows), np.float32)
        result[indices] = scores
        return result

    def select(self, scores: F32) -> Selection:
        """Apply the configured rule; positions refer to ``scores``."""
        return select(scores.tolist(), self._config)

    def ground(self, long_term: F32, clips: Sequence[Clip], question: str) -> tuple[F32, Selection]:
        """The cosine of every clip with ``question``, and the clips selected."""
        feature = self.question_feature(long_term, question)
        scores = self.score(feature, globals_of(clips, self._width))
        return scores, self.select(scores)
