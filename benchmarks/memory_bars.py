"""The memory benchmark's figures and bars. It measures nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Bar:
    """What a figure must be.

    Attributes:
        met: whether it is; ``told`` says what was found and what is asked.
    """

    name: str
    told: str
    met: bool


@dataclass
class Report:
    """Figures by name, and the bars they are held against."""

    figures: dict[str, Any] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)

    def hold(self, name: str, told: str, met: bool) -> None:
        """Note a bar and print it."""
        self.bars.append(Bar(name, told, met))
        print(f"  {'ok    ' if met else 'MISSED'} {name}: {told}", flush=True)

    def hold_equal(self, name: str, value: int, expected: int) -> None:
        """Hold a count against what it has to be."""
        self.hold(name, f"{value} (bar: {expected})", value == expected)

    def hold_ratio(self, name: str, above: int, below: int, least: float) -> None:
        """Hold ``above / below`` against its least."""
        ratio = above / below
        self.hold(name, f"{ratio:.1f} ({above} / {below}; bar: at least {least})", ratio >= least)
