"""Puts frames and audio into one order by time; it never changes either.

A block of audio goes out once the video has come as far as its end; a frame goes out once the
audio has come as far as the frame and every block that ends by its time has gone. The caller
bounds how far apart the two may lie.
"""

from __future__ import annotations

from bisect import insort
from collections import deque

import numpy as np
import numpy.typing as npt

from omnilive.sources.types import Frame, Pcm, SourceWarning, samples_to_us

BLOCK_SAMPLES = 1_600
"""Length of a PCM block: 100 ms at 16 kHz."""


class Interleaver:
    """Frames, warnings and samples in; the same in order of their end time out."""

    def __init__(self, *, has_video: bool, has_audio: bool) -> None:
        self._video_us: int | None = 0 if has_video else None
        self._has_audio = has_audio
        self._samples: deque[npt.NDArray[np.float32]] = deque()
        self._held = 0
        self._sent = 0
        self._items: list[Frame | SourceWarning] = []

    @property
    def audio_us(self) -> int:
        """Time up to which there is audio, sent or held."""
        return samples_to_us(self._sent + self._held)

    @property
    def video_us(self) -> int:
        """Time of the last frame the video has come to."""
        return self._video_us or 0

    def add_samples(self, samples: npt.NDArray[np.float32]) -> None:
        """Append audio to what there is."""
        if len(samples):
            self._samples.append(samples)
            self._held += len(samples)

    def add(self, item: Frame | SourceWarning) -> None:
        """Add a frame or a warning."""
        insort(self._items, item, key=lambda i: i.pts_us)

    def advance_video(self, time_us: int) -> None:
        """No frame before ``time_us`` will come any more."""
        if self._video_us is not None:
            self._video_us = max(self._video_us, time_us)

    def ready(self) -> list[Frame | Pcm | SourceWarning]:
        """What can go out now, in order."""
        out: list[Frame | Pcm | SourceWarning] = []
        while True:
            block_end_us = samples_to_us(self._sent + BLOCK_SAMPLES)
            if self._items and self._heard(self._items[0].pts_us, block_end_us):
                out.append(self._items.pop(0))
            elif self._held >= BLOCK_SAMPLES and (
                self._video_us is None or block_end_us <= self._video_us
            ):
                out.append(self._block(BLOCK_SAMPLES))
            else:
                return out

    def finish(self) -> list[Frame | Pcm | SourceWarning]:
        """Everything that is left; nothing more will come."""
        out: list[Frame | Pcm | SourceWarning] = []
        while self._held:
            size = min(BLOCK_SAMPLES, self._held)
            if self._items and self._items[0].pts_us < samples_to_us(self._sent + size):
                out.append(self._items.pop(0))
            else:
                out.append(self._block(size))
        out += self._items
        self._items = []
        return out

    def _heard(self, time_us: int, block_end_us: int) -> bool:
        """Whether every block that ends by ``time_us`` has gone and no shorter one can come."""
        return not self._has_audio or time_us < min(block_end_us, self.audio_us + 1)

    def _block(self, size: int) -> Pcm:
        parts: list[npt.NDArray[np.float32]] = []
        missing = size
        while missing:
            head = self._samples.popleft()
            if len(head) > missing:
                self._samples.appendleft(head[missing:])
                head = head[:missing]
            parts.append(head)
            missing -= len(head)
        block = Pcm(samples_to_us(self._sent), np.concatenate(parts))
        self._sent += size
        self._held -= size
        return block
