"""Puts a scripted stream through the stages that make memory, under virtual time.

The watcher, the remember lane and the question pass are the runtime's own; only what surrounds
them (media, keyframes on disk, the log) is left out. It never looks inside the stages.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from memory_form import Stream
from omnilive.config import RuntimeConfig
from omnilive.engine.interface import F32
from omnilive.lanes import Finished, VirtualLanes, Work
from omnilive.memory.clip import Clip, Keyframe
from omnilive.memory.compressor import Compressor
from omnilive.memory.grounding import Grounding
from omnilive.memory.long_term import LongTermMemory
from omnilive.memory.segmentation import Segmenter
from omnilive.memory.selection import Selection
from omnilive.memory.store import MemoryStore
from omnilive.perception.frame_encoder import Encoding, FrameEncoder, FrameFeatures
from omnilive.session.costs import VirtualCostConfig
from omnilive.session.watching import MemoryParts, MemorySnapshot, Watcher
from omnilive.sources.types import US_PER_SECOND, Frame
from omnilive.tasks import Task

CUT_COSINE = 0.5
"""Scenes are orthogonal to each other and equal within, so any threshold between serves."""
SIDE = 8
"""Side of the frames in pixels: noise, resized to the engine's size."""
ASKED_AFTER_US = US_PER_SECOND // 2
"""A question comes this long after the frame it is about, before the next one."""
BROKEN_OFF = "Never mind"
"""Asked and not heard to the end."""
INSTANT = VirtualCostConfig(frame_us=0, memory_token_us=0)
"""Work takes no virtual time: no frame is ever dropped."""


@dataclass(frozen=True)
class Script:
    """A stream of one frame a second, and what is asked.

    Attributes:
        scenes: frames of each scene; with each one the picture changes.
        asks: (frame, words): asked half a second after that frame.
        broken_off: (frame, steps): a question after that frame that ends after so many steps, as
            a barge-in ends one; it comes before the others.
    """

    scenes: tuple[int, ...]
    asks: tuple[tuple[int, str], ...] = ()
    broken_off: tuple[tuple[int, int], ...] = ()

    def stream(self, clip_min: int, clip_max: int) -> Stream:
        """The clips that the cut rule makes of it (spec §2.9)."""
        lengths: list[int] = []
        places: list[tuple[int, int]] = []
        for scene in self.scenes:
            for frame in range(scene):
                length = lengths[-1] if lengths else 0
                cut = length >= clip_min and (frame == 0 or length >= clip_max)
                if cut or not lengths:
                    lengths.append(0)
                lengths[-1] += 1
                places.append((len(lengths) - 1, lengths[-1]))
        return Stream(tuple(lengths), tuple(places[frame] for frame, _ in sorted(self.asks)))


@dataclass(frozen=True, eq=False)
class Recalled:
    """What one question found."""

    clips: tuple[Clip, ...]
    long_term: F32
    scores: F32
    selection: Selection


@dataclass
class Watched:
    """What a run gave.

    Attributes:
        clips: those in the store at the end.
        vit_calls: frames that went through the ViT.
        question_tokens: LM tokens of the question passes.
    """

    recalled: list[Recalled] = field(default_factory=list)
    clips: tuple[Clip, ...] = ()
    vit_calls: int = 0
    question_tokens: int = 0


class _SceneEncoder(FrameEncoder):
    """The real encoder, with a CLS that tells scenes apart whatever the weights."""

    def __init__(self, pack: Any) -> None:
        super().__init__(pack)
        self.calls = 0

    def begin(self, rgb: npt.NDArray[np.uint8]) -> Encoding:
        encoding = super().begin(rgb)

        def features() -> FrameFeatures:
            self.calls += 1
            scene = np.eye(2, dtype=np.float32)[rgb[0, 0, 0] % 2]
            return FrameFeatures(encoding.features().features, scene)

        return Encoding(encoding.native, features)


class _Names:
    """Names keyframes and keeps none."""

    def take(self, pts_us: int, rgb: npt.NDArray[np.uint8]) -> Keyframe:
        return Keyframe(str(pts_us), rgb.shape[1], rgb.shape[0])

    def write_soon(self, key: str, done: Callable[[], None]) -> Future[None]:
        written: Future[None] = Future()
        written.set_result(None)
        done()
        return written


class _Silent:
    """A log nobody reads."""

    def emit(self, event: Any, *, wall_us: int | None = None, stage: str = "") -> int:
        return 0


def watch(pack: Any, script: Script, config: RuntimeConfig, *, seed: int = 0) -> Watched:
    """Run ``script`` through ``pack`` with ``config``'s segmentation, memory and retrieval.

    Args:
        pack: an EnginePack, or what has its memory engines.
        seed: of the pictures.
    """
    segmentation, lanes, watched = config.segmentation, VirtualLanes(), Watched()
    encoder, store = _SceneEncoder(pack), MemoryStore(config.store)
    long_term = LongTermMemory(
        pack, config.long_term, clip_max=segmentation.clip_max, keeps_kv=config.memory.keeps_kv
    )
    grounding = Grounding(pack, config.retrieval, keeps_kv=config.memory.keeps_kv)
    names: Any = _Names()
    silent: Any = _Silent()
    watcher = Watcher(
        MemoryParts(
            encoder,
            Segmenter(segmentation, CUT_COSINE),
            names,
            Compressor(pack, config.compression),
            store,
            long_term,
        ),
        lanes,
        silent,
        INSTANT,
        US_PER_SECOND,
        "cls",
        config.memory.algorithm,
    )

    def question(
        snapshot: MemorySnapshot, words: str
    ) -> Generator[Work[Recalled | None], None, None]:
        clips, rows = yield from watcher.recall(snapshot)
        steps = grounding.grounding(rows, clips, words)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                yield Work(Recalled(clips, rows, *stop.value), 0)
                return
            yield Work(None, 0)

    def answered(finished: Finished[Recalled | None]) -> None:
        if finished.value is not None:
            watched.recalled.append(finished.value)

    def ask(words: str) -> None:
        watcher.tasks.submit(Task(question(watcher.snapshot(), words), answered))

    def break_off(steps: int) -> None:
        asked = question(watcher.snapshot(), BROKEN_OFF)
        first = itertools.islice(asked, steps)
        forget = Task((Work(None, 0) for _ in first), lambda finished: None, on_end=asked.close)
        watcher.tasks.submit(forget)

    for frame in _frames(script, seed):
        lanes.at(frame.pts_us, lambda frame=frame: watcher.on_frame(frame))  # type: ignore[misc]
    for index, steps in script.broken_off:
        at_us = index * US_PER_SECOND + ASKED_AFTER_US
        lanes.at(at_us, lambda steps=steps: break_off(steps))  # type: ignore[misc]
    for index, words in script.asks:
        at_us = index * US_PER_SECOND + ASKED_AFTER_US
        lanes.at(at_us, lambda words=words: ask(words))  # type: ignore[misc]
    lanes.at(sum(script.scenes) * US_PER_SECOND, watcher.finish)
    lanes.run()
    if watcher.frames_dropped:
        raise RuntimeError(f"{watcher.frames_dropped} frames were dropped")
    watched.clips = store.clips
    watched.vit_calls = encoder.calls
    watched.question_tokens = grounding.tokens_computed
    return watched


def _frames(script: Script, seed: int) -> list[Frame]:
    rng = np.random.default_rng(seed)
    frames: list[Frame] = []
    for scene, length in enumerate(script.scenes):
        for _ in range(length):
            rgb = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            rgb[0, 0, 0] = scene % 2
            frames.append(Frame(len(frames) * US_PER_SECOND, rgb))
    return frames
