"""Pictures of a script at a time. Same script, time and size: same pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from omnilive_micropack.canvas import Canvas
from omnilive_micropack.rooms import draw_room
from omnilive_micropack.scenes import FIGURE_HEIGHT, OBJECT_HEIGHT, Script, Thing
from omnilive_micropack.shapes import draw_shape
from omnilive_micropack.vocabulary import FIGURES

FIGURE_ASPECT = 0.4
"""Width of a person over their height."""

STROKES_PER_SIDE = 120
"""The picture's shorter side in widths of an outline."""


def paint(script: Script, at_s: float, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The picture at ``at_s`` seconds: uint8 [height, width, 3]; ``size`` is (width, height)."""
    width, height = size
    picture = Image.new("RGB", size)
    stroke = max(1, min(size) // STROKES_PER_SIDE)
    canvas = Canvas(ImageDraw.Draw(picture), 0, 0, width - 1, height - 1, stroke)
    scene = script.scene_at(at_s)
    draw_room(canvas, scene.room, scene.brightness)
    shown = [thing for thing in scene.things if thing.visible(at_s)]
    for thing in sorted(shown, key=lambda thing: thing.foot(at_s)[1]):
        _draw_thing(canvas, thing, at_s)
    return np.asarray(picture, np.uint8)


def _draw_thing(canvas: Canvas, thing: Thing, at_s: float) -> None:
    is_figure = thing.kind in FIGURES
    height = (FIGURE_HEIGHT if is_figure else OBJECT_HEIGHT) * canvas.height
    width = height * (FIGURE_ASPECT if is_figure else 1.0)
    x, y = thing.foot(at_s)
    left = min(max(x * canvas.width - width / 2, 0.0), canvas.width - width)
    box = Canvas(canvas.draw, left, y * canvas.height - height, width, height, canvas.stroke)
    draw_shape(box, thing.kind, thing.colour)
