"""The two-layer projector: the shape of every way into an LM of this family.

It never knows what it projects.
"""

from __future__ import annotations

from omnilive_export.graphs.builder import GraphBuilder
from omnilive_export.graphs.linear import linear
from omnilive_export.graphs.ort_ops import GELU, activation
from omnilive_export.precision import LinearFormat
from omnilive_export.weights import MlpWeights


def mlp(
    b: GraphBuilder, x: str, weights: MlpWeights, fmt: LinearFormat, name: str, *, out: str
) -> str:
    """Linear, GELU by the error function, Linear."""
    middle = linear(b, x, weights.first, fmt, f"{name}.0")
    active = activation(b, middle, GELU, f"{name}.gelu")
    return linear(b, active, weights.second, fmt, f"{name}.2", out=out)
