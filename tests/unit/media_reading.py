"""One pass over a media file, with the promises that hold for every file checked on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from media_maker import (
    Audio,
    sine,
)
from omnilive.sources.config import SourceConfig
from omnilive.sources.media import open_media
from omnilive.sources.types import Frame, MediaInfo, Pcm, SourceWarning, samples_to_us

SECOND = 1_000_000


class Read:
    """One pass over a file, with the promises that hold for every file checked on the way."""

    def __init__(self, path: Path, config: SourceConfig | None = None) -> None:
        source = open_media(str(path), config or SourceConfig())
        self.info: MediaInfo = source.info
        self.frames: list[Frame] = []
        self.pcm: list[Pcm] = []
        self.warnings: list[str] = []
        last_us = 0
        for item in source:
            end_us = item.end_us if isinstance(item, Pcm) else item.pts_us
            assert end_us >= last_us, "items out of order"
            last_us = end_us
            if isinstance(item, Frame):
                assert item.rgb.dtype == np.uint8 and item.rgb.flags.c_contiguous
                self.frames.append(item)
            elif isinstance(item, Pcm):
                assert 0 < len(item.samples) <= 1_600 and item.samples.dtype == np.float32
                assert np.abs(item.samples).max() <= 1.0
                self.pcm.append(item)
            else:
                assert isinstance(item, SourceWarning)
                self.warnings.append(item.what)
        source.close()
        at = 0
        for block in self.pcm:
            assert block.pts_us == samples_to_us(at), "audio is not contiguous from 0"
            at += len(block.samples)

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate([b.samples for b in self.pcm]) if self.pcm else np.zeros(0)

    @property
    def times(self) -> list[float]:
        return [f.pts_us / SECOND for f in self.frames]

    @property
    def greys(self) -> list[int]:
        return [round(float(f.rgb.mean())) for f in self.frames]

    def told(self, *parts: str) -> bool:
        return any(all(p in w for p in parts) for w in self.warnings)

    def loud(self, start: float, end: float) -> bool:
        part = self.samples[int(start * 16_000) : int(end * 16_000)]
        return len(part) > 0 and float(np.sqrt(np.mean(part**2))) > 0.1

    def silent(self, start: float, end: float) -> bool:
        part = self.samples[int(start * 16_000) : int(end * 16_000)]
        return len(part) > 0 and not part.any()


def near(values: list[int], expected: list[int], tolerance: int = 4) -> bool:
    return len(values) == len(expected) and all(
        abs(a - b) <= tolerance for a, b in zip(values, expected, strict=True)
    )


def tone_is_in_place(read: Read, audio: Audio, tolerance: float = 0.02) -> bool:
    """Whether the sine is found, in phase, where the file says it is."""
    n = int((audio.seconds - 0.4) * 16_000)
    at = int((audio.start + 0.2) * 16_000)
    wave = sine(replace(audio, rate=16_000))[3_200 : 3_200 + n]
    return bool(np.abs(read.samples[at : at + n] - wave).max() < tolerance)
