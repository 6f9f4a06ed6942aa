"""What a WebRTC peer gives a session: its pictures and sound, on the session's clock.

It decodes nothing and knows no network.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from omnilive.service.sender_clock import SenderClock
from omnilive.sources.config import SourceConfig
from omnilive.sources.live import LiveSource
from omnilive.sources.types import samples_to_us


class PeerFeed:
    """A peer's way into a live source until it is closed, by the peer or by who takes its place.

    Each track has a clock of its own, whose first item has just happened: picture and sound lie
    as far apart as their ways through the network differ. Belongs to the event loop.
    """

    def __init__(self, into: LiveSource, config: SourceConfig, now_us: Callable[[], int]) -> None:
        """``into`` takes what is stamped with ``now_us``, this machine's clock, microseconds."""
        self._into = into
        self._video = SenderClock(now_us, config.stall_ms * 1000)
        self._audio = SenderClock(now_us, config.stall_ms * 1000)
        self.max_side_px = config.max_side_px
        """Pictures need not be larger, pixels of the longer side."""
        self.closed = False
        self._seen = False
        self._heard = False

    @property
    def has_video(self) -> bool:
        """Whether it gives pictures, which are looked at instead of the client's."""
        return self._seen and not self.closed

    @property
    def has_audio(self) -> bool:
        """Whether it gives sound, which is heard instead of the client's."""
        return self._heard and not self.closed

    def wants_picture(self, pts_us: int) -> bool:
        """Whether the picture of that time of the peer's clock would be looked at."""
        self._seen = True
        return not self.closed and self._into.wants_frame(self._video.place(pts_us))

    def push_picture(self, pts_us: int, rgb: npt.NDArray[np.uint8]) -> None:
        """Take a picture, uint8 [h, w, 3], on the clock of the peer's video."""
        if not self.closed:
            self._into.push_frame(self._video.place(pts_us), rgb)

    def push_sound(self, pts_us: int, samples: npt.NDArray[np.float32]) -> None:
        """Take sound, float32 [n] at 16 kHz, on the clock of the peer's audio.

        What the session has no room for is lost, and becomes silence: a peer cannot be made to
        wait.
        """
        self._heard = True
        if not self.closed and len(samples):
            at_us = self._audio.place(pts_us, samples_to_us(len(samples)))
            self._into.push_pcm(at_us, samples)

    def notice(self, what: str) -> None:
        """Have something odd about the peer logged, if it still feeds the session."""
        if not self.closed:
            self._into.notice(what)

    def close(self) -> None:
        """Take nothing from now on."""
        self.closed = True
