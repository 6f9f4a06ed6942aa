"""Feeds embeddings to the memory LM a step at a time, so that other work fits between steps.

It owns no arena and never decides what is fed.
"""

from __future__ import annotations

import threading

import numpy as np

from omnilive.engine.interface import F32, Decoder, KvArena
from omnilive.errors import EngineError

ARENA_BLOCK_TOKENS = 256
"""Arenas are sized in multiples of this, so that clips of similar length share one."""


class ChunkedPrefill:
    """Appends embeds to an arena in pieces and keeps the hidden states of the last rows.

    Args:
        embeds: float32 [S, H], S ≥ keep ≥ 1.
        step_tokens: rows per step, at most.
        keep: how many of the last hidden states are wanted.
    """

    def __init__(
        self, decoder: Decoder, arena: KvArena, embeds: F32, *, step_tokens: int, keep: int
    ) -> None:
        if not 1 <= keep <= len(embeds):
            raise ValueError(f"cannot keep {keep} of {len(embeds)} hidden states")
        self._decoder = decoder
        self._arena = arena
        self._embeds = embeds
        self._step_tokens = step_tokens
        self._keep = keep
        self._fed = 0
        self._kept: list[F32] = []

    def step(self) -> int:
        """Feed the next piece. Returns the rows fed; 0 when there was nothing left."""
        block = self._embeds[self._fed : self._fed + self._step_tokens]
        if len(block) == 0:
            return 0
        hidden = self._decoder.hidden(self._arena, block)
        first_kept = len(self._embeds) - self._keep
        wanted = hidden[max(0, first_kept - self._fed) :]
        if len(wanted):
            self._kept.append(wanted)
        self._fed += len(block)
        return len(block)

    @property
    def done(self) -> bool:
        """Whether every row was fed."""
        return self._fed == len(self._embeds)

    def hidden(self) -> F32:
        """Final-norm hidden states [keep, H] of the last rows; only once ``done``.

        Raises:
            EngineError: one of them is not finite, so no cosine could be told from it.
        """
        if not self.done:
            raise RuntimeError("the prefill is not done")
        hidden = np.concatenate(self._kept)
        if not np.isfinite(hidden).all():
            raise EngineError(
                "gave hidden states that are not finite",
                where="engine mem_lm",
                mend="Rebuild the pack with --verify, or with a higher precision.",
            )
        return hidden


def arena_for(decoder: Decoder, tokens: int, max_positions: int) -> KvArena:
    """A new arena for at least ``tokens`` tokens, rounded up to a block within the engine's limit.

    Raises:
        EngineError: more tokens than the engine has positions.
    """
    if tokens > max_positions:
        raise EngineError(
            f"was asked for {tokens} tokens, it has {max_positions} positions",
            where="engine mem_lm",
            mend="Lower segmentation.clip_max or long_term.max_clips.",
        )
    blocks = -(-tokens // ARENA_BLOCK_TOKENS)
    return decoder.new_arena(min(blocks * ARENA_BLOCK_TOKENS, max_positions))


class ArenaPool:
    """A few arenas that outlive the sequences in them, handed out one sequence at a time.

    At most ``limit`` are out at once; a returned arena is kept for the next sequence and
    replaced only by a larger one, so memory is bounded by ``limit`` arenas of the longest
    sequence. Safe to use from several threads.
    """

    def __init__(self, decoder: Decoder, *, limit: int, max_positions: int) -> None:
        self._decoder = decoder
        self._limit = limit
        self._max_positions = max_positions
        self._free: list[KvArena] = []
        self._out = 0
        self._lock = threading.Lock()

    def acquire(self, tokens: int) -> KvArena:
        """An empty arena for ``tokens`` tokens.

        Raises:
            EngineError: ``limit`` arenas are out, or ``tokens`` is beyond the engine.
        """
        with self._lock:
            if self._out >= self._limit:
                raise EngineError(
                    f"already has {self._limit} sequences under way",
                    where="engine mem_lm",
                    mend="Raise compression.max_concurrent.",
                )
            arena = self._free.pop() if self._free else None
            if arena is None or arena.capacity < tokens:
                arena = arena_for(self._decoder, tokens, self._max_positions)
            self._out += 1
        arena.truncate(0)
        return arena

    def release(self, arena: KvArena) -> None:
        """Give an arena back."""
        with self._lock:
            self._free.append(arena)
            self._out -= 1
