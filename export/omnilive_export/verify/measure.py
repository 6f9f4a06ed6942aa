"""How far an engine is from its source: the measures, their tolerances and the accuracy record.

Arithmetic only; it never runs an engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from omnilive.errors import BuildError

F32 = npt.NDArray[np.float32]

# float32 engines differ from the reference by summation order only.
FP32_RELATIVE_ERROR = 1e-4
# Least cosine of an output with the reference's, by the coarsest of an engine's weights. On seeded
# random miniatures (blocks of 32 and 128) the worst output had 0.9985 in int8 and 0.873 in int4:
# random weights have no directions that matter more than others, so trained ones come closer.
LEAST_COSINE = {"int8": 0.99, "int8-dynamic": 0.99, "int4": 0.8}


@dataclass(frozen=True, eq=False)
class Comparison:
    """One output of one case: what the engine gave and what the reference gave, of equal shape.

    ``logits`` marks rows over a vocabulary, for which the top-1 agreement is counted too.
    """

    case: str
    actual: F32
    expected: F32
    logits: bool = False


def relative_error(actual: F32, expected: F32) -> float:
    """max|a - b| / rms(b); infinite when the engine gave anything but finite numbers."""
    if not np.isfinite(actual).all():
        return float("inf")
    difference = np.abs(actual.astype(np.float64) - expected)
    rms = np.sqrt(np.mean(np.square(expected, dtype=np.float64)))
    return float(difference.max() / rms)


def cosine(actual: F32, expected: F32) -> float:
    """Cosine of the two outputs as flat vectors; -1 when the engine gave non-finite numbers."""
    if not np.isfinite(actual).all():
        return -1.0
    a, b = actual.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def top1_agreement(actual: F32, expected: F32) -> float:
    """Share of rows [n, V] with the same largest logit."""
    return float(np.mean(actual.argmax(-1) == expected.argmax(-1)))


def tolerance(precision: Mapping[str, str]) -> dict[str, float]:
    """The tolerance of an engine by its manifest's precision per tensor group."""
    kinds = set(precision.values())
    for kind in ("int4", "int8-dynamic", "int8"):
        if kind in kinds:
            return {"cosine": LEAST_COSINE[kind]}
    return {"relative_error": FP32_RELATIVE_ERROR}


def accuracy_record(
    reference: str, precision: Mapping[str, str], comparisons: Iterable[Comparison], *, where: str
) -> dict[str, Any]:
    """The accuracy record of one engine: its worst case over all comparisons.

    Keys: ``reference`` (what it was compared with), ``inputs`` (the cases), ``relative_error``
    (largest), ``cosine`` (least), ``top1`` (over all logit rows; None without logits),
    ``tolerance`` (measure → limit), ``passed``.

    Raises:
        BuildError: an output of another shape than the reference's.
    """
    cases: list[str] = []
    errors: list[float] = []
    cosines: list[float] = []
    agreements: list[float] = []
    weights: list[int] = []
    for item in comparisons:
        if item.actual.shape != item.expected.shape:
            raise BuildError(
                f"gives {item.actual.shape} for {item.case}, its source {item.expected.shape}",
                where=f"engine {where}",
                mend="The exporter and the reference disagree about this architecture: report it.",
            )
        cases.append(item.case)
        errors.append(relative_error(item.actual, item.expected))
        cosines.append(cosine(item.actual, item.expected))
        if item.logits:
            agreements.append(top1_agreement(item.actual, item.expected))
            weights.append(len(item.actual))
    limit = tolerance(precision)
    worst = {"relative_error": max(errors), "cosine": min(cosines)}
    passed = worst["cosine"] >= limit.get("cosine", -1.0) and worst["relative_error"] <= limit.get(
        "relative_error", float("inf")
    )
    return {
        "reference": reference,
        "inputs": cases,
        **worst,
        "top1": float(np.average(agreements, weights=weights)) if agreements else None,
        "tolerance": limit,
        "passed": passed,
    }
