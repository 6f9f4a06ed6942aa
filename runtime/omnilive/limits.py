"""The checks that configuration values go through; they never change a value."""

from __future__ import annotations

import math
from collections.abc import Sequence

from omnilive.errors import ConfigError


def check_range(where: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Refuse ``value`` unless it is a finite number with low ≤ value ≤ high.

    Args:
        where: the field, as the configuration file spells it, e.g. ``vad.threshold``.
        value: the configured value.
        low, high: the allowed range, both ends included.
        unit: named in the message, e.g. ``ms``.

    Raises:
        ConfigError: the value is outside the range, or not a number.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and math.isfinite(value) and low <= value <= high:
        return
    suffix = f" {unit}" if unit else ""
    raise ConfigError(
        f"is {value!r}", where=where, mend=f"Choose a number from {low:g} to {high:g}{suffix}"
    )


def check_choice(where: str, value: str, choices: Sequence[str]) -> None:
    """Refuse ``value`` unless it is one of ``choices``.

    Args:
        where: the field, as the configuration file spells it, e.g. ``turn.order``.
        value: the configured value.
        choices: what it may be.

    Raises:
        ConfigError: the value is none of them.
    """
    if value not in choices:
        raise ConfigError(f"is {value!r}", where=where, mend=f"Use one of {', '.join(choices)}.")
