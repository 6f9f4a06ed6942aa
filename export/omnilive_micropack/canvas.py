"""Drawing in fractions of a box: what shapes, people and rooms are made with.

It knows no object and no time; it draws without antialiasing because that is several times faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw

Rgb = tuple[int, int, int]

OUTLINE: Rgb = (25, 25, 25)


def shade(colour: Rgb, factor: float) -> Rgb:
    """``colour`` made darker (factor < 1) or lighter (factor > 1)."""
    red, green, blue = (max(0, min(255, round(c * factor))) for c in colour)
    return red, green, blue


@dataclass(frozen=True)
class Canvas:
    """A box of a picture in which (0, 0) is the top left and (1, 1) the bottom right.

    Attributes:
        left, top, width, height: the box in pixels.
        stroke: width of outlines in pixels.
    """

    draw: ImageDraw.ImageDraw
    left: float
    top: float
    width: float
    height: float
    stroke: int

    def inside(self, x0: float, y0: float, x1: float, y1: float) -> Canvas:
        """The part of this box between two corners, as a box of its own."""
        left, top = self._point(x0, y0)
        right, bottom = self._point(x1, y1)
        return Canvas(self.draw, left, top, right - left, bottom - top, self.stroke)

    def ellipse(self, box: tuple[float, float, float, float], fill: Rgb) -> None:
        """An outlined ellipse in the box x0, y0, x1, y1."""
        self.draw.ellipse(self._box(box), fill=fill, outline=OUTLINE, width=self.stroke)

    def rectangle(self, box: tuple[float, float, float, float], fill: Rgb) -> None:
        """An outlined rectangle."""
        self.draw.rectangle(self._box(box), fill=fill, outline=OUTLINE, width=self.stroke)

    def polygon(self, points: Sequence[tuple[float, float]], fill: Rgb) -> None:
        """An outlined polygon."""
        pixels = [self._point(x, y) for x, y in points]
        self.draw.polygon(pixels, fill=fill, outline=OUTLINE, width=self.stroke)

    def line(self, points: Sequence[tuple[float, float]], fill: Rgb, width: float) -> None:
        """A line through points; ``width`` is a fraction of the box's width."""
        pixels = [self._point(x, y) for x, y in points]
        self.draw.line(pixels, fill=fill, width=max(1, round(width * self.width)), joint="curve")

    def pie(
        self, box: tuple[float, float, float, float], start: float, end: float, fill: Rgb
    ) -> None:
        """A slice of an ellipse between two angles in degrees, clockwise from three o'clock."""
        pixels = self._box(box)
        self.draw.pieslice(pixels, start, end, fill=fill, outline=OUTLINE, width=self.stroke)

    def arc(
        self,
        box: tuple[float, float, float, float],
        start: float,
        end: float,
        fill: Rgb,
        width: float,
    ) -> None:
        """A stretch of an ellipse's edge; ``width`` is a fraction of the box's width."""
        pixels = max(1, round(width * self.width))
        self.draw.arc(self._box(box), start, end, fill=fill, width=pixels)

    def _point(self, x: float, y: float) -> tuple[float, float]:
        return self.left + x * self.width, self.top + y * self.height

    def _box(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        x0, y0, x1, y1 = box
        return (*self._point(x0, y0), *self._point(x1, y1))
