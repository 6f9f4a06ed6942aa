"""Percentiles of measured durations. Pure arithmetic; an empty sample has no summary."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """``count`` samples in the unit they came in; ``p25`` to ``p75`` is their middle half."""

    count: int
    minimum: float
    p25: float
    p50: float
    p75: float
    p95: float
    p99: float
    maximum: float
    total: float


def percentile(ordered: Sequence[float], q: float) -> float:
    """The ``q`` quantile (0 to 1) of ascending samples, linear between neighbours.

    Raises:
        ValueError: no samples, or ``q`` outside 0 to 1.
    """
    if not ordered or not 0 <= q <= 1:
        raise ValueError(f"no {q} quantile of {len(ordered)} samples")
    position = q * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def summarize(samples: Iterable[float]) -> Summary | None:
    """Count, quantiles and total of ``samples``, or None when there are none."""
    ordered = sorted(samples)
    if not ordered:
        return None
    p25, p50, p75, p95, p99 = (percentile(ordered, q) for q in (0.25, 0.5, 0.75, 0.95, 0.99))
    return Summary(
        len(ordered), ordered[0], p25, p50, p75, p95, p99, ordered[-1], math.fsum(ordered)
    )
