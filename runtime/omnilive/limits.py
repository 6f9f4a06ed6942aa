"""The one check that every configuration value goes through; it never changes a value."""

from __future__ import annotations

import math

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
