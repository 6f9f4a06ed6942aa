"""The two-layer projector: the shape of every way into an LM of this family.

It never knows what it projects.
"""

from __future__ import annotations

from omnilive_export.graphs.dialect import GELU, DialectGraph
from omnilive_export.graphs.linear import linear
from omnilive_export.precision import LinearFormat
from omnilive_export.weights import MlpWeights


def mlp(
    b: DialectGraph, x: str, weights: MlpWeights, fmt: LinearFormat, name: str, *, out: str
) -> str:
    """Linear, GELU by the error function, Linear."""
    middle = linear(b, x, weights.first, fmt, f"{name}.0")
    active = b.activation(middle, GELU, f"{name}.gelu")
    return linear(b, active, weights.second, fmt, f"{name}.2", out=out)
