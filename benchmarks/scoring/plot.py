"""The figures as one self-contained HTML page: bars with intervals, baselines and goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omnilive.report.markup import esc
from scoring.bars import Measure, items_of
from scoring.statistics import estimate
from scoring.table import FOOTNOTES, Column, bar_text, percent
from showing import page

_ROW_PX = 18
_GAP_PX = 12
_LEFT_PX = 270
_SCALE_PX = 460
_WIDTH_PX = 900
_FADING = ("1", ".55", ".35", ".25")
"""Opacity of the bars of the first column, the second and so on."""


def plot(columns: Sequence[Column], measures: Sequence[Measure], about: Mapping[str, Any]) -> str:
    """The page; measures without an item are left out."""
    rows: list[str] = []
    y, group = 8.0, ""
    for measure in measures:
        bars = [(c, found) for c in columns if (found := estimate(items_of(c.tallies, measure)))]
        if not bars:
            continue
        if measure.group != group:
            group = measure.group
            y += 26
            rows.append(f'<text class="group" x="0" y="{y - 8:.0f}">{esc(group)}</text>')
        top = y
        rows.append(f'<text x="12" y="{y + 13:.0f}">{esc(measure.title)}</text>')
        for column, found in bars:
            faded = _FADING[min(columns.index(column), len(_FADING) - 1)]
            rows.append(_bar(column.label, y, faded, found.value, found.low, found.high))
            y += _ROW_PX
        rows += _marks(columns[0], measure, top, y)
        y += _GAP_PX
    svg = (
        f'<svg width="{_WIDTH_PX}" height="{y:.0f}" role="img"'
        f' viewBox="0 0 {_WIDTH_PX} {y:.0f}" aria-label="Bar chart of quality">'
        f"{''.join(rows)}</svg>"
    )
    return page("Quality", about, ". ".join((*FOOTNOTES, _LEGEND)), svg)


_LEGEND = "The upright line is the bar to reach, the dot the baseline; the whisker is the interval."


def _x(share: float) -> float:
    return _LEFT_PX + _SCALE_PX * min(1.0, max(0.0, share))


def _bar(label: str, y: float, opacity: str, value: float, low: float, high: float) -> str:
    middle = y + _ROW_PX / 2
    text = f"{percent(value)} · {label}"
    return (
        f'<rect class="bar" opacity="{opacity}" x="{_LEFT_PX}" y="{y + 2:.0f}"'
        f' width="{max(1.0, _x(value) - _LEFT_PX):.1f}" height="{_ROW_PX - 4}" rx="2"/>'
        f'<path class="whisker" d="M{_x(low):.1f} {middle:.0f}H{_x(high):.1f}'
        f'M{_x(low):.1f} {middle - 4:.0f}v8M{_x(high):.1f} {middle - 4:.0f}v8"/>'
        f'<text class="value" x="{max(_x(high), _x(value)) + 8:.0f}" y="{middle + 4:.0f}">'
        f"{esc(text)}</text>"
    )


def _marks(first: Column, measure: Measure, top: float, bottom: float) -> list[str]:
    marks = []
    if measure.bar is not None:
        wanted = esc(bar_text(measure.at_least, measure.bar))
        marks.append(
            f'<path class="goal" d="M{_x(measure.bar):.1f} {top - 2:.0f}V{bottom + 2:.0f}">'
            f"<title>{wanted}</title></path>"
        )
    found = estimate(items_of(first.tallies, measure, baseline=True))
    if found is not None:
        marks.append(
            f'<circle class="chance" cx="{_x(found.value):.1f}" cy="{top + _ROW_PX / 2:.0f}" r="4">'
            f"<title>baseline {percent(found.value)}</title></circle>"
        )
    return marks
