"""The fused operators of the ``ort`` dialect that several graph families use.

Each function appends nodes and returns value names. It never touches weights' formats.
"""

from __future__ import annotations

import math

from omnilive_export.graphs.builder import CONTRIB, GraphBuilder
from omnilive_export.reading.row_source import RowSource, read_all
from omnilive_export.weights import LinearWeights, NormWeights

QUICK_GELU = "quick_gelu"
GELU = "gelu"
ACTIVATIONS = (QUICK_GELU, GELU)

QUICK_GELU_ALPHA = 1.702
"""x * sigmoid(1.702 x): CLIP's approximation of GELU."""


def rms_norm(b: GraphBuilder, x: str, weight: RowSource, eps: float, name: str) -> str:
    """RMS norm over the last axis."""
    gamma = b.array(f"{name}.weight", read_all(weight))
    return b.op("SimplifiedLayerNormalization", [x, gamma], name, axis=-1, epsilon=eps)


def add_rms_norm(
    b: GraphBuilder, x: str, delta: str, weight: RowSource, eps: float, name: str
) -> tuple[str, str]:
    """RMS norm of x + delta; returns the normed value and the sum."""
    gamma = b.array(f"{name}.weight", read_all(weight))
    total = f"{name}.sum"
    b.op(
        "SkipSimplifiedLayerNormalization",
        [x, delta, gamma],
        name,
        outputs=[name, "", "", total],
        domain=CONTRIB,
        epsilon=eps,
    )
    return name, total


def layer_norm(b: GraphBuilder, x: str, weights: NormWeights, eps: float, name: str) -> str:
    """Layer norm over the last axis."""
    gamma = b.array(f"{name}.weight", read_all(weights.weight))
    beta = b.array(f"{name}.bias", read_all(weights.bias))
    return b.op("LayerNormalization", [x, gamma, beta], name, axis=-1, epsilon=eps)


def add_layer_norm(
    b: GraphBuilder, x: str, delta: str, weights: NormWeights, eps: float, name: str
) -> tuple[str, str]:
    """Layer norm of x + delta; returns the normed value and the sum."""
    gamma = b.array(f"{name}.weight", read_all(weights.weight))
    beta = b.array(f"{name}.bias", read_all(weights.bias))
    total = f"{name}.sum"
    b.op(
        "SkipLayerNormalization",
        [x, delta, gamma, beta],
        name,
        outputs=[name, "", "", total],
        domain=CONTRIB,
        epsilon=eps,
    )
    return name, total


def activation(b: GraphBuilder, x: str, kind: str, name: str) -> str:
    """``quick_gelu``, or ``gelu`` by the error function."""
    if kind == QUICK_GELU:
        return b.op("QuickGelu", [x], name, domain=CONTRIB, alpha=QUICK_GELU_ALPHA)
    if kind == GELU:
        return b.op("Gelu", [x], name, approximate="none")
    raise ValueError(f"no activation is called {kind!r}")


def attention(
    b: GraphBuilder, qkv: str, heads: int, width: int, bias: LinearWeights, name: str
) -> str:
    """Bidirectional attention of packed qkv [N, S, 3 * width] → [N, S, width].

    The bias of ``bias`` is added here, where the operator does it on the way.
    """
    parts = [f"{name}.{part}" for part in ("q", "k", "v")]
    b.op("Split", [qkv, b.ints(f"split.{width}", [width] * 3)], name, outputs=parts, axis=2)
    inputs = list(parts)
    if bias.bias is not None:
        inputs.append(b.array(f"{name}.qkv_bias", read_all(bias.bias)))
    return b.op(
        "MultiHeadAttention",
        inputs,
        name,
        domain=CONTRIB,
        num_heads=heads,
        scale=1.0 / math.sqrt(width // heads),
    )
