"""Holds the session's clips under a stated limit and hands out immutable snapshots.

It computes nothing. At the limits: beyond ``max_short_term_clips`` the oldest clip loses H and
stays retrievable by Ĥ; beyond ``max_clips`` the oldest is dropped.
"""

from __future__ import annotations

import threading

from omnilive.memory.clip import Clip
from omnilive.memory.config import StoreConfig


class MemoryStore:
    """The clips of one session, oldest first. Safe to use from several threads."""

    def __init__(self, config: StoreConfig) -> None:
        self._config = config
        self._clips: tuple[Clip, ...] = ()
        self._lock = threading.Lock()

    @property
    def clips(self) -> tuple[Clip, ...]:
        """A snapshot: it never changes, whatever is added later."""
        return self._clips

    def add(self, clip: Clip) -> None:
        """Append a clip, then apply the limits.

        Raises:
            ValueError: a clip whose index or start is not after the newest one's.
        """
        with self._lock:
            clips = self._clips
            if clips and (clip.index <= clips[-1].index or clip.start_us < clips[-1].start_us):
                raise ValueError(f"clip {clip.index} does not follow clip {clips[-1].index}")
            clips = (*clips, clip)[-self._config.max_clips :]
            forgets = len(clips) - 1 - self._config.max_short_term_clips
            if forgets >= 0 and clips[forgets].has_short_term:
                forgotten = clips[forgets].without_short_term()
                clips = (*clips[:forgets], forgotten, *clips[forgets + 1 :])
            self._clips = clips
