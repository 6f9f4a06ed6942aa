"""How fast something grows, and how sure that is. Arithmetic; it measures nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LARGEST_CORRELATION = 0.999
"""Of neighbouring residuals: beyond it there is nothing to judge by."""


@dataclass(frozen=True)
class Growth:
    """A least-squares slope, and twice its standard error: about a 95 % interval.

    Attributes:
        slope: change of the values per unit of time.
        spread: half the width of its interval.
    """

    slope: float
    spread: float


def growth(times: npt.ArrayLike, values: npt.ArrayLike) -> Growth:
    """The slope of ``values`` over ``times``, both [n].

    Memory moves in steps that last: neighbouring samples say nearly the same, and as many of them
    as come a second would make the slope look far too sure. The standard error counts n (1 - r) /
    (1 + r) samples, r the correlation of neighbouring residuals (Bayley and Hammersley 1946).

    Raises:
        ValueError: fewer than three samples, or all of one time.
    """
    x, y = np.asarray(times, np.float64), np.asarray(values, np.float64)
    if len(x) < 3 or np.ptp(x) == 0:
        raise ValueError(f"a slope takes three samples at different times, not {len(x)}")
    slope, start = np.polyfit(x, y, 1)
    residuals = y - (slope * x + start)
    power = float(residuals @ residuals)
    if power <= len(x) * (100 * np.finfo(np.float64).eps * float(np.abs(y).max())) ** 2:
        return Growth(float(slope), 0.0)
    alike = float(residuals[1:] @ residuals[:-1]) / power
    alike = min(max(alike, 0.0), LARGEST_CORRELATION)
    plain = power / (len(x) - 2) / float(((x - x.mean()) ** 2).sum())
    return Growth(float(slope), 2 * math.sqrt(plain * (1 + alike) / (1 - alike)))
