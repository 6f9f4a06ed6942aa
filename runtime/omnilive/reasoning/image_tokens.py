"""How many tiles and tokens a picture costs, and the order of its tokens (spec §1.4).

Arithmetic on sizes and arrays; it never sees pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from omnilive.engine.interface import F32

GLOBAL_SEPARATOR, ROW_SEPARATOR = 0, 1
"""Rows of the ``vlm_separators`` table: plora_glb_GN and plora_sub_GN."""


@dataclass(frozen=True)
class TileGeometry:
    """Side of a tile in pixels, and its tokens per side after 2x2 mixing."""

    pixels: int
    grid: int


@dataclass(frozen=True)
class ScaledPicture:
    """A picture's size after scaling and after padding with white to whole tiles.

    Attributes:
        width, height: scaled picture, pixels; it lies in the top left corner.
        rows, columns: tiles of the padded picture.
    """

    width: int
    height: int
    rows: int
    columns: int


def image_scaled(width: int, height: int, hd_num: int, pixels: int) -> ScaledPicture:
    """Size under the reference's ``Image_transform`` with at most ``hd_num`` tiles.

    The largest whole number of tiles along the long side that keeps within ``hd_num`` and does
    not enlarge the picture by a tile or more.
    """
    long, short = max(width, height), min(width, height)
    ratio = long / short
    scale = 1
    while (scale + 1) * math.ceil((scale + 1) / ratio) <= hd_num:
        scale += 1
    scale = min(math.ceil(long / pixels), scale)
    new_long = scale * pixels
    return _padded(new_long, max(1, int(new_long / ratio)), width < height, pixels)


def video_scaled(width: int, height: int, pixels: int) -> ScaledPicture:
    """Size under the reference's ``Video_transform``: the short side becomes one tile."""
    long, short = max(width, height), min(width, height)
    return _padded(int(pixels * (long / short)), pixels, width < height, pixels)


def token_count(rows: int, columns: int, grid: int) -> int:
    """Tokens of a picture of rows x columns tiles: global view, separator, tile map, newlines."""
    return (rows * columns + 1) * grid * grid + 1 + (rows + 1) * grid


def arrange(embeds: F32, separators: F32, rows: int, columns: int) -> F32:
    """Tokens [token_count, H] in the order the reasoner was trained on.

    Args:
        embeds: [1 + rows * columns, G * G, H], the global view first, then tiles row by row.
        separators: [2, H], see GLOBAL_SEPARATOR and ROW_SEPARATOR.
        rows, columns: tiles of the picture.
    """
    tiles, patches, _ = embeds.shape
    grid = math.isqrt(patches)
    if tiles != rows * columns + 1 or grid * grid != patches:
        raise ValueError(f"{list(embeds.shape)} is no picture of {rows}x{columns} tiles")
    newline = separators[ROW_SEPARATOR : ROW_SEPARATOR + 1]

    def line(tile: int, y: int) -> F32:
        tokens: F32 = embeds[tile][y * grid : (y + 1) * grid]
        return tokens

    # Slices joined once: where the tiles lie on a device, so do the tokens.
    parts = [part for y in range(grid) for part in (line(0, y), newline)]
    parts.append(separators[GLOBAL_SEPARATOR : GLOBAL_SEPARATOR + 1])
    for first in range(1, tiles, columns):
        for y in range(grid):
            parts += [line(tile, y) for tile in range(first, first + columns)]
            parts.append(newline)
    return np.concatenate(parts)


def _padded(long: int, short: int, portrait: bool, pixels: int) -> ScaledPicture:
    """The reference scales portraits transposed, so its long side is always the width."""
    width, height = (short, long) if portrait else (long, short)
    return ScaledPicture(width, height, math.ceil(height / pixels), math.ceil(width / pixels))
