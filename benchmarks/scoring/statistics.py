"""Values of measures, their 95 % intervals, and differences between runs over the same items.

Pure arithmetic; every interval is the same for the same items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scoring.result import Item

Z_95 = 1.959963984540054
RESAMPLES = 2_000
_BLOCK = 100
"""Resamples drawn at once, which bounds the memory a bootstrap takes."""

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A measure's value and its 95 % interval.

    Attributes:
        items: how many were scored.
        weight: sum of their ``den``: words of utterances, else the same as ``items``.
    """

    value: float
    low: float
    high: float
    items: int
    weight: float


@dataclass(frozen=True)
class Difference:
    """One run less another over the items that both scored, and its 95 % interval.

    Attributes:
        weight: the smaller of both sums of ``den``.
    """

    value: float
    low: float
    high: float
    items: int
    weight: float


def estimate(items: Sequence[Item]) -> Estimate | None:
    """The value of ``items``, or None when there is nothing to divide by.

    Shares of right decisions get Wilson's interval, every other ratio a bootstrap over items.
    """
    num, den = _columns(items)
    if not den.sum() > 0:
        return None
    value = float(num.sum() / den.sum())
    decisions = bool(np.all(den == 1) and np.all((num == 0) | (num == 1)))
    low, high = wilson(int(num.sum()), len(items)) if decisions else _bootstrap(num, den)
    return Estimate(value, low, high, len(items), float(den.sum()))


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion (Wilson 1927); ``count`` ≥ 1."""
    share, z2 = hits / count, Z_95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = Z_95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def paired(run: Sequence[Item], other: Sequence[Item]) -> Difference | None:
    """``run`` less ``other``, resampling the items that both have; None without any."""
    mine, theirs = {i.key: i for i in run}, {i.key: i for i in other}
    keys = [key for key in mine if key in theirs]
    num, den = _columns([mine[key] for key in keys])
    other_num, other_den = _columns([theirs[key] for key in keys])
    if not (den.sum() > 0 and other_den.sum() > 0):
        return None
    value = float(num.sum() / den.sum() - other_num.sum() / other_den.sum())
    low, high = _bootstrap(num, den, other_num, other_den)
    weight = float(min(den.sum(), other_den.sum()))
    return Difference(value, low, high, len(keys), weight)


def _columns(items: Sequence[Item]) -> tuple[F64, F64]:
    return (
        np.array([item.num for item in items], np.float64),
        np.array([item.den for item in items], np.float64),
    )


def _bootstrap(
    num: F64, den: F64, other_num: F64 | None = None, other_den: F64 | None = None
) -> tuple[float, float]:
    """2.5 % and 97.5 % quantiles of the ratio, less the other one's, over resampled items."""
    rng = np.random.default_rng(0)
    found: list[F64] = []
    for _ in range(RESAMPLES // _BLOCK):
        drawn = rng.integers(0, len(num), (_BLOCK, len(num)))
        values = _ratio(num, den, drawn)
        if other_num is not None and other_den is not None:
            values = values - _ratio(other_num, other_den, drawn)
        found.append(values)
    low, high = np.nanquantile(np.concatenate(found), (0.025, 0.975))
    return float(low), float(high)


def _ratio(num: F64, den: F64, drawn: npt.NDArray[np.int64]) -> F64:
    below = den[drawn].sum(axis=1)
    ratio: F64 = np.divide(
        num[drawn].sum(axis=1), below, out=np.full(len(drawn), np.nan), where=below > 0
    )
    return ratio
