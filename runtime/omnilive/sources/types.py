"""What a source yields: frames and PCM blocks, both stamped with stream PTS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 16_000
"""The one audio rate inside the runtime (spec §3.1)."""

US_PER_SECOND = 1_000_000


def samples_to_us(samples: int) -> int:
    """Duration in microseconds of ``samples`` at 16 kHz."""
    return samples * US_PER_SECOND // SAMPLE_RATE_HZ


def us_to_samples(duration_us: int) -> int:
    """Number of whole 16 kHz samples in ``duration_us`` microseconds."""
    return duration_us * SAMPLE_RATE_HZ // US_PER_SECOND


@dataclass(frozen=True, eq=False)
class Frame:
    """One sampled picture.

    Attributes:
        pts_us: presentation time from the start of the stream, microseconds.
        rgb: uint8 [height, width, 3], upright (any rotation already applied).
    """

    pts_us: int
    rgb: npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Pcm:
    """One block of audio, contiguous with the block before it.

    Attributes:
        pts_us: presentation time of the first sample, microseconds.
        samples: float32 [n] in [-1, 1], 16 kHz mono.
    """

    pts_us: int
    samples: npt.NDArray[np.float32]

    @property
    def end_us(self) -> int:
        """Presentation time just after the last sample, microseconds."""
        return self.pts_us + samples_to_us(len(self.samples))


@dataclass(frozen=True)
class SourceWarning:
    """Something odd in the stream that reading went on past.

    Attributes:
        pts_us: stream time near which it was met, microseconds.
        what: one clause for the user.
    """

    pts_us: int
    what: str


@dataclass(frozen=True)
class MediaInfo:
    """What a source says about itself when opened.

    Attributes:
        name: file or stream name without its folder.
        duration_us: length in microseconds, or None when unknown.
        width, height: upright size of the first frame in pixels, 0 without video.
        has_video, has_audio: which streams there are.
    """

    name: str
    duration_us: int | None
    width: int
    height: int
    has_video: bool
    has_audio: bool


class Source(Protocol):
    """One pass over what a file, a stream or a device gives."""

    info: MediaInfo

    def __iter__(self) -> Iterator[Frame | Pcm | SourceWarning]:
        """The items, in order of their end time."""

    def close(self) -> None:
        """Let go of what is read; closing twice does nothing."""
