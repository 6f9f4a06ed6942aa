"""Weight matrices of the ``ort`` dialect: float32, or the blocks of MatMulNBits.

It never chooses a format.
"""

from __future__ import annotations

from omnilive_export.graphs.builder import CONTRIB, GraphBuilder, PlannedTensor
from omnilive_export.graphs.transposed import transposed
from omnilive_export.precision import LinearFormat
from omnilive_export.quantizing.methods import block_format
from omnilive_export.quantizing.quantizer import QuantizedWeight
from omnilive_export.reading.row_source import RowSource, elements

ACCURACY_LEVEL_INT8 = 4
"""MatMulNBits: activations are rounded to 8 bits per block, which is what the fast kernels take."""


def float_matmul(b: GraphBuilder, x: str, weight: RowSource, name: str, out: str) -> str:
    """See ``DialectGraph.matmul``: ``weight`` as floats."""
    n, k = weight.shape
    planned = PlannedTensor(
        name, "float32", (k, n), lambda: transposed(weight, "float32"), elements(weight.shape)
    )
    return b.op("MatMul", [x, b.planned(planned)], out)


def block_matmul(
    b: GraphBuilder,
    x: str,
    quantized: QuantizedWeight,
    fmt: LinearFormat,
    name: str,
    out: str,
) -> str:
    """See ``DialectGraph.matmul``: a weight in blocks."""
    blocks = block_format(fmt)
    n, k = quantized.shape
    count = blocks.blocks(k)
    packed = PlannedTensor(
        f"{name}.q", "uint8", (n, count, blocks.blob_bytes()), quantized.packed, n * k
    )
    scales = PlannedTensor(f"{name}.scales", "float32", (n, count), quantized.scales, 0)
    inputs = [x, b.planned(packed), b.planned(scales)]
    if not fmt.symmetric:
        shape = (n, blocks.zero_point_bytes(k))
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
