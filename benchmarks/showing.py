"""The figures for people: a table on the terminal, and a bar chart as one HTML file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

from measures import Measure
from omnilive.report.markup import duration, esc
from results import SETTLED, Figure

FOOTNOTE = "≈ too few samples for this percentile (p95 needs 20, p99 100): close to the largest one"

_ROW_PX = 30
_BAR_LEFT_PX = 240
_BAR_PX = 450
_WIDTH_PX = 900


def value(measure: Measure, number: float) -> str:
    """A figure in its unit."""
    if measure.unit == "us":
        return duration(number)
    if measure.unit == "bytes":
        return f"{number / 2**20:.0f} MiB"
    if measure.unit == "per_s":
        return f"{number:.0f}/s" if number >= 100 else f"{number:.1f}/s"
    return f"{number:.3f}"


def table(found: Sequence[Figure]) -> Table:
    """The figures by group; a measure without samples says so."""
    shown = Table(box=None, padding=(0, 1), header_style="bold")
    shown.add_column("measure", no_wrap=True, min_width=27)
    for heading in ("n", "p50", "p95", "p99", "max"):
        shown.add_column(heading, justify="right", no_wrap=True)
    group = ""
    for figure in found:
        if figure.measure.group != group:
            group = figure.measure.group
            shown.add_row(f"[dim italic]{group}[/]")
        shown.add_row(f"  {figure.measure.title}", *_cells(figure))
    return shown


def _cells(figure: Figure) -> Iterable[str]:
    summary = figure.summary
    if summary is None:
        return ("0", "no samples")
    if summary.count == 1:
        return ("1", value(figure.measure, summary.p50))
    values = {"p50": summary.p50, "p95": summary.p95, "p99": summary.p99, "max": summary.maximum}
    return (str(summary.count), *(_marked(figure, name, n) for name, n in values.items()))


def _marked(figure: Figure, percentile: str, number: float) -> str:
    """A figure, marked where there are too few samples for its percentile."""
    few = figure.summary is not None and figure.summary.count < SETTLED.get(percentile, 0)
    return ("≈" if few else "") + value(figure.measure, number)


def chart(found: Sequence[Figure], about: Mapping[str, Any], notes: Sequence[str]) -> str:
    """Bars of the medians with a whisker to p95 over a table, as one self-contained HTML page.

    Args:
        about: facts for the head of the page.
        notes: sentences below the table.
    """
    timed = [f for f in found if f.measure.unit == "us"]
    longest = max((f.summary.p95 for f in timed if f.summary is not None), default=1.0)
    rows, y, group = [], 8.0, ""
    for figure in timed:
        if figure.measure.group != group:
            group = figure.measure.group
            y += 22
            rows.append(f'<text class="group" x="0" y="{y - 6:.0f}">{esc(group)}</text>')
        rows.append(_bar(figure, y, longest))
        y += _ROW_PX
    rest = "".join(
        f'<tr><th scope="row">{esc(f.measure.title)}</th>'
        f"{''.join(f'<td>{esc(cell)}</td>' for cell in _cells(f))}</tr>"
        for f in found
    )
    said = "".join(f'<p class="meta">{esc(note)}</p>' for note in notes)
    meta = (
        "Bars are medians, whiskers reach to p95, n is the number of samples. Measured against the"
        " wall clock; end of speech is the last voiced sample of the source."
    )
    svg = (
        f'<svg width="{_WIDTH_PX}" height="{y:.0f}" role="img"'
        f' viewBox="0 0 {_WIDTH_PX} {y:.0f}" aria-label="Bar chart of latencies">'
        f"{''.join(rows)}</svg>"
    )
    values = (
        '<div class="scroll"><table><thead><tr><th>measure</th><th>n</th><th>p50</th><th>p95</th>'
        f"<th>p99</th><th>max</th></tr></thead><tbody>{rest}</tbody></table></div>{said}"
    )
    return page("Latency", about, meta, svg, values)


def page(title: str, about: Mapping[str, Any], meta: str, svg: str, rest: str = "") -> str:
    """One self-contained HTML page: a title, facts, a sentence, a chart and what comes after it.

    Args:
        title, meta: text.
        about: shown by name and value.
        svg, rest: markup.
    """
    facts = "".join(
        f"<div><dt>{esc(str(k))}</dt><dd>{esc(str(v))}</dd></div>" for k, v in about.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{esc(title)} · OmniLive</title><style>{_STYLE}</style></head><body>"
        f'<h1>{esc(title)}</h1><dl>{facts}</dl><p class="meta">{esc(meta)}</p>'
        f'<div class="scroll">{svg}</div>{rest}</body></html>\n'
    )


def _bar(figure: Figure, y: float, longest: float) -> str:
    middle = y + _ROW_PX / 2 - 4
    label = f'<text x="12" y="{middle + 4:.0f}">{esc(figure.measure.title)}</text>'
    summary = figure.summary
    if summary is None:
        return label + (
            f'<text class="none" x="{_BAR_LEFT_PX}" y="{middle + 4:.0f}">no samples</text>'
        )
    # A negative delay would be a fault of the truth: it shows as no bar, and its number is shown.
    width = max(1.0, _BAR_PX * max(0.0, summary.p50) / longest)
    reach = max(width, _BAR_PX * summary.p95 / longest)
    text = (
        f"{value(figure.measure, summary.p50)} · p95 {_marked(figure, 'p95', summary.p95)}"
        f" · n {summary.count}"
    )
    return (
        f"<g><title>{esc(figure.measure.title)}: {esc(figure.measure.starts)} →"
        f" {esc(figure.measure.ends)}</title>{label}"
        f'<rect class="bar" x="{_BAR_LEFT_PX}" y="{middle - 8:.0f}" width="{width:.1f}"'
        f' height="16" rx="2"/><path class="whisker" d="M{_BAR_LEFT_PX + width:.1f} {middle:.0f}'
        f'H{_BAR_LEFT_PX + reach:.1f}M{_BAR_LEFT_PX + reach:.1f} {middle - 5:.0f}v10"/>'
        f'<text class="value" x="{_BAR_LEFT_PX + reach + 8:.0f}" y="{middle + 4:.0f}">{text}</text>'
        "</g>"
    )


_STYLE = """
:root { --bg: #fff; --ink: #1b1f24; --muted: #5b6472; --bar: #6a4fc0; --line: #dfe3e8; }
@media (prefers-color-scheme: dark) {
  :root { --bg: #12151a; --ink: #e6e9ee; --muted: #9aa5b4; --bar: #8d76e0; --line: #2c343f; }
}
body { margin: 0 auto; max-width: 960px; padding: 20px clamp(12px, 2.5vw, 32px);
  background: var(--bg); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 8px; }
dl { display: flex; flex-wrap: wrap; gap: 4px 22px; margin: 6px 0; }
dt { color: var(--muted); font-size: .78rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.meta { color: var(--muted); font-size: .87rem; }
.scroll { overflow-x: auto; }
text { font-size: 13px; fill: var(--ink); }
.group, .none, .value { fill: var(--muted); }
.group { font-style: italic; }
.bar { fill: var(--bar); }
.goal { stroke: var(--ink); stroke-width: 2; fill: none; }
.chance { fill: var(--bg); stroke: var(--ink); stroke-width: 1.5; }
.whisker { stroke: var(--muted); stroke-width: 1.5; fill: none; }
table { border-collapse: collapse; margin-top: 14px; }
tr { border-bottom: 1px solid var(--line); }
th, td { text-align: left; padding: 3px 18px 3px 0; white-space: nowrap; }
tbody th { font-weight: 400; }
td { font-variant-numeric: tabular-nums; }
thead th { color: var(--muted); font-weight: 500; }
"""
