"""Puts several frames into one labelled picture, as the reasoner was trained on (spec §1.4).

The layout depends on sizes alone, so that a picture's cost is known before a pixel is touched; it
never chooses frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from omnilive import _native

U8 = npt.NDArray[np.uint8]

LONG_SIDE_TILES = 2
"""Long side of every frame in tiles: 1120 px at the reference's 560."""

REFERENCE_PIXELS = 560
STRIP, GAP, LINE = 40, 10, 2
"""Label strip, gap after a frame and dividing line, pixels at the reference's tile side."""

LEAST_STRIP = 12
"""Pixels below which the label's letters can no longer be told apart."""

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True)
class Placement:
    """Where one frame and its label go, pixels from the top left corner."""

    left: int
    top: int
    width: int
    height: int
    label_left: int
    label_top: int


@dataclass(frozen=True)
class Layout:
    """A stitched picture: its size, its frames and the lines (left, top, right, bottom) between."""

    width: int
    height: int
    strip: int
    line: int
    frames: tuple[Placement, ...]
    lines: tuple[tuple[int, int, int, int], ...]


def layout(sizes: Sequence[tuple[int, int]], pixels: int) -> Layout:
    """Lay out frames of ``sizes`` (width, height) for tiles of ``pixels``.

    Landscape frames are stacked, each under its own label strip; portrait and square ones stand
    side by side under a common strip. As in the reference, the last frame decides which.
    """
    if not sizes:
        raise ValueError("no frames to lay out")
    unit = pixels / REFERENCE_PIXELS
    strip = max(LEAST_STRIP, round(STRIP * unit))
    gap, line = max(2, round(GAP * unit)), max(1, round(LINE * unit))
    scaled = [scaled_size(width, height, pixels) for width, height in sizes]
    landscape = sizes[-1][0] > sizes[-1][1]
    frames, cuts, at = [], [], 0
    for width, height in scaled:
        if landscape:
            frames.append(Placement(0, at + strip, width, height, 0, at))
            cuts.append(at + strip + height + gap // 2)
            at += strip + height + gap
        else:
            frames.append(Placement(at, strip, width, height, at, 0))
            cuts.append(at + width + gap // 2)
            at += width + gap
    # No line after the last frame.
    cuts.pop()
    if landscape:
        across = max(width for width, _ in scaled)
        lines = tuple((0, cut, across, cut) for cut in cuts)
        return Layout(across, at, strip, line, tuple(frames), lines)
    down = strip + max(height for _, height in scaled)
    lines = tuple((cut, 0, cut, down) for cut in cuts)
    return Layout(at, down, strip, line, tuple(frames), lines)


def scaled_size(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Width and height of a frame whose long side becomes LONG_SIDE_TILES tiles."""
    long = LONG_SIDE_TILES * pixels
    ratio = width / height
    return (
        (long, max(1, int(long / ratio))) if width > height else (max(1, int(long * ratio)), long)
    )


class Stitching:
    """One picture in the making: frames go in one by one, in order, labelled <IMAGE i>.

    Args:
        sizes: (width, height) of the frames to come.
        pixels: side of a tile.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], pixels: int) -> None:
        self._plan = layout(sizes, pixels)
        self._sizes = sizes
        self._canvas = Image.new("RGB", (self._plan.width, self._plan.height), WHITE)
        self._draw = ImageDraw.Draw(self._canvas)
        self._font = ImageFont.load_default(self._plan.strip)
        self._count = 0
        for ends in self._plan.lines:
            self._draw.line(ends, fill=BLACK, width=self._plan.line)

    def add(self, frame: U8) -> None:
        """Put the next frame, uint8 [h, w, 3] of its announced size, into its place.

        Raises:
            ValueError: it has another size, or there is no place left.
        """
        height, width = frame.shape[:2]
        if self._count == len(self._sizes) or (width, height) != self._sizes[self._count]:
            raise ValueError(f"frame {self._count} of {width}x{height} is not what was laid out")
        place = self._plan.frames[self._count]
        resized = _native.resize_rgb(frame, place.height, place.width)
        self._canvas.paste(Image.fromarray(resized), (place.left, place.top))
        label = f"<IMAGE {self._count}>"
        self._draw.text((place.label_left, place.label_top), label, font=self._font, fill=BLACK)
        self._count += 1

    def picture(self) -> U8:
        """The picture uint8 [height, width, 3]; ValueError while a frame is missing."""
        if self._count < len(self._sizes):
            raise ValueError(f"{len(self._sizes) - self._count} frames are missing")
        return np.array(self._canvas)


def stitch(frames: Sequence[U8], pixels: int) -> U8:
    """One picture uint8 [height, width, 3] of ``frames`` uint8 [h, w, 3]; see ``Stitching``."""
    stitching = Stitching([(frame.shape[1], frame.shape[0]) for frame in frames], pixels)
    for frame in frames:
        stitching.add(frame)
    return stitching.picture()
