"""How far one language model's predictions are from another's, on the same teacher-forced tokens.

Arithmetic only: logits in, numbers out. It never runs an engine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
F64 = npt.NDArray[np.float64]


def kl_divergence(reference_logits: Floats, logits: Floats) -> float:
    """Mean over rows of KL(P ‖ Q) in nats, P = softmax(reference), Q = softmax(logits).

    Args:
        reference_logits: [n, V] of the model that is taken as right.
        logits: [n, V] of the other, row for row.

    Returns:
        At least 0; infinite when ``logits`` holds anything but finite numbers.

    Raises:
        ValueError: shapes differ, no row, or a reference that is not finite.
    """
    _check(reference_logits, logits)
    if not np.isfinite(logits).all():
        return float("inf")
    total = 0.0
    # Row by row: float64 copies of all rows of a real vocabulary would be gigabytes.
    for expected, actual in zip(reference_logits, logits, strict=True):
        log_p, log_q = _log_softmax(expected), _log_softmax(actual)
        total += float(np.exp(log_p) @ (log_p - log_q))
    return max(0.0, total / len(logits))


def top1_agreement(reference_logits: Floats, logits: Floats) -> float:
    """Share of rows [n, V] whose most likely token is the reference's.

    Raises:
        ValueError: shapes differ, no row, or a reference that is not finite.
    """
    _check(reference_logits, logits)
    return float(np.mean(reference_logits.argmax(axis=-1) == logits.argmax(axis=-1)))


def _check(reference_logits: Floats, logits: Floats) -> None:
    if reference_logits.ndim != 2 or reference_logits.shape != logits.shape:
        raise ValueError(
            f"expected two [n, V] arrays of one shape, "
            f"found {reference_logits.shape} and {logits.shape}"
        )
    if not logits.size:
        raise ValueError("there is no row of logits to compare")
    if not np.isfinite(reference_logits).all():
        raise ValueError("the reference's logits are not all finite")


def _log_softmax(row: Floats) -> F64:
    shifted = row.astype(np.float64)
    shifted -= shifted.max()
    result: F64 = shifted - np.log(np.exp(shifted).sum())
    return result
