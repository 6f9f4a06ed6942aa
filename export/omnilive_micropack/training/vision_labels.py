"""What every patch of a picture shows, as the renderer knows it: the labels towers are trained on.

Arithmetic on boxes; it draws nothing and knows no network.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from omnilive.reasoning.image_tokens import ScaledPicture
from omnilive.reasoning.stitch import Layout
from omnilive_micropack.facts import FrameFacts
from omnilive_micropack.vocabulary import COLOURS, FIGURES, OBJECTS, PLACES, ROOMS
from omnilive_micropack.world import HELD, SHOWN, STANDING

KINDS = (*OBJECTS, *FIGURES)
WHEREABOUTS = (*PLACES, HELD, SHOWN, STANDING)
MOST_COUNTED = 4

FIELDS: Mapping[str, int] = {
    "kind": 1 + len(KINDS),
    "colour": 1 + len(COLOURS),
    "place": 1 + len(WHEREABOUTS),
    "count": 1 + MOST_COUNTED,
    "holder": 1 + len(FIGURES),
    "held": 1 + len(OBJECTS),
    "room": 1 + len(ROOMS),
}
"""Classes of each label; 0 is none: no thing there, nobody holds it, no frame at all (room)."""

KIND, COLOUR, PLACE, COUNT, HOLDER, HELD_KIND, ROOM = range(len(FIELDS))

MARGIN = 0.06
"""Of a thing's box on each side, where a patch may show mostly what is behind it."""

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


def point_labels(facts: FrameFacts, x: F64, y: F64) -> I64:
    """Labels [n, len(FIELDS)] of the points (x, y) [n], fractions of one frame.

    Points outside 0 to 1 show no frame: all their labels are 0.
    """
    labels = np.zeros((len(x), len(FIELDS)), np.int64)
    inside = (x >= 0) & (x < 1) & (y >= 0) & (y < 1)
    labels[inside, ROOM] = 1 + ROOMS.index(facts.room)
    for seen in facts.things:
        left, top, right, bottom = seen.box
        dx, dy = MARGIN * (right - left), MARGIN * (bottom - top)
        hit = inside & (x > left + dx) & (x < right - dx) & (y > top + dy) & (y < bottom - dy)
        labels[hit, :ROOM] = (
            1 + KINDS.index(seen.kind),
            1 + COLOURS.index(seen.colour),
            1 + WHEREABOUTS.index(seen.place),
            min(seen.count, MOST_COUNTED),
            0 if seen.holder is None else 1 + FIGURES.index(seen.holder),
            0 if seen.held is None else 1 + OBJECTS.index(seen.held),
        )
    return labels


def square_labels(facts: FrameFacts, grid: int) -> I64:
    """Labels [grid², len(FIELDS)] of the patches of a frame squashed to a square."""
    centres = (np.arange(grid) + 0.5) / grid
    x, y = np.meshgrid(centres, centres)
    return point_labels(facts, x.ravel(), y.ravel())


def tile_labels(
    frames: list[FrameFacts], plan: Layout, scaled: ScaledPicture, pixels: int, grid: int
) -> I64:
    """Labels [1 + rows * columns, grid², len(FIELDS)] of a stitched picture's tiles.

    The first tile is the whole padded picture squashed, as ``reasoning.tiles.tiles_of`` makes it.

    Args:
        frames: what each frame of the picture shows.
        plan: where the frames are in the picture.
        scaled: the picture's size in tiles.
    """
    step = pixels / grid
    ys = (np.arange(scaled.rows * grid, dtype=np.float64) + 0.5) * step
    xs = (np.arange(scaled.columns * grid, dtype=np.float64) + 0.5) * step
    tile_map = _picture_labels(frames, plan, scaled, xs, ys)
    tiles = tile_map.reshape(scaled.rows, grid, scaled.columns, grid, len(FIELDS))
    centres = (np.arange(grid, dtype=np.float64) + 0.5) / grid
    across, down = centres * (scaled.columns * pixels), centres * (scaled.rows * pixels)
    whole = _picture_labels(frames, plan, scaled, across, down)
    return np.concatenate(
        [
            whole.reshape(1, grid * grid, len(FIELDS)),
            tiles.transpose(0, 2, 1, 3, 4).reshape(-1, grid * grid, len(FIELDS)),
        ]
    )


def _picture_labels(
    frames: list[FrameFacts], plan: Layout, scaled: ScaledPicture, xs: F64, ys: F64
) -> I64:
    """Labels [len(ys), len(xs), len(FIELDS)] at pixels of the scaled picture."""
    x, y = np.meshgrid(xs * (plan.width / scaled.width), ys * (plan.height / scaled.height))
    labels = np.zeros((*x.shape, len(FIELDS)), np.int64)
    for facts, place in zip(frames, plan.frames, strict=True):
        found = point_labels(
            facts,
            ((x - place.left) / place.width).ravel(),
            ((y - place.top) / place.height).ravel(),
        ).reshape(labels.shape)
        shown = found[..., ROOM] > 0
        labels[shown] = found[shown]
    return labels
