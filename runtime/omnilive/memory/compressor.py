"""Turns a closed clip's frame features into short-term memory H and global memory Ĥ (spec §2.3).

It never sees pixels and keeps nothing of a clip once the result is out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from omnilive.engine.interface import F32, KvArena
from omnilive.memory.clip import read_only
from omnilive.memory.config import CompressionConfig
from omnilive.memory.prefill import ArenaPool, ChunkedPrefill
from omnilive.sources.types import US_PER_SECOND

if TYPE_CHECKING:
    from omnilive.engine.pack import EnginePack


@dataclass(frozen=True, eq=False)
class CompressedClip:
    """A clip's memory.

    Attributes:
        short_term: H, float32 [slots·T, H], frame-major.
        global_memory: Ĥ, float32 [H].
        tokens: tokens the LM prefilled for it.
    """

    short_term: F32
    global_memory: F32
    tokens: int


def whole_seconds(pts_us: int) -> int:
    """Stream time rounded to whole seconds, halves up."""
    return (pts_us + US_PER_SECOND // 2) // US_PER_SECOND


class Compressor:
    """Compresses clips with ``mem_proj`` and ``mem_lm``.

    Several compressions may be under way (``compression.max_concurrent``), each stepped by its
    own lane; their arenas are reused.
    """

    def __init__(self, pack: EnginePack, config: CompressionConfig) -> None:
        self._pack = pack
        self._config = config
        self._arenas = ArenaPool(
            pack.decoder("mem_lm"),
            limit=config.max_concurrent,
            max_positions=pack.manifest.memory.max_positions,
        )

    def begin(self, features: Sequence[F32], start_us: int, end_us: int) -> Compression:
        """Start compressing one clip; no engine runs before the first ``step``.

        Args:
            features: float32 [G·G, 4C] per frame, 1 ≤ T.
            start_us: stream time of the clip's first frame, microseconds.
            end_us: stream time of its end, microseconds.
        """
        if not features:
            raise ValueError("a clip has at least one frame")
        text = self._config.prompt.format(start=whole_seconds(start_us), end=whole_seconds(end_us))
        return Compression(self._pack, self._arenas, self._config.step_tokens, features, text)


class Compression:
    """One clip on its way through the compressor; made by ``Compressor.begin``.

    Step it until it is done, or ``cancel`` it; either way its arena goes back.
    """

    def __init__(
        self,
        pack: EnginePack,
        arenas: ArenaPool,
        step_tokens: int,
        features: Sequence[F32],
        text: str,
    ) -> None:
        self._pack = pack
        self._arenas = arenas
        self._step_tokens = step_tokens
        self._features: Sequence[F32] = features
        self._text = text
        self._slots = pack.manifest.memory.slots * len(features)
        self._arena: KvArena | None = None
        self._prefill: ChunkedPrefill | None = None
        self._tokens = 0
        self._result: CompressedClip | None = None
        self._cancelled = False

    @property
    def tokens(self) -> int:
        """LM tokens prefilled so far."""
        return self._tokens

    @property
    def result(self) -> CompressedClip:
        """The clip's memory; RuntimeError before the last step."""
        if self._result is None:
            raise RuntimeError("the compression is not done")
        return self._result

    def step(self) -> bool:
        """Do one piece: the projector first, then ``step_tokens`` of LM prefill at a time.

        Returns:
            Whether the result is there.

        Raises:
            EngineError: too many compressions under way, or a clip beyond the engine's limits.
            RuntimeError: the compression was cancelled.
        """
        if self._result is not None:
            return True
        if self._cancelled:
            raise RuntimeError("the compression was cancelled")
        if self._prefill is None:
            self._prefill = self._project()
            return False
        self._tokens += self._prefill.step()
        if not self._prefill.done:
            return False
        hidden = self._prefill.hidden()
        self._result = CompressedClip(read_only(hidden[:-1]), read_only(hidden[-1]), self._tokens)
        self.cancel()
        return True

    def cancel(self) -> None:
        """Give the arena back; after the last step a no-op."""
        self._cancelled = True
        self._prefill = None
        self._features = ()
        if self._arena is not None:
            self._arenas.release(self._arena)
            self._arena = None

    def _project(self) -> ChunkedPrefill:
        ids = self._pack.tokenizer("memory").encode(self._text)
        clip = self._pack.engine("mem_proj").run({"features": np.stack(self._features)})
        text = self._pack.table("mem_embed").rows(ids)
        embeds = np.concatenate([text, clip["clip_embeds"]]).astype(np.float32, copy=False)
        self._arena = self._arenas.acquire(len(embeds))
        return ChunkedPrefill(
            self._pack.decoder("mem_lm"),
            self._arena,
            embeds,
            step_tokens=self._step_tokens,
            keep=self._slots + 1,
        )
