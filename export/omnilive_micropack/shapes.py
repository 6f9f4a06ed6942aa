"""How each kind of object and person looks: one large, distinct outline per kind.

It draws into the box it is given and knows neither rooms nor time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from omnilive_micropack.canvas import OUTLINE, Canvas, Rgb, shade

COLOUR_RGB: Mapping[str, Rgb] = {
    "red": (214, 40, 40),
    "green": (46, 160, 67),
    "blue": (38, 84, 214),
    "yellow": (245, 205, 30),
    "purple": (135, 50, 170),
    "orange": (245, 130, 25),
    "white": (245, 245, 245),
    "black": (45, 45, 50),
}
WOOD: Rgb = (139, 96, 55)
STEEL: Rgb = (170, 175, 180)
SKIN: Rgb = (224, 172, 125)
PAPER: Rgb = (250, 248, 235)
GLASS: Rgb = (60, 90, 105)


def _umbrella(c: Canvas, colour: Rgb) -> None:
    c.line([(0.5, 0.1), (0.5, 0.9)], OUTLINE, 0.05)
    c.arc((0.5, 0.8, 0.7, 1.0), 0, 180, OUTLINE, 0.05)
    c.pie((0.0, 0.02, 1.0, 1.0), 180, 360, colour)
    c.pie((0.33, 0.02, 0.67, 1.0), 180, 360, shade(colour, 0.75))


def _mug(c: Canvas, colour: Rgb) -> None:
    c.arc((0.55, 0.3, 1.0, 0.8), -90, 90, shade(colour, 0.8), 0.1)
    c.rectangle((0.1, 0.15, 0.75, 0.98), colour)
    c.ellipse((0.1, 0.05, 0.75, 0.27), shade(colour, 0.6))


def _microwave(c: Canvas, colour: Rgb) -> None:
    c.rectangle((0.0, 0.25, 1.0, 0.95), colour)
    c.rectangle((0.07, 0.35, 0.66, 0.85), GLASS)
    for row in range(3):
        y = 0.37 + 0.17 * row
        c.ellipse((0.76, y, 0.9, y + 0.12), STEEL)


def _ball(c: Canvas, colour: Rgb) -> None:
    c.ellipse((0.05, 0.05, 0.95, 0.95), colour)
    c.arc((0.25, -0.25, 1.25, 0.75), 60, 200, PAPER, 0.05)


def _lamp(c: Canvas, colour: Rgb) -> None:
    c.rectangle((0.45, 0.45, 0.55, 0.92), STEEL)
    c.ellipse((0.22, 0.85, 0.78, 1.0), STEEL)
    c.polygon([(0.32, 0.02), (0.68, 0.02), (0.95, 0.52), (0.05, 0.52)], colour)


def _book(c: Canvas, colour: Rgb) -> None:
    c.polygon([(0.5, 0.3), (0.0, 0.15), (0.0, 0.85), (0.5, 0.98)], colour)
    c.polygon([(0.5, 0.3), (1.0, 0.15), (1.0, 0.85), (0.5, 0.98)], shade(colour, 0.8))
    c.polygon([(0.5, 0.25), (0.07, 0.1), (0.07, 0.75), (0.5, 0.9)], PAPER)
    c.polygon([(0.5, 0.25), (0.93, 0.1), (0.93, 0.75), (0.5, 0.9)], PAPER)


def _key(c: Canvas, colour: Rgb) -> None:
    c.rectangle((0.4, 0.42, 1.0, 0.56), colour)
    c.rectangle((0.78, 0.56, 0.86, 0.76), colour)
    c.rectangle((0.92, 0.56, 1.0, 0.7), colour)
    c.ellipse((0.0, 0.25, 0.48, 0.75), colour)
    c.ellipse((0.13, 0.39, 0.33, 0.61), PAPER)


def _plant(c: Canvas, colour: Rgb) -> None:
    leaf = COLOUR_RGB["green"]
    c.ellipse((0.36, 0.0, 0.64, 0.6), leaf)
    c.ellipse((0.02, 0.12, 0.46, 0.48), shade(leaf, 0.8))
    c.ellipse((0.54, 0.12, 0.98, 0.48), shade(leaf, 1.2))
    c.polygon([(0.2, 0.56), (0.8, 0.56), (0.68, 1.0), (0.32, 1.0)], colour)


def _cat(c: Canvas, colour: Rgb) -> None:
    c.arc((0.65, 0.35, 1.05, 1.0), 150, 360, colour, 0.09)
    c.ellipse((0.2, 0.5, 0.85, 1.0), colour)
    c.polygon([(0.1, 0.32), (0.12, 0.02), (0.32, 0.2)], colour)
    c.polygon([(0.38, 0.2), (0.58, 0.02), (0.6, 0.32)], colour)
    c.ellipse((0.08, 0.14, 0.62, 0.6), colour)
    for x in (0.2, 0.4):
        c.ellipse((x, 0.3, x + 0.1, 0.42), COLOUR_RGB["yellow"])


def _chair(c: Canvas, colour: Rgb) -> None:
    c.rectangle((0.15, 0.0, 0.28, 1.0), shade(colour, 0.8))
    c.rectangle((0.72, 0.55, 0.85, 1.0), shade(colour, 0.8))
    c.rectangle((0.15, 0.0, 0.85, 0.32), colour)
    c.rectangle((0.1, 0.5, 0.9, 0.64), colour)


def _clock(c: Canvas, colour: Rgb) -> None:
    c.ellipse((0.05, 0.05, 0.95, 0.95), colour)
    c.ellipse((0.17, 0.17, 0.83, 0.83), PAPER)
    c.line([(0.5, 0.25), (0.5, 0.5), (0.7, 0.6)], OUTLINE, 0.05)


def _hat(c: Canvas, colour: Rgb) -> None:
    c.ellipse((0.0, 0.62, 1.0, 0.95), colour)
    c.pie((0.2, 0.1, 0.8, 1.4), 180, 360, colour)
    c.rectangle((0.2, 0.6, 0.8, 0.72), shade(colour, 0.5))


def _bottle(c: Canvas, colour: Rgb) -> None:
    c.rectangle((0.42, 0.0, 0.58, 0.4), shade(colour, 0.7))
    c.polygon([(0.42, 0.25), (0.58, 0.25), (0.72, 0.48), (0.28, 0.48)], colour)
    c.rectangle((0.28, 0.46, 0.72, 1.0), colour)
    c.rectangle((0.28, 0.6, 0.72, 0.82), PAPER)


def _box(c: Canvas, colour: Rgb) -> None:
    c.polygon([(0.0, 0.35), (0.3, 0.1), (1.0, 0.1), (0.72, 0.35)], shade(colour, 1.2))
    c.polygon([(0.72, 0.35), (1.0, 0.1), (1.0, 0.72), (0.72, 1.0)], shade(colour, 0.7))
    c.rectangle((0.0, 0.35, 0.72, 1.0), colour)


def _phone(c: Canvas, colour: Rgb) -> None:
    c.rectangle((0.25, 0.0, 0.75, 1.0), colour)
    c.rectangle((0.31, 0.1, 0.69, 0.82), GLASS)
    c.ellipse((0.45, 0.86, 0.55, 0.96), PAPER)


def _guitar(c: Canvas, colour: Rgb) -> None:
    c.rectangle((0.45, 0.0, 0.55, 0.55), WOOD)
    c.ellipse((0.25, 0.4, 0.75, 0.72), colour)
    c.ellipse((0.15, 0.58, 0.85, 1.0), colour)
    c.ellipse((0.4, 0.56, 0.6, 0.74), OUTLINE)


def _kite(c: Canvas, colour: Rgb) -> None:
    c.line([(0.5, 0.7), (0.35, 0.85), (0.6, 1.0)], OUTLINE, 0.04)
    c.polygon([(0.5, 0.0), (0.9, 0.3), (0.5, 0.8), (0.1, 0.3)], colour)
    c.polygon([(0.5, 0.0), (0.9, 0.3), (0.5, 0.3)], shade(colour, 0.7))


def _fish(c: Canvas, colour: Rgb) -> None:
    c.polygon([(0.65, 0.5), (1.0, 0.22), (1.0, 0.78)], shade(colour, 0.75))
    c.ellipse((0.0, 0.2, 0.8, 0.8), colour)
    c.ellipse((0.14, 0.36, 0.27, 0.5), PAPER)


def _figure(c: Canvas, colour: Rgb, hair: Rgb, dress: bool) -> None:
    for x in (0.33, 0.53):
        c.rectangle((x, 0.6, x + 0.14, 1.0), shade(colour, 0.55))
    for x in (0.1, 0.78):
        c.rectangle((x, 0.28, x + 0.12, 0.58), SKIN)
    if dress:
        c.polygon([(0.3, 0.25), (0.7, 0.25), (0.92, 0.8), (0.08, 0.8)], colour)
    else:
        c.rectangle((0.2, 0.25, 0.8, 0.65), colour)
    c.ellipse((0.28, 0.0, 0.72, 0.28), hair)
    c.ellipse((0.33, 0.06, 0.67, 0.27), SKIN)


def _man(c: Canvas, colour: Rgb) -> None:
    _figure(c, colour, (60, 40, 25), dress=False)


def _woman(c: Canvas, colour: Rgb) -> None:
    _figure(c, colour, (90, 45, 20), dress=True)


def _boy(c: Canvas, colour: Rgb) -> None:
    _figure(c.inside(0.1, 0.35, 0.9, 1.0), colour, (190, 140, 50), dress=False)


def _girl(c: Canvas, colour: Rgb) -> None:
    _figure(c.inside(0.1, 0.35, 0.9, 1.0), colour, (160, 70, 30), dress=True)


SHAPES: Mapping[str, Callable[[Canvas, Rgb], None]] = {
    "umbrella": _umbrella,
    "mug": _mug,
    "microwave": _microwave,
    "ball": _ball,
    "lamp": _lamp,
    "book": _book,
    "key": _key,
    "plant": _plant,
    "cat": _cat,
    "chair": _chair,
    "clock": _clock,
    "hat": _hat,
    "bottle": _bottle,
    "box": _box,
    "phone": _phone,
    "guitar": _guitar,
    "kite": _kite,
    "fish": _fish,
    "man": _man,
    "woman": _woman,
    "boy": _boy,
    "girl": _girl,
}


def draw_shape(canvas: Canvas, kind: str, colour: str) -> None:
    """Draw one thing into its box. Raises KeyError for an unknown kind or colour."""
    SHAPES[kind](canvas, COLOUR_RGB[colour])
