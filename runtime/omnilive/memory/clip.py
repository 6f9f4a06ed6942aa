"""A clip as memory keeps it: an immutable value that any thread may read; it does no work."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from omnilive.engine.interface import F32


def read_only(array: F32) -> F32:
    """``array`` as contiguous float32 that nobody can write, copied unless it already is."""
    if array.dtype == np.float32 and array.flags.c_contiguous and not array.flags.writeable:
        return array
    fixed = np.array(array, np.float32, order="C", copy=True)
    fixed.setflags(write=False)
    return fixed


FRAME_RECORD_BYTES = 384
"""What is kept of a frame besides its features: its id, time and size, its part of a clip's own
record, and where the keyframe store and a service look it up. Measured with CPython 3.11."""


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A frame in the keyframe store: its id, and the size it is kept at, pixels."""

    id: str
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Clip:
    """One clip of the stream, compressed.

    Attributes:
        index: its number since the session began; grows by one from clip to clip.
        start_us, end_us: stream time of its first frame, and of its end, microseconds.
        frame_pts: stream time of each of its T frames, microseconds.
        keyframes: those frames in the keyframe store, parallel to ``frame_pts``; a clip outlives
            them.
        short_term: H, float32 [slots·T, H]; [0, H] once only Ĥ remains.
        global_memory: Ĥ, float32 [H].

    Both arrays are made read-only.

    Raises:
        ValueError: odd shapes, keyframes not parallel to frames, or an end before the start.
    """

    index: int
    start_us: int
    end_us: int
    frame_pts: tuple[int, ...]
    keyframes: tuple[Keyframe, ...]
    short_term: F32
    global_memory: F32

    def __post_init__(self) -> None:
        h, g = self.short_term, self.global_memory
        if h.ndim != 2 or g.ndim != 1 or h.shape[1] != g.shape[0]:
            raise ValueError(f"H {h.shape} and Ĥ {g.shape} of clip {self.index} do not fit")
        if len(self.frame_pts) != len(self.keyframes):
            raise ValueError(f"clip {self.index}: keyframes are not parallel to frames")
        if self.end_us < self.start_us:
            raise ValueError(f"clip {self.index} ends before it starts")
        object.__setattr__(self, "short_term", read_only(h))
        object.__setattr__(self, "global_memory", read_only(g))

    @property
    def nbytes(self) -> int:
        """What its features take."""
        return self.short_term.nbytes + self.global_memory.nbytes

    @property
    def has_short_term(self) -> bool:
        """Whether H is still there; without it the clip is retrievable by Ĥ only."""
        return len(self.short_term) > 0

    def without_short_term(self) -> Clip:
        """The same clip with only Ĥ left; H itself is released."""
        # A copy: a slice would keep all of H alive behind it.
        return dataclasses.replace(self, short_term=self.short_term[:0].copy())
