"""Weight matrices of the ``ort`` dialect: float32, the blocks of MatMulNBits, or dynamic int8.

It never chooses a format.
"""

from __future__ import annotations

from collections.abc import Iterator

from omnilive_export.graphs.builder import CONTRIB, Array, GraphBuilder, PlannedTensor
from omnilive_export.graphs.ort_dynamic import dynamic_matmul
from omnilive_export.graphs.transposed import transposed
from omnilive_export.precision import FP32, INT8_DYNAMIC, LinearFormat
from omnilive_export.quantize import BlockFormat, quantize_rows
from omnilive_export.reading.row_source import RowSource, elements, row_blocks

ACCURACY_LEVEL_INT8 = 4
"""MatMulNBits: activations are rounded to 8 bits per block, which is what the fast kernels take."""


def ort_matmul(
    b: GraphBuilder, x: str, weight: RowSource, fmt: LinearFormat, name: str, out: str
) -> str:
    """See ``DialectGraph.matmul``."""
    if fmt.kind == FP32:
        n, k = weight.shape
        planned = PlannedTensor(
            name, "float32", (k, n), lambda: transposed(weight, "float32"), elements(weight.shape)
        )
        return b.op("MatMul", [x, b.planned(planned)], out)
    if fmt.kind == INT8_DYNAMIC:
        return dynamic_matmul(b, x, weight, fmt.largest_code, name, out)
    blocks = BlockFormat(fmt.bits, fmt.block, fmt.symmetric)
    return _matmul_nbits(b, x, weight, blocks, name, out)


def _matmul_nbits(
    b: GraphBuilder, x: str, weight: RowSource, fmt: BlockFormat, name: str, out: str
) -> str:
    n, k = weight.shape
    quantized = _QuantizedWeight(weight, fmt)
    count = fmt.blocks(k)
    packed = PlannedTensor(
        f"{name}.q", "uint8", (n, count, fmt.blob_bytes()), quantized.packed, n * k
    )
    scales = PlannedTensor(f"{name}.scales", "float32", (n, count), quantized.scales, 0)
    inputs = [x, b.planned(packed), b.planned(scales)]
    if not fmt.symmetric:
        shape = (n, fmt.zero_point_bytes(k))
        zeros = PlannedTensor(f"{name}.zeros", "uint8", shape, quantized.zero_points, 0)
        inputs.append(b.planned(zeros))
    return b.op(
        "MatMulNBits",
        inputs,
        out,
        domain=CONTRIB,
        K=k,
        N=n,
        bits=fmt.bits,
        block_size=fmt.block,
        accuracy_level=ACCURACY_LEVEL_INT8,
    )


class _QuantizedWeight:
    """One pass over a weight that gives its codes first and its scales after them.

    The three streams are written one after another, so scales and zero points (a small fraction
    of the weight) wait here until the codes are out.
    """

    def __init__(self, weight: RowSource, fmt: BlockFormat) -> None:
        self._weight = weight
        self._format = fmt
        self._scales: list[Array] = []
        self._zeros: list[Array] = []

    def packed(self) -> Iterator[Array]:
        """Codes, row block by row block."""
        for start, stop in row_blocks(self._weight.shape):
            rows = quantize_rows(self._weight.rows(start, stop), self._format)
            self._scales.append(rows.scales)
            if rows.zero_points is not None:
                self._zeros.append(rows.zero_points)
            yield rows.packed

    def scales(self) -> Iterator[Array]:
        """Scales of the codes already given."""
        yield from self._scales
        self._scales.clear()

    def zero_points(self) -> Iterator[Array]:
        """Zero points of the codes already given."""
        yield from self._zeros
        self._zeros.clear()
