"""What the lanes benchmark measures, each beside its bar. Pure arithmetic and text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from omnilive.report.statistics import Summary, summarize


@dataclass(frozen=True)
class Row:
    """One measure.

    Attributes:
        samples: in ``unit``; a single figure is one sample.
        quantile: which of p50, p99 or maximum is held against ``bar``.
        bar: the most that quantile may be, or with ``at_least`` the least; None has no bar.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    quantile: str = "p50"
    bar: float | None = None
    at_least: bool = False

    @property
    def summary(self) -> Summary | None:
        """None without samples."""
        return summarize(self.samples)

    @property
    def holds(self) -> bool | None:
        """Whether the bar is met, None without one. Without samples no bar is met."""
        if self.bar is None:
            return None
        if self.summary is None:
            return False
        value = float(getattr(self.summary, self.quantile))
        return value >= self.bar if self.at_least else value <= self.bar


def missed(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Those that miss their bar."""
    return tuple(row for row in rows if row.holds is False)


def table(rows: Sequence[Row]) -> Table:
    """All of them, a line each."""
    shown = Table(box=None, pad_edge=False)
    for heading in ("measure", "n", "p50", "p95", "p99", "max", "unit", "bar", ""):
        shown.add_column(
            heading, no_wrap=True, justify="left" if heading in ("measure", "unit") else "right"
        )
    for row in rows:
        summary = row.summary
        values = (
            ["0", *("–" for _ in range(4))]
            if summary is None
            else [str(summary.count)]
            + [_short(v) for v in (summary.p50, summary.p95, summary.p99, summary.maximum)]
        )
        sign = "≥" if row.at_least else "≤"
        bar = "" if row.bar is None else f"{row.quantile} {sign} {_short(row.bar)}"
        verdict = {None: "", True: "met", False: "MISSED"}[row.holds]
        shown.add_row(row.name, *values, row.unit, bar, verdict)
    return shown


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The same, JSON-ready."""
    return [
        {
            "name": row.name,
            "unit": row.unit,
            "summary": None if row.summary is None else dataclasses.asdict(row.summary),
            "quantile": row.quantile,
            "bar": row.bar,
            "at_least": row.at_least,
            "holds": row.holds,
        }
        for row in rows
    ]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
