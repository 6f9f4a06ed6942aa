"""Watching: frames become features, features become clips, clips become memory.

It runs whether or not anybody asks anything, and never looks at words.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from omnilive import events
from omnilive.engine.interface import F32
from omnilive.eventlog import EventLog
from omnilive.lanes import Finished, Job, Lane, Lanes, Work
from omnilive.memory.clip import Clip, Keyframe
from omnilive.memory.compressor import Compressor
from omnilive.memory.keyframes import KeyframeStore
from omnilive.memory.long_term import LongTermMemory
from omnilive.memory.segmentation import Segmenter, cut_vector
from omnilive.memory.store import MemoryStore
from omnilive.perception.frame_encoder import FrameEncoder
from omnilive.session.costs import VirtualCostConfig
from omnilive.session.remembering import MemorySnapshot, Remembering, SeenFrame
from omnilive.session.scene import Scene
from omnilive.sources.types import Frame
from omnilive.tasks import Task, TaskQueue

__all__ = ["MemoryParts", "MemorySnapshot", "SeenFrame", "Watcher"]


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
        algorithm: str = "incremental",
    ) -> None:
        self._parts = parts
        self._naive = algorithm == "naive"
        self._remembering = Remembering(
            parts.encoder, parts.compressor, parts.long_term, costs, frame_period_us
        )
        self._lanes = lanes
        self._log = log
        self._costs = costs
        self._period_us = frame_period_us
        self._cut_feature = cut_feature
        # Besides the clips that frames are let in for: the one that ends with the stream, the
        # live generation's question, and what is prepared for it as speech starts and ends.
        self._tasks = TaskQueue(lanes, Lane.REMEMBER, lanes.capacity(Lane.REMEMBER) + 4)
        self._open: tuple[SeenFrame, ...] = ()
        self._closed = 0
        self._recalled: tuple[tuple[int, int], tuple[tuple[Clip, ...], F32]] | None = None
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

        encoding = self._parts.encoder.begin(frame.rgb)

        def encode() -> Work[tuple[SeenFrame, F32]]:
            features = encoding.features()
            keyframe = self._parts.keyframes.take(frame.pts_us, frame.rgb)
            seen = SeenFrame(
                frame.pts_us, features.features, keyframe, frame.rgb if self._naive else None
            )
            vector = cut_vector(self._cut_feature, features.features, features.cls)
            return Work((seen, vector), self._costs.frame_us)

        def dropped() -> None:
            self._drop(frame.pts_us)
            self._arrived()

        self._under_way += 1
        self._lanes.submit(
            Job(
                Lane.SEE,
                encode,
                self._on_features,
                dropped=dropped,
                native=encoding.native,
                # By when the next frame is there.
                deadline_us=frame.pts_us + self._period_us,
            )
        )

    def finish(self) -> None:
        """The stream is over: close the open clip once the last frame has been encoded."""
        self._over = True
        if not self._under_way:
            self._end()

    def recall(
        self, snapshot: MemorySnapshot
    ) -> Generator[Work[None], None, tuple[tuple[Clip, ...], F32]]:
        """Steps to what a question about ``snapshot`` sees: its clips and their long-term memory.

        The open clip is compressed for it and comes last. Steps on the remember lane only. What
        was recalled last is given again at once, even when a clip has closed since: recalling an
        older snapshot would cost it the KV of that clip.
        """
        key = (snapshot.closed, len(snapshot.open_frames))
        if self._recalled is None or self._recalled[0] != key:
            clips = [c for c in self._parts.store.clips if c.index < snapshot.closed]
            if snapshot.open_frames:
                open_clip, _ = yield from self._remembering.compression(snapshot)
                clips.append(open_clip)
            long_term, _ = yield from self._remembering.integration(clips)
            self._recalled = key, (tuple(clips), long_term)
        return self._recalled[1]

    def prepare(self, snapshot: MemorySnapshot, generation: int) -> None:
        """Have ready what ``recall`` gives, while the words of the question are being heard."""

        def recalling() -> Generator[Work[None], None, None]:
            yield from self.recall(snapshot)

        self._tasks.submit(Task(recalling(), lambda finished: None, generation=generation))

    def _drop(self, pts_us: int) -> None:
        self.frames_dropped += 1
        self._log.emit(events.FrameDropped(pts_us))

    def _on_features(self, finished: Finished[tuple[SeenFrame, F32]]) -> None:
        seen, vector = finished.value
        self._scene = Scene(seen.keyframe, vector)
        self.frames += 1
        decision = self._parts.segmenter.push(seen.pts_us, vector)
        closed = self._close(decision.reason) if decision.cut else None
        self._open = (*self._open, seen)
        if self._naive:
            self._tasks.submit(Task(self._recompute(closed, self.snapshot()), self._on_remembered))
        elif closed is not None:
            self._tasks.submit(Task(self._remember(closed), self._on_remembered))
        encoded = events.FrameEncoded(seen.pts_us, self._closed, decision.cosine, seen.keyframe.id)
        self._keep(encoded, finished.wall_us)

    def _keep(self, encoded: events.FrameEncoded, wall_us: int) -> None:
        """Have the picture written, then tell: whoever hears of it may look for the file."""

        def kept() -> None:
            written.result()
            self._log.emit(encoded, wall_us=wall_us, stage="see")
            self._arrived()

        arrived = self._lanes.expect(kept)
        written = self._parts.keyframes.write_soon(encoded.keyframe, arrived)

    def _arrived(self) -> None:
        """One frame fewer is under way."""
        self._under_way -= 1
        if self._over and not self._under_way:
            self._end()

    def _end(self) -> None:
        """The stream's last frame has been seen: what is open closes with it."""
        closed = self._close("end")
        if closed is not None:
            self._tasks.submit(Task(self._remember(closed), self._on_remembered))

    def _close(self, reason: str) -> MemorySnapshot | None:
        if not self._open:
            return None
        snapshot, self._open = self.snapshot(), ()
        self._closed += 1
        start_us, end_us = self._remembering.span_us(snapshot.open_frames)
        self._log.emit(
            events.ClipClosed(snapshot.closed, start_us, end_us, len(snapshot.open_frames), reason)
        )
        return snapshot

    def _remember(
        self, snapshot: MemorySnapshot
    ) -> Generator[Work[events.Event | None], None, None]:
        clip, tokens = yield from self._remembering.compression(snapshot)
        self._parts.store.add(clip)
        yield Work(events.ClipCompressed(clip.index, len(clip.short_term), tokens), 0)
        rows, tokens = yield from self._remembering.integration(self._parts.store.clips)
        yield Work(events.MemoryIntegrated(len(rows), tokens), 0)

    def _recompute(
        self, closed: MemorySnapshot | None, now: MemorySnapshot
    ) -> Generator[Work[events.Event | None], None, None]:
        """What the reference does with every frame: the open clip and the whole history again."""
        if closed is not None:
            yield from self._remember(closed)
        yield from self.recall(now)

    def _on_remembered(self, finished: Finished[events.Event | None]) -> None:
        self._wall_us += finished.wall_us
        if finished.value is not None:
            stage = "integrate" if finished.value.kind == "memory_integrated" else "compress"
            self._log.emit(finished.value, wall_us=self._wall_us, stage=stage)
            self._wall_us = 0
