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
LEAF: Rgb = (70, 130, 60)


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
    c.rectangle((0.0, 0.18, 1.0, 0.96), colour)
    c.rectangle((0.09, 0.34, 0.6, 0.8), GLASS)
    for row in range(3):
        y = 0.3 + 0.2 * row
        c.ellipse((0.72, y, 0.88, y + 0.14), STEEL)


def _ball(c: Canvas, colour: Rgb) -> None:
    c.ellipse((0.05, 0.05, 0.95, 0.95), colour)
    c.arc((0.25, -0.25, 1.25, 0.75), 60, 200, PAPER, 0.05)


def _lamp(c: Canvas, colour: Rgb) -> None:
    c.rectangle((0.44, 0.5, 0.56, 0.92), STEEL)
    c.ellipse((0.2, 0.84, 0.8, 1.0), STEEL)
    c.polygon([(0.3, 0.0), (0.7, 0.0), (1.0, 0.58), (0.0, 0.58)], colour)


def _book(c: Canvas, colour: Rgb) -> None:
    c.rectangle((0.2, 0.08, 0.92, 0.98), PAPER)
    c.rectangle((0.1, 0.02, 0.8, 0.9), colour)
    c.rectangle((0.1, 0.02, 0.22, 0.9), shade(colour, 0.6))
    for y in (0.18, 0.32):
        c.rectangle((0.34, y, 0.7, y + 0.05), OUTLINE)


def _key(c: Canvas, colour: Rgb) -> None:
    c.rectangle((0.4, 0.38, 1.0, 0.6), colour)
    c.rectangle((0.66, 0.6, 0.77, 0.84), colour)
    c.rectangle((0.87, 0.6, 1.0, 0.9), colour)
    c.ellipse((0.0, 0.18, 0.58, 0.82), colour)
    c.ellipse((0.17, 0.37, 0.41, 0.63), OUTLINE)


def _plant(c: Canvas, colour: Rgb) -> None:
    c.polygon([(0.5, 0.52), (0.02, 0.3), (0.18, 0.04)], LEAF)
    c.polygon([(0.5, 0.52), (0.98, 0.3), (0.82, 0.04)], LEAF)
    c.polygon([(0.4, 0.52), (0.5, 0.0), (0.6, 0.52)], shade(LEAF, 1.3))
    c.rectangle((0.1, 0.46, 0.9, 0.6), colour)
    c.polygon([(0.16, 0.6), (0.84, 0.6), (0.72, 1.0), (0.28, 1.0)], colour)


def _cat(c: Canvas, colour: Rgb) -> None:
    c.arc((0.6, 0.35, 0.98, 1.0), 150, 360, colour, 0.09)
    c.ellipse((0.2, 0.5, 0.85, 1.0), colour)
    c.polygon([(0.1, 0.32), (0.12, 0.02), (0.32, 0.2)], colour)
    c.polygon([(0.38, 0.2), (0.58, 0.02), (0.6, 0.32)], colour)
    c.ellipse((0.08, 0.14, 0.62, 0.6), colour)
    for x in (0.2, 0.4):
        c.ellipse((x, 0.3, x + 0.1, 0.42), COLOUR_RGB["yellow"])


def _chair(c: Canvas, colour: Rgb) -> None:
    for x in (0.12, 0.76):
        c.rectangle((x, 0.6, x + 0.14, 1.0), shade(colour, 0.6))
    c.rectangle((0.18, 0.0, 0.82, 0.56), colour)
    c.rectangle((0.34, 0.1, 0.42, 0.56), OUTLINE)
    c.rectangle((0.58, 0.1, 0.66, 0.56), OUTLINE)
    c.rectangle((0.06, 0.52, 0.94, 0.68), colour)


def _clock(c: Canvas, colour: Rgb) -> None:
    for x in (0.12, 0.68):
        c.ellipse((x, 0.0, x + 0.22, 0.22), STEEL)
    c.ellipse((0.03, 0.06, 0.97, 1.0), colour)
    c.ellipse((0.27, 0.3, 0.73, 0.76), PAPER)
    c.line([(0.5, 0.36), (0.5, 0.55), (0.64, 0.6)], OUTLINE, 0.05)


def _helmet(c: Canvas, colour: Rgb) -> None:
    c.pie((0.04, 0.05, 0.96, 1.45), 180, 360, colour)
    c.pie((0.4, 0.05, 0.6, 1.45), 180, 360, shade(colour, 0.6))
    c.rectangle((0.0, 0.72, 1.0, 0.9), shade(colour, 0.8))


