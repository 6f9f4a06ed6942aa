"""How each room looks, and where in the picture its places are.

It draws what stands still; things and people come with the world.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from omnilive_micropack.canvas import OUTLINE, Canvas, Rgb, shade
from omnilive_micropack.shapes import GLASS, STEEL, WOOD

PLACE_ANCHORS: Mapping[str, tuple[float, float]] = {
    "on the shelf": (0.125, 0.46),
    "by the window": (0.375, 0.46),
    "on the cupboard": (0.625, 0.46),
    "on the floor": (0.125, 0.95),
    "on the table": (0.375, 0.95),
    "by the door": (0.625, 0.95),
}
"""Middle of a thing's foot at each place, in fractions of the picture's width and height."""

STANDING_ANCHORS = ((0.875, 0.97), (0.625, 0.97))
"""Middle of a person's feet; the second covers the places of ``SECOND_PERSON_COVERS``."""

SECOND_PERSON_COVERS = ("on the cupboard", "by the door")

SHOWN_ANCHOR = (0.75, 0.93)
"""Middle of the foot of what is held up; it covers people and ``SECOND_PERSON_COVERS``."""

FLOOR_TOP = 0.72
"""Where wall and floor meet, in fractions of the height."""


@dataclass(frozen=True)
class RoomLook:
    """Colours of a room and what only it has, on its right wall."""

    wall: Rgb
    floor: Rgb
    furniture: Callable[[Canvas], None]


def _stove(c: Canvas) -> None:
    c.rectangle((0.77, 0.4, 0.99, 0.85), STEEL)
    c.rectangle((0.79, 0.54, 0.97, 0.78), GLASS)
    for x in (0.81, 0.88, 0.95):
        c.ellipse((x - 0.015, 0.43, x + 0.015, 0.48), OUTLINE)


def _bed(c: Canvas) -> None:
    c.rectangle((0.76, 0.5, 1.0, 0.88), (240, 240, 250))
    c.rectangle((0.76, 0.62, 1.0, 0.88), (120, 150, 210))
    c.rectangle((0.75, 0.35, 0.78, 0.92), WOOD)


def _desk_screen(c: Canvas) -> None:
    c.rectangle((0.79, 0.2, 0.97, 0.5), OUTLINE)
    c.rectangle((0.805, 0.23, 0.955, 0.46), (90, 170, 220))
    c.rectangle((0.76, 0.56, 1.0, 0.61), WOOD)
    c.rectangle((0.775, 0.61, 0.8, 0.9), WOOD)


def _tree(c: Canvas) -> None:
    c.rectangle((0.86, 0.4, 0.9, 0.85), WOOD)
    c.ellipse((0.76, 0.06, 1.0, 0.56), (40, 120, 50))


def _stairs(c: Canvas) -> None:
    for step in range(6):
        x, y = 0.76 + 0.04 * step, 0.84 - 0.1 * step
        c.rectangle((x, y, x + 0.05, 0.9), shade(WOOD, 1.0 + 0.08 * step))


ROOM_LOOKS: Mapping[str, RoomLook] = {
    "kitchen": RoomLook((244, 228, 188), (150, 110, 80), _stove),
    "bedroom": RoomLook((205, 190, 228), (120, 90, 120), _bed),
    "office": RoomLook((172, 184, 192), (85, 95, 105), _desk_screen),
    "garden": RoomLook((150, 205, 245), (105, 175, 80), _tree),
    "hall": RoomLook((225, 170, 140), (110, 60, 50), _stairs),
}


def draw_room(canvas: Canvas, room: str, brightness: float) -> None:
    """Draw a whole room; ``brightness`` 1.0 is as designed. Raises KeyError for an unknown room."""
    look = ROOM_LOOKS[room]
    canvas.rectangle((0, 0, 1, FLOOR_TOP), shade(look.wall, brightness))
    canvas.rectangle((0, FLOOR_TOP, 1, 1), shade(look.floor, brightness))
    look.furniture(canvas)
    _shelf(canvas)
    _window(canvas)
    _cupboard(canvas)
    _rug(canvas)
    _table(canvas)
    _door(canvas)


def _shelf(c: Canvas) -> None:
    c.rectangle((0.0, 0.45, 0.25, 0.49), WOOD)


def _window(c: Canvas) -> None:
    c.rectangle((0.265, 0.02, 0.48, 0.47), (200, 230, 250))
    c.rectangle((0.365, 0.02, 0.38, 0.47), PANE)


PANE: Rgb = (250, 250, 250)


def _cupboard(c: Canvas) -> None:
    c.rectangle((0.505, 0.45, 0.735, 0.58), shade(WOOD, 1.3))
    c.rectangle((0.615, 0.45, 0.625, 0.58), WOOD)


def _rug(c: Canvas) -> None:
    c.ellipse((0.01, 0.84, 0.24, 1.0), (150, 120, 160))


def _table(c: Canvas) -> None:
    c.rectangle((0.26, 0.9, 0.485, 0.95), shade(WOOD, 0.8))
    for x in (0.27, 0.455):
        c.rectangle((x, 0.95, x + 0.02, 1.0), shade(WOOD, 0.7))


def _door(c: Canvas) -> None:
    c.rectangle((0.51, 0.6, 0.73, 0.97), shade(WOOD, 1.6))
    c.ellipse((0.7, 0.76, 0.72, 0.8), STEEL)
