"""Emits linear layers in the format their group of weights has, Partial-LoRA included.

The only file that knows how a weight matrix becomes initializers; it never chooses a format.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from omnilive_export.graphs.builder import CONTRIB, Array, GraphBuilder, PlannedTensor
from omnilive_export.precision import FP32, LinearFormat
from omnilive_export.quantize import BlockFormat, quantize_rows
from omnilive_export.reading.row_source import (
    BLOCK_ELEMENTS,
    RowSource,
    elements,
    read_all,
    row_blocks,
)
from omnilive_export.weights import LinearWeights, PloraWeights

BAND_ELEMENTS = 1 << 26
"""Values of a transposed band of a float32 weight held in memory at once: 256 MiB."""

ACCURACY_LEVEL_INT8 = 4
"""MatMulNBits: activations are rounded to 8 bits per block, which is what the fast kernels take."""


@dataclass
class PloraRows:
    """The rows that get Partial-LoRA in one graph (spec §1.3).

    Attributes:
        rows: name of the int64 [R] input.
        scatter: name of the int64 [1, R, 2] positions of those rows in a [1, S, …] tensor.
        gathered: input value → its gathered rows, so that layers with one input share them.
    """

    rows: str
    scatter: str
    gathered: dict[str, str] = field(default_factory=dict)


def plora_rows(b: GraphBuilder, rows: str) -> PloraRows:
    """Prepare the row positions from the int64 [R] input ``rows`` (R may be 0)."""
    column = b.op("Unsqueeze", [rows, b.ints("axes.0_2", [0, 2])], "plora.row_column")
    scatter = b.op("Pad", [column, b.ints("plora.pads", [0, 0, 1, 0, 0, 0])], "plora.scatter")
    return PloraRows(rows, scatter)


def linear(
    b: GraphBuilder,
    x: str,
    weights: LinearWeights,
    fmt: LinearFormat,
    name: str,
    *,
    out: str | None = None,
    plora: PloraRows | None = None,
    plora_format: LinearFormat | None = None,
) -> str:
    """y = W x + b, plus Partial-LoRA on the rows of ``plora``.

    Args:
        b: the graph.
        x: float32 [..., in]; [1, S, in] with Partial-LoRA.
        weights: the layer.
        fmt: format of W.
        name: of the layer.
        out: name of the result; follows from ``name`` by default.
        plora: rows that get Partial-LoRA; None leaves it out.
        plora_format: format of A and B.

    Returns:
        Name of y, float32 [..., out].
    """
    out = out or f"{name}.out"
    if plora is None or weights.plora is None:
        return _plain_linear(b, x, weights, fmt, name, out)
    y = _plain_linear(b, x, weights, fmt, name, f"{name}.base")
    return _add_plora(b, x, y, weights.plora, plora_format or fmt, name, plora, out)


def _plain_linear(
    b: GraphBuilder, x: str, weights: LinearWeights, fmt: LinearFormat, name: str, out: str
) -> str:
    if weights.bias is None:
        return matmul(b, x, weights.weight, fmt, f"{name}.weight", out=out)
    product = matmul(b, x, weights.weight, fmt, f"{name}.weight")
    return b.op("Add", [product, b.array(f"{name}.bias", read_all(weights.bias))], out)


def matmul(
    b: GraphBuilder,
    x: str,
    weight: RowSource,
    fmt: LinearFormat,
    name: str,
    *,
    out: str | None = None,
) -> str:
    """x [..., in] times the transpose of ``weight`` [out, in], without bias.

    ``name`` is the weight's, ``out`` the result's.
    """
    out = out or f"{name}.out"
    if fmt.kind == FP32:
        n, k = weight.shape
        planned = PlannedTensor(
            name, "float32", (k, n), lambda: _transposed(weight), elements(weight.shape)
        )
        return b.op("MatMul", [x, b.planned(planned)], out)
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


def _add_plora(
    b: GraphBuilder,
    x: str,
    y: str,
    weights: PloraWeights,
    fmt: LinearFormat,
    name: str,
    plora: PloraRows,
    out: str,
) -> str:
    if x not in plora.gathered:
        plora.gathered[x] = b.op("Gather", [x, plora.rows], f"{x}.plora_rows", axis=1)
    low = matmul(b, plora.gathered[x], weights.a, fmt, f"{name}.Plora_A")
    update = matmul(b, low, weights.b, fmt, f"{name}.Plora_B")
    return b.op("ScatterND", [y, plora.scatter, update], out, reduction="add")


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


def _transposed(weight: RowSource) -> Iterator[Array]:
    """The transpose [in, out] of ``weight`` [out, in], band by band of its rows.

    The source is read once per band, so memory is bounded by a band and not by the matrix.
    """
    n, k = weight.shape
    width = max(1, min(k, BAND_ELEMENTS // max(1, n)))
    for first in range(0, k, width):
        last = min(k, first + width)
        band = np.empty((last - first, n), dtype=np.float32)
        for start, stop in row_blocks((n, k), block_elements=BLOCK_ELEMENTS):
            band[:, start:stop] = weight.rows(start, stop)[:, first:last].T
        yield band