def _bottle(c: Canvas, colour: Rgb) -> None:
    c.rectangle((0.4, 0.0, 0.6, 0.3), shade(colour, 0.7))
    c.polygon([(0.4, 0.18), (0.6, 0.18), (0.8, 0.42), (0.2, 0.42)], colour)
    c.rectangle((0.2, 0.42, 0.8, 1.0), colour)
    c.rectangle((0.2, 0.58, 0.8, 0.76), PAPER)


def _suitcase(c: Canvas, colour: Rgb) -> None:
    c.arc((0.32, 0.06, 0.68, 0.5), 180, 360, OUTLINE, 0.09)
    c.rectangle((0.0, 0.26, 1.0, 0.98), colour)
    for x in (0.16, 0.7):
        c.rectangle((x, 0.26, x + 0.14, 0.98), shade(WOOD, 0.7))


def _telephone(c: Canvas, colour: Rgb) -> None:
    c.polygon([(0.3, 0.3), (0.7, 0.3), (1.0, 1.0), (0.0, 1.0)], colour)
    c.ellipse((0.32, 0.5, 0.68, 0.88), PAPER)
    c.ellipse((0.44, 0.63, 0.56, 0.75), OUTLINE)
    c.rectangle((0.1, 0.06, 0.9, 0.24), colour)
    for x in (0.0, 0.74):
        c.ellipse((x, 0.06, x + 0.26, 0.42), shade(colour, 0.8))


def _guitar(c: Canvas, colour: Rgb) -> None:
    c.rectangle((0.43, 0.0, 0.57, 0.5), WOOD)
    c.ellipse((0.2, 0.28, 0.8, 0.66), colour)
    c.ellipse((0.06, 0.46, 0.94, 1.0), colour)
    c.ellipse((0.38, 0.52, 0.62, 0.74), OUTLINE)


def _kite(c: Canvas, colour: Rgb) -> None:
    c.line([(0.5, 0.7), (0.35, 0.9), (0.65, 1.0)], OUTLINE, 0.05)
    c.polygon([(0.5, 0.0), (1.0, 0.34), (0.5, 0.86), (0.0, 0.34)], colour)
    c.line([(0.0, 0.34), (1.0, 0.34)], OUTLINE, 0.05)
    c.line([(0.5, 0.0), (0.5, 0.86)], OUTLINE, 0.05)


def _fish(c: Canvas, colour: Rgb) -> None:
    c.polygon([(0.6, 0.5), (1.0, 0.14), (1.0, 0.86)], shade(colour, 0.75))
    c.polygon([(0.3, 0.3), (0.5, 0.06), (0.62, 0.34)], shade(colour, 0.75))
    c.ellipse((0.0, 0.2, 0.82, 0.8), colour)
    c.ellipse((0.12, 0.36, 0.27, 0.52), PAPER)


def _figure(
    c: Canvas, colour: Rgb, hair: Rgb, dress: bool, *, beard: bool = False, tails: bool = False
) -> None:
    for x in (0.33, 0.53):
        c.rectangle((x, 0.66, x + 0.14, 1.0), SKIN if dress else (70, 70, 90))
    for x in (0.06, 0.8):
        c.rectangle((x, 0.34, x + 0.14, 0.64), SKIN)
    if dress:
        c.ellipse((0.14, 0.0, 0.86, 0.42), hair)
        c.polygon([(0.26, 0.32), (0.74, 0.32), (1.0, 0.86), (0.0, 0.86)], colour)
    else:
        c.rectangle((0.16, 0.32, 0.84, 0.72), colour)
        c.ellipse((0.24, 0.0, 0.76, 0.3), hair)
    if tails:
        c.ellipse((0.0, 0.08, 0.24, 0.34), hair)
        c.ellipse((0.76, 0.08, 1.0, 0.34), hair)
    c.ellipse((0.28, 0.05, 0.72, 0.32), SKIN)
    if beard:
        c.pie((0.28, 0.05, 0.72, 0.36), 0, 180, hair)


def _man(c: Canvas, colour: Rgb) -> None:
    _figure(c, colour, (60, 40, 25), dress=False, beard=True)


def _woman(c: Canvas, colour: Rgb) -> None:
    _figure(c, colour, (90, 45, 20), dress=True)


def _boy(c: Canvas, colour: Rgb) -> None:
    _figure(c.inside(0.1, 0.3, 0.9, 1.0), colour, (235, 200, 80), dress=False)


def _girl(c: Canvas, colour: Rgb) -> None:
    _figure(c.inside(0.1, 0.3, 0.9, 1.0), colour, (210, 110, 40), dress=True, tails=True)


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
    "helmet": _helmet,
    "bottle": _bottle,
    "suitcase": _suitcase,
    "telephone": _telephone,
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
