"""What is kept of every frame is counted as what it takes: hours of frames are megabytes."""

from __future__ import annotations

import gc
import pathlib
import tracemalloc
from pathlib import Path

import numpy as np

from omnilive.events import FrameEncoded
from omnilive.memory.clip import FRAME_RECORD_BYTES, Clip, read_only
from omnilive.memory.config import KeyframeConfig
from omnilive.memory.keyframes import KeyframeStore
from omnilive.service.memory_view import MemoryView
from omnilive.sources.types import US_PER_SECOND

FRAMES, CLIP_FRAMES = 1_600, 8


def test_the_record_of_a_frame_takes_about_what_is_counted_for_it(tmp_path: Path) -> None:
    keyframes, view = KeyframeStore(tmp_path, KeyframeConfig()), MemoryView()
    short_term = read_only(np.zeros((CLIP_FRAMES, 4), np.float32))
    global_memory = read_only(np.zeros(4, np.float32))
    picture = np.zeros((300, 400, 3), np.uint8)
    clips = []
    keyframes.put(0, picture)
    tracemalloc.start()
    try:
        for first in range(1, FRAMES, CLIP_FRAMES):
            pts = tuple((first + index) * US_PER_SECOND for index in range(CLIP_FRAMES))
            kept = tuple(keyframes.put(at_us, picture) for at_us in pts)
            for at_us, keyframe in zip(pts, kept, strict=True):
                view.take(FrameEncoded(at_us, first, None, keyframe.id))
            clips.append(Clip(first, pts[0], pts[-1], pts, kept, short_term, global_memory))
        gc.collect()
        # pathlib interns names: they die with their paths, and the table of all names stays.
        without = tracemalloc.Filter(False, pathlib.__file__)
        snapshot = tracemalloc.take_snapshot().filter_traces([without])
    finally:
        tracemalloc.stop()
    took = sum(trace.size for trace in snapshot.traces) / FRAMES
    assert 0.5 * FRAME_RECORD_BYTES < took < FRAME_RECORD_BYTES
    assert len(keyframes) == FRAMES + 1 and len(clips) == FRAMES // CLIP_FRAMES
