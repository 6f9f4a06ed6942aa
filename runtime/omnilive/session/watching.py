"""Watching: frames become features, features become clips, clips become memory.

It runs whether or not anybody asks anything, and never looks at words.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from omnilive import events
from omnilive.engine.interface import F32
from omnilive.eventlog import EventLog
from omnilive.lanes import Finished, Job, Lane, Lanes, Work
from omnilive.memory.clip import Clip, Keyframe
from omnilive.memory.compressor import CompressedClip, Compressor
from omnilive.memory.keyframes import KeyframeStore
from omnilive.memory.long_term import LongTermMemory
from omnilive.memory.segmentation import Segmenter, cut_vector
from omnilive.memory.store import MemoryStore
from omnilive.perception.frame_encoder import FrameEncoder
from omnilive.session.costs import VirtualCostConfig
from omnilive.session.scene import Scene
from omnilive.sources.types import Frame
from omnilive.tasks import Task, TaskQueue


@dataclass(frozen=True, eq=False)
class SeenFrame:
    """A frame as memory keeps it while its clip is open.

    Attributes:
        features: float32 [grid², features].
    """

    pts_us: int
    features: F32
    keyframe: Keyframe


@dataclass(frozen=True, eq=False)
class MemorySnapshot:
    """What was known at one moment: how many clips had closed, and the open clip's frames."""

    closed: int
    open_frames: tuple[SeenFrame, ...]


@dataclass(frozen=True)
class MemoryParts:
    """The memory stage, put together by the session."""

    encoder: FrameEncoder
    segmenter: Segmenter
    keyframes: KeyframeStore
    compressor: Compressor
    store: MemoryStore
    long_term: LongTermMemory


