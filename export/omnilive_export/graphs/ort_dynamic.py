"""int8 matrices of the ``ort`` dialect whose activations are rounded as they come.

One scale per output for the weights, one scale and zero point per tensor for the activations
(com.microsoft DynamicQuantizeMatMul). It never chooses which layers are stored so.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from omnilive_export.graphs.builder import CONTRIB, Array, GraphBuilder, PlannedTensor
from omnilive_export.graphs.transposed import column_bands
from omnilive_export.reading.row_source import RowSource, elements, row_blocks


def dynamic_matmul(
    b: GraphBuilder, x: str, weight: RowSource, largest: int, name: str, out: str
) -> str:
    """x [..., in] times the transpose of ``weight`` [out, in], both in 8 bits.

    Args:
        b: the graph.
        x: float32.
        weight: [out, in].
        largest: the largest code, at most 127. Below 65, no sum of two products leaves 16 bits,
            which the kernels of x86 without VNNI would cut off.
        name: of the weight.
        out: name of the result.
    """
    n, k = weight.shape
    rounded = _RoundedColumns(weight, largest)
    # The scales come first: codes are written in columns and need the scale of every row.
    scales = PlannedTensor(f"{name}.scales", "float32", (n,), rounded.scales, 0)
    codes = PlannedTensor(f"{name}.q", "int8", (k, n), rounded.codes, elements(weight.shape))
    scale_name = b.planned(scales)
    return b.op("DynamicQuantizeMatMul", [x, b.planned(codes), scale_name], out, domain=CONTRIB)


class _RoundedColumns:
    """Scales of the rows of a weight, then its codes [in, out], band by band."""

    def __init__(self, weight: RowSource, largest: int) -> None:
        self._weight = weight
        self._largest = largest
        self._scales: Array | None = None

    def scales(self) -> Iterator[Array]:
        """float32 [out]: the largest magnitude of each row over the largest code."""
        ends = [
            np.abs(self._weight.rows(start, stop)).max(axis=1)
            for start, stop in row_blocks(self._weight.shape)
        ]
        self._scales = (np.concatenate(ends) / np.float32(self._largest)).astype(np.float32)
        yield self._scales

    def codes(self) -> Iterator[Array]:
        """int8 [in, out]; after ``scales``."""
        assert self._scales is not None
        usable = self._scales >= np.finfo(np.float32).tiny
        inverse = np.divide(
            np.float32(1), self._scales, out=np.zeros_like(self._scales), where=usable
        )
        for band in column_bands(self._weight):
            band *= inverse
            yield np.rint(band, out=band).astype(np.int8)
