"""What a measurement leaves: one item per decision, so that everything later is counted from them.

It knows neither bars nor engines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

BASELINE_SUFFIX = "/baseline"
"""Ends the name under which the baseline of a measure is kept."""


@dataclass(frozen=True)
class Item:
    """One thing scored: ``num`` of ``den``, and a measure is the sum of one over the other.

    An answer is 0 or 1 of 1; an utterance, its word errors of its words; a stream, twice its
    matched cuts of its cuts found and true.

    Attributes:
        key: names the same thing in every run of a seed, so that two runs can be paired.
    """

    key: str
    num: float
    den: float = 1.0


Tallies = Mapping[str, Sequence[Item]]
"""The items of each measure, by its name."""


def right(key: str, is_right: bool) -> Item:
    """One decision."""
    return Item(key, float(is_right))


def baseline_of(measure: str) -> str:
    """The name under which the items of a measure's baseline are kept."""
    return measure + BASELINE_SUFFIX


def joined(parts: Iterable[Tallies]) -> dict[str, list[Item]]:
    """The items of several tallies by measure, in their order."""
    found: dict[str, list[Item]] = {}
    for part in parts:
        for name, items in part.items():
            found.setdefault(name, []).extend(items)
    return found
