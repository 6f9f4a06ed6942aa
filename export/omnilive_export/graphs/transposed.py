"""Transposes weight matrices band by band, so that a matrix is never held whole.

It never changes a value but by rounding to the type asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from omnilive_export.reading.row_source import F32, RowSource, row_blocks

BAND_ELEMENTS = 1 << 26
"""Values of a transposed band of a float32 weight held in memory at once: 256 MiB."""


def column_bands(
    weight: RowSource, *, band_elements: int = BAND_ELEMENTS, multiple: int = 1
) -> Iterator[F32]:
    """Columns [first, last) of ``weight`` [out, in] as float32 [last - first, out], in order.

    The source is read once per band, so memory is bounded by a band and not by the matrix.

    Args:
        weight: the matrix.
        band_elements: values in a band, unless ``multiple`` columns hold more.
        multiple: what the columns of a band are a multiple of, but for the last band.
    """
    n, k = weight.shape
    width = band_elements // max(1, n) // multiple * multiple
    width = max(multiple, min(k, width))
    for first in range(0, k, width):
        last = min(k, first + width)
        band = np.empty((last - first, n), dtype=np.float32)
        for start, stop in row_blocks((n, k)):
            band[:, start:stop] = weight.rows(start, stop)[:, first:last].T
        yield band


def transposed(weight: RowSource, dtype: str) -> Iterator[npt.NDArray[Any]]:
    """The transpose [in, out] of ``weight`` [out, in] as ``dtype``."""
    for band in column_bands(weight):
        yield band.astype(dtype, copy=False)
