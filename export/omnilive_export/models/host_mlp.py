"""Runs a projector on a few rows with NumPy, for tables that are stored already projected.

It never runs at scale: weights are read block by block and multiplied in float64.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from omnilive_export.reading.row_source import F32, read_all, row_blocks
from omnilive_export.weights import LinearWeights, MlpWeights

F64 = npt.NDArray[np.float64]


def host_mlp(rows: F32, weights: MlpWeights) -> F32:
    """Linear, GELU by the error function, Linear: [n, in] → [n, out]."""
    middle = _linear(rows.astype(np.float64), weights.first)
    return _linear(_gelu(middle), weights.second).astype(np.float32)


def _linear(x: F64, weights: LinearWeights) -> F64:
    out = np.empty((len(x), weights.weight.shape[0]), dtype=np.float64)
    for start, stop in row_blocks(weights.weight.shape):
        out[:, start:stop] = x @ weights.weight.rows(start, stop).T.astype(np.float64)
    if weights.bias is not None:
        out += read_all(weights.bias)
    return out


def _gelu(x: F64) -> F64:
    # NumPy has no error function, and a few thousand values do not call for a library.
    erf = np.array([math.erf(v) for v in (x / math.sqrt(2.0)).ravel()]).reshape(x.shape)
    return 0.5 * x * (1.0 + erf)
