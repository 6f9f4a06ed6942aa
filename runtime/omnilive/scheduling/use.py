"""What lanes have done so far, in numbers that add up over several sessions. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Durations:
    """Durations counted up to bounds that are not kept here.

    Attributes:
        until: how many are at most as long as each bound; those within 1/8 below one may be
            counted as longer.
        count: how many there are.
        sum_us: all of them together, microseconds.
    """

    until: tuple[int, ...]
    count: int
    sum_us: float

    @classmethod
    def none(cls, bounds: int) -> Durations:
        """No durations yet, for so many bounds."""
        return cls((0,) * bounds, 0, 0.0)

    def __add__(self, other: Durations) -> Durations:
        until = tuple(a + b for a, b in zip(self.until, other.until, strict=True))
        return Durations(until, self.count + other.count, self.sum_us + other.sum_us)


@dataclass(frozen=True)
class LaneUse:
    """One lane.

    Attributes:
        fates: jobs done, failed, missed (ended after their deadline), dropped and cancelled.
        waiting: jobs whose end has not come, one that runs among them.
        waited: from submit to start.
        ran: from start to end.
    """

    fates: Mapping[str, int]
    waiting: int
    waited: Durations
    ran: Durations


def waiting_of(counts: Mapping[str, int]) -> int:
    """Jobs whose end has not come, by the counts of their lane."""
    gone = counts["done"] + counts["failed"] + counts["dropped"] + counts["cancelled"]
    return counts["submitted"] - gone
