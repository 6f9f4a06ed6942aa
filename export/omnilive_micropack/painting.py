"""Pictures of a world at a time. Same world, time and size: same pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from omnilive_micropack.canvas import Canvas
from omnilive_micropack.facts import Seen, frame_facts
from omnilive_micropack.rooms import draw_room
from omnilive_micropack.shapes import SKIN, draw_shape
from omnilive_micropack.world import HELD, SHOWN, World

STROKES_PER_SIDE = 120
"""The picture's shorter side in widths of an outline."""


def paint(world: World, at_s: float, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The picture at ``at_s`` seconds: uint8 [height, width, 3]; ``size`` is (width, height)."""
    width, height = size
    picture = Image.new("RGB", size)
    stroke = max(1, min(size) // STROKES_PER_SIDE)
    canvas = Canvas(ImageDraw.Draw(picture), 0, 0, width - 1, height - 1, stroke)
    scene = world.scene_at(at_s)
    draw_room(canvas, scene.room, scene.brightness)
    for seen in frame_facts(world, at_s).things:
        _draw_thing(canvas, seen)
    return np.asarray(picture, np.uint8)


def paint_labels(
    world: World, at_s: float, size: tuple[int, int]
) -> list[tuple[int, tuple[float, float, float, float]]]:
    """The id and box (left, top, right, bottom in pixels) of everything ``paint`` would show."""
    width, height = size
    return [
        (s.id, (s.box[0] * width, s.box[1] * height, s.box[2] * width, s.box[3] * height))
        for s in frame_facts(world, at_s).things
    ]


def _draw_thing(canvas: Canvas, seen: Seen) -> None:
    box = canvas.inside(*seen.box)
    draw_shape(box, seen.kind, seen.colour)
    if seen.place == HELD:
        box.ellipse((-0.06, 0.55, 0.12, 0.8), SKIN)
        box.ellipse((0.88, 0.55, 1.06, 0.8), SKIN)
    elif seen.place == SHOWN:
        box.ellipse((0.3, 0.9, 0.7, 1.08), SKIN)
