"""Memory engines that count instead of computing, at the reference's geometry in a moment.

Their language model is causal and exact: hidden states are sums of integers modulo a power of two,
so a block, a truncation and a continuation give the same bits, and a wrong or missing row shows.
They have as many tokens as the real ones, and a few channels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_form import Geometry
from omnilive.engine.interface import F32
from omnilive.engine.manifest import MemorySpec
from omnilive.errors import EngineError
from omnilive.memory.config import CompressionConfig

REFERENCE = MemorySpec(
    pixels=24,
    grid=12,
    features=1,
    cls=2,
    slots=4,
    hidden=4,
    vocab=256,
    max_positions=32_768,
)
"""Spec §1.7, §2.1: a frame is 144 patches after mixing and 4 slots. Pixels and channels, which no
count depends on, are few."""

MODULUS = 2**20
SCALE = 4096
_WORDS = re.compile(r"[0-9]| (?=[0-9])| ?[^\W\d_]+|.")


class CountingTokenizer:
    """As many tokens as Qwen2's for plain words and numbers (spec §2.3).

    Digits come one by one, and the space before a number for itself.
    """

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """One id per token; equal tokens have equal ids."""
        return [sum(token.encode()) % REFERENCE.vocab for token in _WORDS.findall(text)]


@dataclass(eq=False)
class CountingArena:
    """The running sums of one sequence, int64 [capacity, hidden]."""

    sums: npt.NDArray[np.int64]
    length: int = 0

    @property
    def capacity(self) -> int:
        """Tokens it can hold."""
        return len(self.sums)

    def truncate(self, length: int) -> None:
        """Keep the first ``length`` tokens."""
        if not 0 <= length <= self.length:
            raise EngineError(f"cannot keep {length} tokens", where="counting arena", mend="-")
        self.length = length


class CountingLm:
    """The language model; ``tokens`` counts what it computed."""

    def __init__(self, spec: MemorySpec) -> None:
        self._spec = spec
        self.tokens = 0

    def new_arena(self, capacity: int | None = None) -> CountingArena:
        """An empty arena."""
        tokens = capacity or self._spec.max_positions
        return CountingArena(np.zeros((tokens, self._spec.hidden), np.int64))

    def hidden(self, arena: CountingArena, embeds: F32) -> F32:
        """Append embeds [S, H]; float32 [S, H] in [-0.5, 0.5)."""
        start, stop = arena.length, arena.length + len(embeds)
        if stop > arena.capacity:
            raise EngineError("would overflow", where="counting arena", mend="-")
        places = np.arange(start, stop)[:, np.newaxis]
        steps = (embeds * SCALE).astype(np.int64) * (2 * places + 1)
        before = arena.sums[start - 1] if start else 0
        sums = (np.cumsum(steps + places, axis=0) + before) % MODULUS
        arena.sums[start:stop] = sums
        arena.length = stop
        self.tokens += len(embeds)
        states: F32 = (sums / MODULUS - 0.5).astype(np.float32)
        return states


class _Vit:
    """Features from the picture's sums."""

    def __init__(self, spec: MemorySpec) -> None:
        self._spec = spec

    def run(self, feeds: Any) -> dict[str, F32]:
        colour = feeds["frames"].mean(axis=(1, 2, 3), dtype=np.float64) / 256
        shape = (len(colour), self._spec.grid**2, self._spec.features)
        features = np.broadcast_to(colour[:, None, None], shape).astype(np.float32)
        return {"features": features, "cls": np.ones((len(colour), self._spec.cls), np.float32)}


class _Projector:
    """Every frame's tokens, slots and the global token (spec §2.2), of its features' mean."""

    def __init__(self, spec: MemorySpec) -> None:
        self._spec = spec

    def run(self, feeds: Any) -> dict[str, F32]:
        spec = self._spec
        means = feeds["features"].mean(axis=(1, 2))
        rows = np.concatenate(
            [
                np.repeat(means, spec.grid**2),
                np.repeat(means, spec.slots) / 2,
                means.mean(keepdims=True),
            ]
        )
        return {"clip_embeds": np.repeat(rows[:, np.newaxis], spec.hidden, 1).astype(np.float32)}


class CountingPack:
    """The memory side of an engine pack."""

    def __init__(self, spec: MemorySpec = REFERENCE) -> None:
        self.manifest = _Manifest(spec)
        self.lm = CountingLm(spec)
        self._engines = {"mem_vit": _Vit(spec), "mem_proj": _Projector(spec)}
        self._table = _Table(spec)

    def engine(self, name: str) -> Any:
        """One of the stateless engines."""
        return self._engines[name]

    def decoder(self, name: str) -> CountingLm:
        """The language model."""
        return self.lm

    def table(self, name: str) -> Any:
        """The token embeddings."""
        return self._table

    def tokenizer(self, name: str) -> CountingTokenizer:
        """The tokenizer."""
        return CountingTokenizer()


@dataclass(frozen=True)
class _Manifest:
    memory: MemorySpec


@dataclass(frozen=True)
class _Table:
    spec: MemorySpec

    def rows(self, ids: npt.ArrayLike) -> F32:
        column = np.asarray(ids, np.float32)[:, np.newaxis] / self.spec.vocab
        return np.repeat(column, self.spec.hidden, 1)


def geometry(spec: MemorySpec, tokenizer: Any, max_clips: int) -> Geometry:
    """The numbers of a pack's memory that the closed form needs."""
    prompt = CompressionConfig().prompt

    def text_tokens(start: int, end: int) -> int:
        return len(tokenizer.encode(prompt.format(start=start, end=end)))

    return Geometry(spec.grid**2, spec.slots, text_tokens, max_clips)
