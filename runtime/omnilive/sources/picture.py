"""A decoded video frame as an upright RGB array; it never looks at what the picture shows."""

from __future__ import annotations

from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt

Matrix = tuple[int, int, int, int]
"""(a, b, c, d) of a display matrix: the picture's (x, y) is shown at (ax + cy, bx + dy)."""

_IDENTITY: Matrix = (1, 0, 0, 1)


def rgb_of(frame: av.VideoFrame, max_side: int) -> npt.NDArray[np.uint8]:
    """uint8 [h, w, 3], upright, the longer side at most ``max_side`` pixels."""
    scale = min(1.0, max_side / max(frame.width, frame.height))
    picture = frame.reformat(
        width=max(1, round(frame.width * scale)),
        height=max(1, round(frame.height * scale)),
        format="rgb24",
    ).to_ndarray()
    return np.ascontiguousarray(upright(picture, matrix_of(frame)), dtype=np.uint8)


def matrix_of(frame: av.VideoFrame) -> Matrix:
    """The linear part of the frame's display matrix, the identity without one."""
    data = cast("Any", frame.side_data).get("DISPLAYMATRIX")
    if data is None:
        return _IDENTITY
    values = np.frombuffer(bytes(data), np.int32)
    return int(values[0]), int(values[1]), int(values[3]), int(values[4])


def upright_size(width: int, height: int, matrix: Matrix) -> tuple[int, int]:
    """Width and height as shown."""
    return (height, width) if _is_turned(matrix) else (width, height)


def upright(picture: npt.NDArray[Any], matrix: Matrix) -> npt.NDArray[Any]:
    """Apply a display matrix to [h, w, 3]: quarter turns and mirrorings, the nearest otherwise."""
    a, b, c, d = matrix
    if _is_turned(matrix):
        picture = picture.swapaxes(0, 1)
        across, down = c, b
    else:
        across, down = a, d
    return picture[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


def _is_turned(matrix: Matrix) -> bool:
    """Whether width and height change places."""
    a, b, c, d = matrix
    return abs(b) + abs(c) > abs(a) + abs(d)
