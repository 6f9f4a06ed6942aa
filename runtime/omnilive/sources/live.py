"""A source that others push into while it is read: a browser, a camera, a pulled stream.

Sound is made gapless: what is late is replaced by silence, so that an utterance ends though its
microphone went away. It never drops audio it took, and never blocks who pushes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from omnilive._native import resize_rgb
from omnilive.engine.interface import F32
from omnilive.sources.audio import AudioJoiner
from omnilive.sources.config import SourceConfig
from omnilive.sources.sampler import FrameSampler
from omnilive.sources.types import (
    SAMPLE_RATE_HZ,
    US_PER_SECOND,
    Frame,
    MediaInfo,
    Pcm,
    SourceWarning,
    samples_to_us,
)

Item = Frame | Pcm | SourceWarning

BLOCK_SAMPLES = SAMPLE_RATE_HZ // 10
"""Audio is handed on in blocks of 100 ms at most, as that of a file is."""

PAUSED_US = 2 * US_PER_SECOND
"""Silence in place of sound that has not come for so long is made a second at a time: who waits
for a paused sender should cost next to nothing, and there is no speech whose end is awaited."""
PAUSED_BLOCK_US = US_PER_SECOND


class LiveSource:
    """Frames, audio and notices of one sender. Pushing is for any thread, reading for one.

    The sender stamps both with one clock of its own. The first item after the start, or after
    ``restart_clock``, is taken to happen when it is pushed; what follows lies as far from it as
    the sender's clock says.
    """

    MAX_WAITING_S = 30.0
    """Audio that may wait to be read; more is not taken."""
    MAX_FRAMES = 4
    """Frames that may wait to be read; the oldest makes way."""
    MAX_ITEMS = 4_096
    """Pieces of any kind that may wait to be read; then no sound or notice is taken."""

    def __init__(
        self, config: SourceConfig, *, name: str, has_video: bool = True, has_audio: bool = True
    ) -> None:
        """``name``: for the log; what it has not must not be pushed."""
        config.validate()
        self.info = MediaInfo(name, None, 0, 0, has_video, has_audio)
        self._config = config
        self._stall_us = config.stall_ms * 1000
        self._changed = threading.Condition()
        self._now_us: Callable[[], int] | None = None
        self._offset_us: int | None = None
        self._waiting: deque[Item] = deque()
        self._frames = 0
        self._samples = 0
        self._newest_us = 0
        self._ended = False
        self._discarded = False
        self._filled_us = 0
        self._sampler = FrameSampler(config.fps)
        self._joiner = AudioJoiner(config.audio_jitter_ms * 1000)

    @property
    def waiting_us(self) -> int:
        """Audio pushed and not read yet, microseconds."""
        with self._changed:
            return samples_to_us(self._samples)

    def push(self, item: Item) -> bool:
        """Push an item as a media file gives it; the rest is as for its kind."""
        if isinstance(item, Frame):
            return self.push_frame(item.pts_us, item.rgb)
        if isinstance(item, Pcm):
            return self.push_pcm(item.pts_us, item.samples)
        self.notice(item.what)
        return True

    def wants_frame(self, pts_us: int) -> bool:
        """Whether a picture of that time would be taken: what need not be decoded is not."""
        with self._changed:
            if self._ended or self._now_us is None:
                return False
            return self._offset_us is None or self._sampler.wants(max(0, pts_us + self._offset_us))

    def push_frame(self, pts_us: int, rgb: np.ndarray) -> bool:
        """Push a picture, uint8 [h, w, 3]; kept by reference.

        Returns:
            Whether it was taken: not when it is one more than ``source.fps`` asks for, and not
            before the session reads or after the end. The oldest waiting frame may make way.

        Raises:
            ValueError: it is no such picture.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
            raise ValueError(f"a frame is uint8 [h, w, 3], not {rgb.dtype} {list(rgb.shape)}")
        with self._changed:
            at_us = self._place(pts_us, 0)
            if at_us is None or not self._sampler.takes(at_us):
                return False
            if self._frames == self.MAX_FRAMES:
                self._waiting.remove(next(i for i in self._waiting if isinstance(i, Frame)))
                self._frames -= 1
            self._frames += 1
            self._waiting.append(Frame(at_us, rgb))
            self._changed.notify()
        return True

    def push_pcm(self, pts_us: int, samples: F32) -> bool:
        """Push sound, float32 [n] in [-1, 1], 16 kHz mono; kept by reference.

        Returns:
            Whether it was taken: not while ``MAX_WAITING_S`` of audio wait, and not before the
            session reads or after the end.

        Raises:
            ValueError: it is no such sound.
        """
        if samples.ndim != 1 or samples.dtype != np.float32:
            raise ValueError(f"sound is float32 [n], not {samples.dtype} {list(samples.shape)}")
        with self._changed:
            too_much = self._samples + len(samples) > self.MAX_WAITING_S * SAMPLE_RATE_HZ
            if too_much or len(self._waiting) >= self.MAX_ITEMS:
                return False
            at_us = self._place(pts_us, samples_to_us(len(samples)))
            if at_us is None:
                return False
            self._samples += len(samples)
            self._waiting.append(Pcm(at_us, samples))
            self._changed.notify()
        return True

    def notice(self, what: str) -> None:
        """Have something odd about the source logged."""
        with self._changed:
            has_room = not self._ended and len(self._waiting) < self.MAX_ITEMS
            if self._now_us is not None and has_room:
                self._waiting.append(SourceWarning(self._now_us(), what))
                self._changed.notify()

    def restart_clock(self) -> None:
        """The sender's clock begins anew: what is pushed next happens when it is pushed."""
        with self._changed:
            self._offset_us = None

    def end(self, *, discard: bool = False) -> None:
        """No more will come; with ``discard`` what was not read yet is forgotten, too."""
        with self._changed:
            self._ended = True
            self._discarded |= discard
            self._changed.notify()

    def items(self, now_us: Callable[[], int]) -> Iterator[Item]:
        """The items as they come, for one reader; from now on they may be pushed.

        Args:
            now_us: stream time, microseconds, from any thread.
        """
        with self._changed:
            self._now_us = now_us
        return self._read()

    def _read(self) -> Iterator[Item]:
        try:
            while (item := self._next()) is not None:
                if isinstance(item, Pcm):
                    yield from self._joined(item)
                elif isinstance(item, Frame):
                    yield replace(item, rgb=self._bounded(item.rgb))
                else:
                    yield item
        finally:
            with self._changed:  # who pushes may know it for longer than there is a session
                self._now_us = None
                self._waiting.clear()
                self._frames = self._samples = 0

    def _place(self, pts_us: int, duration_us: int) -> int | None:
        """Stream time of something pushed now, or None when nobody reads."""
        if self._ended or self._now_us is None:
            return None
        if self._offset_us is None:
            happens_us = max(self._now_us() - duration_us, self._newest_us)
            self._offset_us = happens_us - pts_us
        at_us = max(0, pts_us + self._offset_us)
        self._newest_us = max(self._newest_us, at_us + duration_us)
        return at_us

    def _next(self) -> Item | None:
        """The next item, silence for what is late, or None at the end."""
        with self._changed:
            while True:
                if self._discarded or (self._ended and not self._waiting):
                    return None
                if self._waiting:
                    item = self._waiting.popleft()
                    self._frames -= isinstance(item, Frame)
                    self._samples -= len(item.samples) if isinstance(item, Pcm) else 0
                    return item
                late_us = self._late_us()
                if late_us > 0:
                    start_us = self._joiner.position_us
                    return Pcm(start_us + late_us, np.zeros(0, np.float32))
                self._changed.wait(-late_us / US_PER_SECOND if self.info.has_audio else None)

    def _late_us(self) -> int:
        """How much sound should have come by now; at most 0 when all has."""
        if not self.info.has_audio or self._now_us is None:
            return 0
        paused = self._filled_us >= PAUSED_US
        block_us = PAUSED_BLOCK_US if paused else samples_to_us(BLOCK_SAMPLES)
        late_us = self._now_us() - self._stall_us - self._joiner.position_us
        return late_us if late_us >= block_us else min(0, late_us - block_us)

    def _joined(self, pcm: Pcm) -> Iterator[Pcm]:
        start_us = self._joiner.position_us
        if len(pcm.samples):
            samples = self._joiner.push(pcm.pts_us, pcm.samples, SAMPLE_RATE_HZ).samples
            self._filled_us = 0
        else:
            samples = self._joiner.fill(pcm.pts_us)
            self._filled_us += samples_to_us(len(samples))
        for at in range(0, len(samples), BLOCK_SAMPLES):
            yield Pcm(start_us + samples_to_us(at), samples[at : at + BLOCK_SAMPLES])

    def _bounded(self, rgb: np.ndarray) -> np.ndarray:
        """``rgb`` scaled down to ``source.max_side_px``."""
        height, width = rgb.shape[:2]
        scale = self._config.max_side_px / max(height, width)
        if scale >= 1:
            return rgb
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        return np.asarray(resize_rgb(np.ascontiguousarray(rgb), *size))
