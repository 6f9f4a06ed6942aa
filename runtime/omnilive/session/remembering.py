"""Remembering: a snapshot of the stream becomes memory, step by step. It never decides when.

Two algorithms lead to the same memory. ``incremental`` does each piece of work once. ``naive`` is
the reference demo's (spec §2.9): for every frame the open clip goes through the ViT, the projector
and the compressor again, and the whole history through the integration.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnilive.engine.interface import F32
from omnilive.lanes import Work
from omnilive.memory.clip import Clip, Keyframe
from omnilive.memory.compressor import CompressedClip, Compressor
from omnilive.memory.long_term import LongTermMemory
from omnilive.perception.frame_encoder import FrameEncoder
from omnilive.session.costs import VirtualCostConfig


@dataclass(frozen=True, eq=False)
class SeenFrame:
    """A frame as memory keeps it while its clip is open.

    Attributes:
        features: float32 [grid², features].
        rgb: uint8 [h, w, 3], the frame itself; only where it is encoded again (``naive``).
    """

    pts_us: int
    features: F32
    keyframe: Keyframe
    rgb: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class MemorySnapshot:
    """What was known at one moment: how many clips had closed, and the open clip's frames."""

    closed: int
    open_frames: tuple[SeenFrame, ...]


class Remembering:
    """Compresses and integrates what snapshots hold; runs on the remember lane."""

    def __init__(
        self,
        encoder: FrameEncoder,
        compressor: Compressor,
        long_term: LongTermMemory,
        costs: VirtualCostConfig,
        frame_period_us: int,
    ) -> None:
        self._encoder = encoder
        self._compressor = compressor
        self._long_term = long_term
        self._costs = costs
        self._period_us = frame_period_us
        self._compressed: tuple[tuple[int, int], CompressedClip] | None = None

    def span_us(self, frames: Sequence[SeenFrame]) -> tuple[int, int]:
        """Stream time of the first frame and of the end of the last."""
        return frames[0].pts_us, frames[-1].pts_us + self._period_us

    def compression(
        self, snapshot: MemorySnapshot
    ) -> Generator[Work[None], None, tuple[Clip, int]]:
        """Steps that compress a snapshot's open clip; returns it and the tokens computed for it.

        Done once per set of frames: the result is used again if the clip closes unchanged.
        """
        frames = snapshot.open_frames
        key = (snapshot.closed, len(frames))
        start_us, end_us = self.span_us(frames)
        tokens = 0
        if self._compressed is None or self._compressed[0] != key:
            features = yield from self._features(frames)
            compression = self._compressor.begin(features, start_us, end_us)
            try:
                done = False
                while not done:
                    done = compression.step()
                    step_tokens, tokens = compression.tokens - tokens, compression.tokens
                    yield Work(None, step_tokens * self._costs.memory_token_us)
            finally:
                compression.cancel()
            self._compressed = (key, compression.result)
        memory = self._compressed[1]
        clip = Clip(
            index=snapshot.closed,
            start_us=start_us,
            end_us=end_us,
            frame_pts=tuple(f.pts_us for f in frames),
            keyframes=tuple(f.keyframe for f in frames),
            short_term=memory.short_term,
            global_memory=memory.global_memory,
        )
        return clip, tokens

    def integration(self, clips: Sequence[Clip]) -> Generator[Work[None], None, tuple[F32, int]]:
        """Steps that integrate ``clips``; returns long-term memory and the tokens computed."""
        memory = self._long_term
        integration = memory.begin(clips)
        start = before = memory.tokens_computed
        while not integration.step():
            tokens, before = memory.tokens_computed - before, memory.tokens_computed
            yield Work(None, tokens * self._costs.memory_token_us)
        yield Work(None, (memory.tokens_computed - before) * self._costs.memory_token_us)
        return integration.result, memory.tokens_computed - start

    def _features(self, frames: Sequence[SeenFrame]) -> Generator[Work[None], None, list[F32]]:
        """Each frame's features; those of frames that brought their picture are made again.

        The newest one's are not: the see lane encoded it just now.
        """
        features = []
        for frame in frames:
            if frame.rgb is None or frame is frames[-1]:
                features.append(frame.features)
            else:
                features.append(self._encoder.encode(frame.rgb).features)
                yield Work(None, self._costs.frame_us)
        return features
