"""Whether two ways to remember came to the same: DESIGN §5's measure, and retrieval but for ties.

It judges results and never makes any.
"""

from __future__ import annotations

import numpy as np

from memory_stream import Recalled
from omnilive.engine.interface import F32
from omnilive.memory.config import RetrievalConfig

TOLERANCE = 1e-5
"""DESIGN §5: max|a-b| / rms(b) in fp32 on tiny and micro engines."""

TIE = 1e-4
"""Probabilities closer than this to the rule's threshold, or to each other, are a tie: a softmax
at temperature 0.1 turns cosines within 1e-5 into probabilities within 1e-4."""


def deviation(actual: F32, expected: F32) -> float:
    """max|a-b| / rms(b); infinite for other shapes, 0 for nothing."""
    if actual.shape != expected.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    rms = np.sqrt(np.mean(np.square(expected, dtype=np.float64)))
    return float(np.abs(actual.astype(np.float64) - expected).max() / rms)


def same_retrieval(a: Recalled, b: Recalled, config: RetrievalConfig) -> bool:
    """Whether the same clips were found, of those that no tie decides.

    For the ``softmax_threshold`` rule with the ``best_clip`` fallback: a clip that only one of
    them found is within a tie of the threshold, or of the best one where the best stands in.
    """
    if config.rule != "softmax_threshold" or config.fallback != "best_clip":
        raise ValueError("knows the ties of softmax_threshold with best_clip only")
    probabilities = b.selection.probabilities
    best = max(probabilities, default=0.0)
    return all(
        abs(probabilities[clip] - config.min_probability) <= TIE
        or (best <= config.min_probability + TIE and best - probabilities[clip] <= TIE)
        for clip in set(a.selection.clips) ^ set(b.selection.clips)
    )
