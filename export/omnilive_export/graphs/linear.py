"""Linear layers: a matrix product of the dialect, a bias, and Partial-LoRA on chosen rows.

It never knows how a weight matrix is stored.
"""

from __future__ import annotations

from omnilive_export.graphs.builder import GraphBuilder
from omnilive_export.graphs.dialect import DialectGraph, PloraRows
from omnilive_export.precision import LinearFormat
from omnilive_export.reading.row_source import read_all
from omnilive_export.weights import LinearWeights, PloraWeights


def plora_rows(b: GraphBuilder, rows: str) -> PloraRows:
    """Prepare the row positions from the int64 [R] input ``rows`` (R may be 0)."""
    column = b.op("Unsqueeze", [rows, b.ints("axes.0_2", [0, 2])], "plora.row_column")
    scatter = b.op("Pad", [column, b.ints("plora.pads", [0, 0, 1, 0, 0, 0])], "plora.scatter")
    return PloraRows(rows, scatter)


def linear(
    b: DialectGraph,
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
    b: DialectGraph, x: str, weights: LinearWeights, fmt: LinearFormat, name: str, out: str
) -> str:
    if weights.bias is None:
        return b.matmul(x, weights.weight, fmt, f"{name}.weight", out=out)
    product = b.matmul(x, weights.weight, fmt, f"{name}.weight")
    return b.op("Add", [product, b.array(f"{name}.bias", read_all(weights.bias))], out)


def _add_plora(
    b: DialectGraph,
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
    low = b.matmul(plora.gathered[x], weights.a, fmt, f"{name}.Plora_A")
    update = b.matmul(low, weights.b, fmt, f"{name}.Plora_B")
    return b.add_to_rows(y, plora, update, out)
