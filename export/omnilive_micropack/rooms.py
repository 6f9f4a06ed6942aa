"""How each room looks, and where in the picture its places are.

It draws what stands still; things and people come from ``scenes.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from omnilive_micropack.canvas import OUTLINE, Canvas, Rgb, shade
from omnilive_micropack.shapes import GLASS, STEEL, WOOD

PLACE_ANCHORS: Mapping[str, tuple[float, float]] = {
    "on the left": (0.09, 0.97),
    "in the middle": (0.46, 0.97),
    "on the right": (0.91, 0.97),
    "on the floor": (0.28, 0.97),
    "on the table": (0.68, 0.66),
    "on the shelf": (0.14, 0.4),
    "next to the door": (0.8, 0.93),
    "in front of the window": (0.46, 0.6),
}
"""Middle of a thing's foot at each place, in fractions of the picture's width and height."""

FLOOR_TOP = 0.7
"""Where wall and floor meet, in fractions of the height."""


@dataclass(frozen=True)
class RoomLook:
    """Colours of a room and what only it has."""

    wall: Rgb
    floor: Rgb
    furniture: Callable[[Canvas], None]


def _stove(c: Canvas) -> None:
    c.rectangle((0.2, 0.42, 0.4, 0.8), STEEL)
    c.rectangle((0.22, 0.54, 0.38, 0.74), GLASS)
    for x in (0.23, 0.3, 0.37):
        c.ellipse((x - 0.015, 0.45, x + 0.015, 0.5), OUTLINE)


def _bed(c: Canvas) -> None:
    c.rectangle((0.2, 0.6, 0.56, 0.84), (240, 240, 250))
    c.rectangle((0.3, 0.62, 0.56, 0.84), (120, 150, 210))
    c.rectangle((0.18, 0.45, 0.21, 0.88), WOOD)


def _desk_screen(c: Canvas) -> None:
    c.rectangle((0.24, 0.34, 0.36, 0.56), OUTLINE)
    c.rectangle((0.25, 0.36, 0.35, 0.53), (90, 170, 220))
    c.rectangle((0.18, 0.58, 0.42, 0.62), WOOD)
    c.rectangle((0.19, 0.62, 0.21, 0.84), WOOD)
    c.rectangle((0.39, 0.62, 0.41, 0.84), WOOD)


def _tree(c: Canvas) -> None:
    c.rectangle((0.285, 0.4, 0.325, 0.8), WOOD)
    c.ellipse((0.2, 0.04, 0.41, 0.5), (40, 120, 50))
    c.ellipse((0.62, 0.05, 0.7, 0.19), (255, 220, 60))


def _stairs(c: Canvas) -> None:
    for step in range(6):
        x, y = 0.18 + 0.04 * step, 0.78 - 0.08 * step
        c.rectangle((x, y, x + 0.05, 0.82), shade(WOOD, 1.0 + 0.08 * step))


def _car(c: Canvas) -> None:
    c.polygon([(0.24, 0.5), (0.4, 0.5), (0.45, 0.62), (0.19, 0.62)], GLASS)
    c.rectangle((0.15, 0.6, 0.5, 0.78), (190, 60, 60))
    for x in (0.2, 0.4):
        c.ellipse((x, 0.7, x + 0.06, 0.84), OUTLINE)


ROOM_LOOKS: Mapping[str, RoomLook] = {
    "kitchen": RoomLook((244, 228, 188), (150, 110, 80), _stove),
    "bedroom": RoomLook((205, 190, 228), (120, 90, 120), _bed),
    "office": RoomLook((190, 205, 215), (85, 95, 105), _desk_screen),
    "garden": RoomLook((150, 205, 245), (105, 175, 80), _tree),
    "hall": RoomLook((225, 170, 140), (110, 60, 50), _stairs),
    "garage": RoomLook((120, 125, 125), (70, 70, 72), _car),
}


def draw_room(canvas: Canvas, room: str, brightness: float) -> None:
    """Draw a whole room; ``brightness`` 1.0 is as designed. Raises KeyError for an unknown room."""
    look = ROOM_LOOKS[room]
    canvas.rectangle((0, 0, 1, FLOOR_TOP), shade(look.wall, brightness))
    canvas.rectangle((0, FLOOR_TOP, 1, 1), shade(look.floor, brightness))
    _window(canvas)
    look.furniture(canvas)
    _shelf(canvas)
    _door(canvas)
    _table(canvas)


def _window(c: Canvas) -> None:
    c.rectangle((0.38, 0.08, 0.54, 0.36), (200, 230, 250))
    c.line([(0.46, 0.08), (0.46, 0.36)], WOOD, 0.006)
    c.line([(0.38, 0.22), (0.54, 0.22)], WOOD, 0.006)


def _shelf(c: Canvas) -> None:
    c.rectangle((0.05, 0.4, 0.23, 0.43), WOOD)


def _door(c: Canvas) -> None:
    c.rectangle((0.87, 0.22, 0.98, 0.78), shade(WOOD, 1.3))
    c.ellipse((0.885, 0.5, 0.9, 0.53), STEEL)


def _table(c: Canvas) -> None:
    c.rectangle((0.57, 0.66, 0.79, 0.7), shade(WOOD, 0.8))
    for x in (0.585, 0.755):
        c.rectangle((x, 0.7, x + 0.02, 0.9), shade(WOOD, 0.7))
