"""What builds of the real sizes must keep to, and whether they do. It measures nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GIB = 1 << 30

MODELS = ("memory", "audio", "base")
"""Models of the family by their folders, the smaller ones first."""

BUILD_SECONDS = {"memory": 240.0, "base": 480.0}
BUILD_BYTES = {"memory": 3 * GIB, "base": 4 * GIB}
ALL_SECONDS = 600.0
"""Bars of a build with int4 blocks of 128 rounded to nearest, on two cores."""


@dataclass(frozen=True)
class Build:
    """Seconds and peak bytes of one model's build."""

    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Bar:
    """One bar and what was measured, in the unit its name says."""

    name: str
    value: float
    limit: float

    @property
    def met(self) -> bool:
        """Whether the value keeps to the limit."""
        return self.value <= self.limit


def bars(builds: Mapping[str, Build]) -> tuple[Bar, ...]:
    """Every bar that these builds can be held against: that of all three only when all are there.

    Args:
        builds: model → its build.
    """
    found = []
    for model, build in builds.items():
        if model in BUILD_SECONDS:
            found.append(Bar(f"{model}: build seconds", build.seconds, BUILD_SECONDS[model]))
            gib = build.peak_bytes / GIB
            found.append(Bar(f"{model}: peak GiB", gib, BUILD_BYTES[model] / GIB))
    if set(builds) == set(MODELS):
        seconds = sum(build.seconds for build in builds.values())
        found.append(Bar("all three: build seconds", seconds, ALL_SECONDS))
    return tuple(found)
