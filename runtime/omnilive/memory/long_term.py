"""Integrates clips into long-term memory, exactly, incrementally and bounded (spec §2.4).

The LM reads [H_1 … H_K, Ĥ_1 … Ĥ_K] and its last K outputs are the long-term memory. The LM is
causal, so the KV of the H rows that two integrations share is kept and only new H rows and the
K rows of Ĥ run. "Exact" means equal to ``full`` over the same window of clips.

The window is bounded to M clips: ``long_term.max_clips``, or fewer where the engine's positions
end. It slides by a quarter of M at once, since a slide changes the prefix and costs a full
recomputation: one per M/4 clips. Which clips it holds follows from the newest clip's index
alone, never from the order of calls. Clips before the window are not integrated; retrieval
still finds them by Ĥ. This file never chooses clips for a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from omnilive.engine.interface import F32, Decoder, KvArena
from omnilive.errors import EngineError
from omnilive.memory.clip import Clip, read_only
from omnilive.memory.config import LongTermConfig, SegmentationConfig
from omnilive.memory.prefill import ChunkedPrefill, arena_for

if TYPE_CHECKING:
    from omnilive.engine.pack import EnginePack


def integration_window(clips: Sequence[Clip], max_clips: int) -> tuple[Clip, ...]:
    """The clips that are integrated: the newest up to ``max_clips`` that still have H.

    With n = newest index + 1, the window starts at clip 0 while n ≤ M, then at the smallest
    multiple of max(1, M // 4) that leaves at most M clips.
    """
    if not clips:
        return ()
    overflow = clips[-1].index + 1 - max_clips
    block = max(1, max_clips // 4)
    first = -(-overflow // block) * block if overflow > 0 else 0
    return tuple(c for c in clips if c.index >= first and c.has_short_term)


def full(decoder: Decoder, clips: Sequence[Clip]) -> F32:
    """Long-term memory [K, H] of exactly these clips, computed from nothing in one block.

    What ``LongTermMemory`` must equal; it keeps no state and bounds nothing.
    """
    embeds = np.concatenate(
        [c.short_term for c in clips] + [c.global_memory[np.newaxis] for c in clips]
    )
    return decoder.hidden(decoder.new_arena(len(embeds)), embeds)[-len(clips) :]


class LongTermMemory:
    """The integrator and its KV arena. One integration at a time.

    Args:
        clip_max: frames of the longest clip (``segmentation.clip_max``); with the pack's
            positions it bounds how many clips fit.
        keeps_kv: False computes every integration from nothing (``memory.algorithm``).

    Raises:
        EngineError: not even one clip fits the engine's positions.
    """

    def __init__(
        self,
        pack: EnginePack,
        config: LongTermConfig,
        *,
        clip_max: int = SegmentationConfig.clip_max,
        keeps_kv: bool = True,
    ) -> None:
        spec = pack.manifest.memory
        self._decoder = pack.decoder("mem_lm")
        self._width = spec.hidden
        self._keeps_kv = keeps_kv
        self._step_tokens = config.step_tokens
        self._max_positions = spec.max_positions
        self._clip_tokens = spec.slots * clip_max + 1
        self._max_clips = min(config.max_clips, spec.max_positions // self._clip_tokens)
        if self._max_clips < 1:
            raise EngineError(
                f"has {spec.max_positions} positions, one clip needs {self._clip_tokens}",
                where="engine mem_lm",
                mend="Lower segmentation.clip_max.",
            )
        self._arena: KvArena | None = None
        self._rows: tuple[F32, ...] = ()
        self._globals: tuple[F32, ...] = ()
        self._result: F32 | None = None
        self._current: Integration | None = None
        self.tokens_computed = 0
        """LM tokens run since the memory was made."""

    @property
    def max_clips(self) -> int:
        """M: clips the window may hold."""
        return self._max_clips

    def begin(self, clips: Sequence[Clip]) -> Integration:
        """Start an integration; an unfinished one before it is abandoned.

        Args:
            clips: a snapshot of the memory, oldest first; the open clip, compressed for a
                question, may be its last. The result's rows belong to
                ``integration_window(clips, self.max_clips)``, in its order.

        Raises:
            EngineError: a clip longer than ``clip_max``.
        """
        window = integration_window(clips, self._max_clips)
        for clip in window:
            if len(clip.short_term) + 1 > self._clip_tokens:
                raise EngineError(
                    f"clip {clip.index} has {len(clip.short_term)} rows of H, long-term memory"
                    f" was sized for {self._clip_tokens - 1}",
                    where="segmentation.clip_max",
                    mend="Give long-term memory the clip_max that clips are cut with.",
                )
        rows = tuple(c.short_term for c in window)
        globals_ = tuple(c.global_memory for c in window)
        if not window:
            self._current = Integration(self, None, _empty(self._width))
        elif (
            self._result is not None and _same(rows, self._rows) and _same(globals_, self._globals)
        ):
            self._current = Integration(self, None, self._result)
        else:
            self._current = Integration(self, self._prepare(rows, globals_), None)
        return self._current

    def _prepare(self, rows: tuple[F32, ...], globals_: tuple[F32, ...]) -> ChunkedPrefill:
        """Cut the arena back to the rows that stay, and queue the ones that do not."""
        if self._arena is None:
            self._arena = arena_for(
                self._decoder, self._max_clips * self._clip_tokens, self._max_positions
            )
        common = _common(rows, self._rows) if self._keeps_kv else 0
        shared = sum(len(r) for r in rows[:common])
        # An abandoned integration may have fed less than it planned.
        kept = min(shared, self._arena.length)
        self._arena.truncate(kept)
        self._rows, self._globals, self._result = rows, globals_, None
        embeds = np.concatenate([np.concatenate(rows)[kept:], np.stack(globals_)])
        return ChunkedPrefill(
            self._decoder,
            self._arena,
            embeds,
            step_tokens=self._step_tokens,
            keep=len(globals_),
        )

    def _step(self, integration: Integration, prefill: ChunkedPrefill) -> F32 | None:
        """One step of ``integration``; the result once it is done."""
        if integration is not self._current:
            raise RuntimeError("a newer integration has taken this one's place")
        self.tokens_computed += prefill.step()
        if not prefill.done:
            return None
        self._result = read_only(prefill.hidden())
        return self._result


class Integration:
    """One integration on its way; made by ``LongTermMemory.begin``. Simply dropped to cancel."""

    def __init__(
        self, memory: LongTermMemory, prefill: ChunkedPrefill | None, result: F32 | None
    ) -> None:
        self._memory = memory
        self._prefill = prefill
        self._result = result

    @property
    def result(self) -> F32:
        """Long-term memory float32 [K, H], read-only; RuntimeError before the last step."""
        if self._result is None:
            raise RuntimeError("the integration is not done")
        return self._result

    def step(self) -> bool:
        """Run the next ``long_term.step_tokens`` tokens. Returns whether the result is there."""
        if self._result is None and self._prefill is not None:
            self._result = self._memory._step(self, self._prefill)
        return self._result is not None


def _empty(width: int) -> F32:
    return read_only(np.zeros((0, width), np.float32))


def _common(a: Sequence[F32], b: Sequence[F32]) -> int:
    """How many leading arrays are equal."""
    count = 0
    for x, y in zip(a, b, strict=False):
        if x is not y and not np.array_equal(x, y):
            break
        count += 1
    return count


def _same(a: Sequence[F32], b: Sequence[F32]) -> bool:
    return len(a) == len(b) == _common(a, b)
