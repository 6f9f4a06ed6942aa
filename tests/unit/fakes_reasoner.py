"""A reasoner in a few lines of numpy, with the interface of a pack's.

Its logits depend on every embedding of the sequence, its order and its Partial-LoRA, so that a
test sees a lost, doubled or misplaced token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from fakes_pack import sentencepiece_model
from omnilive.engine.manifest import ReasonerSpec
from omnilive.engine.tokenizers import SentencePieceTokenizer
from omnilive.errors import EngineError

HIDDEN, MEMORY_HIDDEN = 12, 5
PIXELS, GRID = 56, 4
BOS, STOP = 1, 4
TOKENIZER = SentencePieceTokenizer(sentencepiece_model(), Path("tokenizer.model"))
VOCAB = 360
assert TOKENIZER.id_of("[UNUSED_TOKEN_145]") != STOP


class FakeArena:
    """The embeddings appended so far, those with Partial-LoRA doubled."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.rows = np.zeros((0, HIDDEN), np.float32)

    @property
    def length(self) -> int:
        return len(self.rows)

    def truncate(self, length: int) -> None:
        assert 0 <= length <= self.length
        self.rows = self.rows[:length]


class FakeDecoder:
    """Logits from a position-weighted sum of the arena; ``script`` makes it say given tokens."""

    def __init__(self, max_positions: int) -> None:
        self.max_positions = max_positions
        self.head = np.random.default_rng(3).standard_normal((HIDDEN, VOCAB)).astype(np.float32)
        self.script: list[int] = []
        self.blocks: list[int] = []
        self.head_rows = 0
        self.before_run: Callable[[], None] = lambda: None

    def new_arena(self, capacity: int | None = None) -> FakeArena:
        return FakeArena(capacity or self.max_positions)

    def logits(
        self,
        arena: FakeArena,
        embeds: np.ndarray,
        *,
        rows: np.ndarray | None = None,
        plora_rows: np.ndarray | None = None,
    ) -> np.ndarray:
        self.before_run()
        if arena.length + len(embeds) > arena.capacity:
            raise EngineError("overflow", where="fake", mend="none")
        block = embeds.copy()
        if plora_rows is not None:
            block[plora_rows] *= 2
        start = arena.length
        arena.rows = np.concatenate([arena.rows, block])
        self.blocks.append(len(block))
        asked = np.array([len(block) - 1]) if rows is None else rows
        self.head_rows += len(asked)
        if len(asked) and self.script:
            return np.eye(VOCAB, dtype=np.float32)[[self.script.pop(0)]]
        weights = np.cos(np.arange(arena.length))[:, None]
        sums = np.cumsum(arena.rows * weights, axis=0).astype(np.float32)
        return sums[start + asked] @ self.head


class FakePack:
    """Enough of an EnginePack for omnilive.reasoning."""

    def __init__(self, max_positions: int = 4096, max_new_tokens: int = 16) -> None:
        rng = np.random.default_rng(2)
        self.manifest = SimpleNamespace(
            reasoner=ReasonerSpec(
                PIXELS, GRID, HIDDEN, VOCAB, max_positions, BOS, (STOP,), max_new_tokens
            )
        )
        self.embeddings = rng.standard_normal((VOCAB, HIDDEN)).astype(np.float32)
        self.separators = rng.standard_normal((2, HIDDEN)).astype(np.float32)
        self.projection = rng.standard_normal((MEMORY_HIDDEN, HIDDEN)).astype(np.float32)
        self.patches = rng.standard_normal((3, GRID * GRID * HIDDEN)).astype(np.float32)
        self.fake_decoder = FakeDecoder(max_positions)
        self.runs: list[tuple[str, int]] = []

    def tokenizer(self, name: str) -> SentencePieceTokenizer:
        return TOKENIZER

    def table(self, name: str) -> Any:
        rows = {"vlm_embed": self.embeddings, "vlm_separators": self.separators}[name]
        return SimpleNamespace(rows=lambda ids: rows[np.asarray(ids, np.int64)])

    def decoder(self, name: str) -> FakeDecoder:
        return self.fake_decoder

    def engine(self, name: str) -> Any:
        return SimpleNamespace(run=lambda feeds: {"embeds": self._encode(name, feeds)})

    def project(self, memory: np.ndarray) -> np.ndarray:
        return memory @ self.projection

    def see(self, tiles: np.ndarray) -> np.ndarray:
        means = tiles.reshape(len(tiles), -1, 3).mean(axis=1, dtype=np.float64) / 255
        return (means.astype(np.float32) @ self.patches).reshape(len(tiles), -1, HIDDEN)

    def _encode(self, name: str, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
        (value,) = feeds.values()
        self.runs.append((name, len(value)))
        return {"vlm_vit": self.see, "mem_to_vlm": self.project}[name](value)
