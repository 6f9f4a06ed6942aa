"""What every group of measures offers to the one that runs them, and how much is measured.

Data and contracts only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scoring.bars import ITEMS
from scoring.result import Tallies
from scoring.variants import Variant


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        items: of each measure, as far as the worlds allow.
        stream_s: length of the streams of retrieval and typed questions, seconds.
        long_stream_s: length of the streams for the oldest evidence; 0 for none.
        aloud_s: length of each stream with spoken questions.
    """

    items: int = ITEMS
    stream_s: float = 1_800.0
    long_stream_s: float = 7_200.0
    aloud_s: float = 600.0


QUICK = Scale(items=40, stream_s=240.0, long_stream_s=0.0, aloud_s=120.0)
"""A look at every measure in a few minutes; its intervals are wide."""


class Group(Protocol):
    """Measures that are measured together, in parts that can be kept one by one."""

    name: str
    parts: int
    identity: str
    """What decides its material, apart from the part's number."""

    def measures(self) -> tuple[str, ...]:
        """Names of the measures it has items for."""

    def seconds(self, part: int) -> float:
        """About how long a part takes for one variant on one core."""

    def wanted(self, variant: Variant) -> bool:
        """Whether this variant's figures can differ from those of the same pack without changes."""

    def score(
        self, part: int, variants: Sequence[Variant], folder: Path
    ) -> Iterator[tuple[Variant, Tallies]]:
        """Measure one part with each variant, and give each variant's items when they are there.

        Args:
            part: from 0 to ``parts`` - 1.
            variants: share the part's worlds and utterances.
            folder: empty, for files that are of no use afterwards.
        """
