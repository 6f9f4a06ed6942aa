"""Matrices that are read row block by row block: the only form in which weights travel here.

Nothing in this file may hold more than the block that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

BLOCK_ELEMENTS = 1 << 22
"""Values per block of rows, unless one row is longer: 16 MiB as float32."""


class RowSource(Protocol):
    """A tensor whose leading axis can be read in parts."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape; at least one axis."""
        ...

    def rows(self, start: int, stop: int) -> F32:
        """Rows [start, stop) as a fresh float32 array [stop - start, *shape[1:]]."""
        ...


@dataclass(frozen=True)
class RowRange:
    """Rows [start, stop) of ``source``."""

    source: RowSource
    start: int
    stop: int


class PickedRows:
    """Rows of several sources, one after another: concatenation and reordering without a copy.

    Args:
        ranges: the rows, in order; all sources agree in shape after the leading axis.
    """

    def __init__(self, ranges: tuple[RowRange, ...]) -> None:
        rests = {r.source.shape[1:] for r in ranges}
        if len(rests) != 1:
            raise ValueError(f"rows of different shapes cannot be stacked: {sorted(rests)}")
        self._ranges = ranges
        count = sum(r.stop - r.start for r in ranges)
        self._shape: tuple[int, ...] = (count, *rests.pop())

    @property
    def shape(self) -> tuple[int, ...]:
        """[sum of the ranges' lengths, *rest]."""
        return self._shape

    def rows(self, start: int, stop: int) -> F32:
        """Rows [start, stop) in the picked order."""
        out = np.empty((stop - start, *self._shape[1:]), dtype=np.float32)
        begin = 0
        for part in self._ranges:
            length = part.stop - part.start
            first = max(start, begin)
            last = min(stop, begin + length)
            if first < last:
                offset = part.start - begin
                out[first - start : last - start] = part.source.rows(first + offset, last + offset)
            begin += length
        return out


class ArrayRows:
    """An array in memory as a row source; for small tensors that were computed."""

    def __init__(self, values: npt.ArrayLike) -> None:
        self._values = np.ascontiguousarray(values, dtype=np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return tuple(self._values.shape)

    def rows(self, start: int, stop: int) -> F32:
        """A copy of rows [start, stop)."""
        rows: F32 = self._values[start:stop].copy()
        return rows


def stacked(*sources: RowSource) -> PickedRows:
    """All rows of ``sources``, one source after another."""
    return PickedRows(tuple(RowRange(s, 0, s.shape[0]) for s in sources))


def read_all(source: RowSource) -> F32:
    """The whole tensor as float32; only for tensors known to be small."""
    return source.rows(0, source.shape[0])


def elements(shape: tuple[int, ...]) -> int:
    """Number of values in a tensor of this shape."""
    return int(np.prod(shape, dtype=np.int64))


def row_blocks(
    shape: tuple[int, ...], *, block_elements: int = BLOCK_ELEMENTS
) -> Iterator[tuple[int, int]]:
    """Cut the rows of ``shape`` into (start, stop) ranges of about ``block_elements`` values."""
    count = shape[0]
    step = max(1, block_elements // max(1, elements(shape[1:])))
    for start in range(0, count, step):
        yield start, min(count, start + step)
