"""Cuts a picture into the tiles the image encoder takes: the global view, then the tile map.

Resizes and cuts (spec §1.4); normalization is the encoder's.
"""

from __future__ import annotations

import numpy as np

from omnilive import _native
from omnilive.reasoning.image_tokens import ScaledPicture
from omnilive.reasoning.stitch import U8

PADDING = 255
"""White, below and right of the scaled picture."""


def tiles_of(picture: U8, scaled: ScaledPicture, pixels: int) -> U8:
    """Tiles uint8 [1 + rows * columns, P, P, 3] of ``picture`` uint8 [h, w, 3].

    The first is the whole padded picture squashed to one tile; the others go row by row.
    """
    height, width = scaled.rows * pixels, scaled.columns * pixels
    padded = np.full((height, width, 3), PADDING, np.uint8)
    padded[: scaled.height, : scaled.width] = _native.resize_rgb(
        picture, scaled.height, scaled.width
    )
    tiles = np.empty((1 + scaled.rows * scaled.columns, pixels, pixels, 3), np.uint8)
    tiles[0] = _native.resize_rgb(padded, pixels, pixels)
    tiles[1:] = (
        padded.reshape(scaled.rows, pixels, scaled.columns, pixels, 3)
        .transpose(0, 2, 1, 3, 4)
        .reshape(-1, pixels, pixels, 3)
    )
    return tiles