class Watcher:
    """Owns the open clip. Everything but the engine work runs on the loop."""

    def __init__(
        self,
        parts: MemoryParts,
        lanes: Lanes,
        log: EventLog,
        costs: VirtualCostConfig,
        frame_period_us: int,
        cut_feature: str,
    ) -> None:
        self._parts = parts
        self._lanes = lanes
        self._log = log
        self._costs = costs
        self._period_us = frame_period_us
        self._cut_feature = cut_feature
        # Besides the clips that frames are let in for: the one that ends with the stream, and
        # the live generation's question.
        self._tasks = TaskQueue(lanes, Lane.REMEMBER, lanes.capacity(Lane.REMEMBER) + 2)
        self._open: tuple[SeenFrame, ...] = ()
        self._closed = 0
        self._compressed: tuple[tuple[int, int], CompressedClip] | None = None
        self._wall_us = 0
        self._under_way = 0
        self._over = False
        self._scene: Scene | None = None
        self.frames = 0
        self.frames_dropped = 0

    @property
    def clips(self) -> int:
        """Clips closed so far."""
        return self._closed

    @property
    def tasks(self) -> TaskQueue:
        """The remember lane's tasks: grounding queues behind compression here."""
        return self._tasks

    def snapshot(self) -> MemorySnapshot:
        """What is known now; immutable, nothing is copied."""
        return MemorySnapshot(self._closed, self._open)

    def scene(self) -> Scene | None:
        """What the newest frame shows, or None before the first."""
        return self._scene

    def seen_between(self, start: MemorySnapshot, end: MemorySnapshot) -> tuple[Keyframe, ...]:
        """Keyframes of what was seen after ``start`` up to ``end``, in time order.

        Clips that closed in between are looked up in memory: ask once they are compressed, as
        every task that comes to the remember lane after ``end`` may.
        """
        before = len(start.open_frames)
        seen: list[Keyframe] = []
        for clip in self._parts.store.clips:
            if start.closed <= clip.index < end.closed:
                seen += clip.keyframes
        seen += [frame.keyframe for frame in end.open_frames]
        return tuple(seen[before:])

    def on_frame(self, frame: Frame) -> None:
        """Take one sampled frame; it is dropped when the see or remember lane is behind."""
        # Any frame may close a clip, which must find room then.
        closing = self._tasks.waiting + self._under_way
        if closing >= self._lanes.capacity(Lane.REMEMBER):
            self._drop(frame.pts_us)
            return

        def encode() -> Work[tuple[SeenFrame, F32]]:
            features = self._parts.encoder.encode(frame.rgb)
            keyframe = self._parts.keyframes.put(frame.pts_us, frame.rgb)
            seen = SeenFrame(frame.pts_us, features.features, keyframe)
            vector = cut_vector(self._cut_feature, features.features, features.cls)
            return Work((seen, vector), self._costs.frame_us)

        def dropped() -> None:
            self._drop(frame.pts_us)
            self._arrived()

        self._under_way += 1
        self._lanes.submit(Job(Lane.SEE, encode, self._on_features, dropped=dropped))

    def finish(self) -> None:
        """The stream is over: close the open clip once the last frame has been encoded."""
        self._over = True
        if not self._under_way:
            self._close("end")

    def compression(
        self, snapshot: MemorySnapshot
    ) -> Generator[Work[None], None, tuple[Clip, int]]:
        """Steps that compress a snapshot's open clip; returns it and the tokens computed for it.

        Done once per set of frames: the result is used again if the clip closes unchanged.
        """
        frames = snapshot.open_frames
        key = (snapshot.closed, len(frames))
        start_us, end_us = self._span(frames)
        tokens = 0
        if self._compressed is None or self._compressed[0] != key:
            compression = self._parts.compressor.begin(
                [f.features for f in frames], start_us, end_us
            )
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
        memory = self._parts.long_term
        integration = memory.begin(clips)
        start = before = memory.tokens_computed
        while not integration.step():
            tokens, before = memory.tokens_computed - before, memory.tokens_computed
            yield Work(None, tokens * self._costs.memory_token_us)
        yield Work(None, (memory.tokens_computed - before) * self._costs.memory_token_us)
        return integration.result, memory.tokens_computed - start

    def _drop(self, pts_us: int) -> None:
        self.frames_dropped += 1
        self._log.emit(events.FrameDropped(pts_us))

    def _on_features(self, finished: Finished[tuple[SeenFrame, F32]]) -> None:
        seen, vector = finished.value
        self._scene = Scene(seen.keyframe, vector)
        self.frames += 1
        decision = self._parts.segmenter.push(seen.pts_us, vector)
        if decision.cut:
            self._close(decision.reason)
        self._open = (*self._open, seen)
        self._log.emit(
            events.FrameEncoded(seen.pts_us, self._closed, decision.cosine, seen.keyframe.id),
            wall_us=finished.wall_us,
            stage="see",
        )
        self._arrived()

    def _arrived(self) -> None:
        """One frame fewer is under way."""
        self._under_way -= 1
        if self._over and not self._under_way:
            self._close("end")

    def _close(self, reason: str) -> None:
        if not self._open:
            return
        snapshot, self._open = self.snapshot(), ()
        self._closed += 1
        start_us, end_us = self._span(snapshot.open_frames)
        self._log.emit(
            events.ClipClosed(snapshot.closed, start_us, end_us, len(snapshot.open_frames), reason)
        )
        self._tasks.submit(Task(self._remember(snapshot), self._on_remembered))

    def _remember(
        self, snapshot: MemorySnapshot
    ) -> Generator[Work[events.Event | None], None, None]:
        clip, tokens = yield from self.compression(snapshot)
        self._parts.store.add(clip)
        yield Work(events.ClipCompressed(clip.index, len(clip.short_term), tokens), 0)
        rows, tokens = yield from self.integration(self._parts.store.clips)
        yield Work(events.MemoryIntegrated(len(rows), tokens), 0)

    def _on_remembered(self, finished: Finished[events.Event | None]) -> None:
        self._wall_us += finished.wall_us
        if finished.value is not None:
            stage = "integrate" if finished.value.kind == "memory_integrated" else "compress"
            self._log.emit(finished.value, wall_us=self._wall_us, stage=stage)
            self._wall_us = 0

    def _span(self, frames: tuple[SeenFrame, ...]) -> tuple[int, int]:
        return frames[0].pts_us, frames[-1].pts_us + self._period_us
