"""The figures on a terminal: every measure with its interval, its baseline and its bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group as Lines
from rich.table import Table
from rich.text import Text

from scoring.bars import Measure, Verdict, compared, items_of
from scoring.result import Tallies
from scoring.statistics import Difference, Estimate, estimate

NOTHING = "–"

FOOTNOTES = (
    "[ ] are 95 % intervals: Wilson's for shares, else a bootstrap over items; n counts words for"
    " word errors, cuts found and true for cut F1",
    "baseline: for answers, the same pack asked with no frames and no memory; for retrieval, clips"
    " drawn at random; for sounds, a class drawn at random; for the instruction check, answering"
    " everything",
    "a signed number is the difference from the first column over the same items",
)


@dataclass(frozen=True)
class Column:
    """One variant's items; ``against`` are those that it is paired with, if any."""

    label: str
    tallies: Tallies
    against: Tallies | None = None


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage, without its sign."""
    return f"{100 * share:.{digits}f}"


def interval(found: Estimate | None) -> str:
    """A value with its 95 % interval, in per cent."""
    if found is None:
        return NOTHING
    return f"{percent(found.value)} [{percent(found.low)}, {percent(found.high)}]"


def points(gap: Difference) -> str:
    """A difference with its 95 % interval, in points."""
    return f"{100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"


def bar_text(at_least: bool, bar: float | None) -> str:
    """A bar with its sign, in per cent."""
    return "" if bar is None else f"{'≥' if at_least else '≤'} {percent(bar)}"


def figures(columns: Sequence[Column], measures: Sequence[Measure]) -> Table:
    """One row per measure: the first column with interval, baseline and bar, then the others.

    Another column shows its own value and, over the items that both scored, how far that is from
    the first column's.
    """
    shown = Table(box=None, padding=(0, 1), header_style="bold")
    shown.add_column("%")
    first, *others = columns
    for heading in ("n", first.label, "baseline", "bar"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for other in others:
        shown.add_column(other.label, justify="right", no_wrap=True)
    group = ""
    for measure in measures:
        cells = [_paired(column, measure) for column in others]
        found = estimate(items_of(first.tallies, measure))
        if found is None and all(cell == NOTHING for cell in cells):
            continue
        if measure.group != group:
            group = measure.group
            shown.add_row(f"[dim italic]{group}[/]")
        shown.add_row(
            f"  {measure.title}",
            NOTHING if found is None else f"{found.weight:.0f}",
            _judged(found, measure),
            _baseline(first.tallies, measure),
            bar_text(measure.at_least, measure.bar),
            *cells,
        )
    return shown


def verdicts(found: Sequence[Verdict]) -> Lines:
    """Each bar with the value beside it."""
    return Lines(*(_verdict(one) for one in found))


def _verdict(one: Verdict) -> Text:
    mark = Text("reached ", "green") if one.passed else Text("MISSED  ", "bold red")
    value = "not measured" if one.value is None else percent(one.value, 2)
    few = "  (over fewer items than the bar asks for)" if one.few else ""
    return Text.assemble(
        mark, f"{value:>12}  {bar_text(one.at_least, one.bar):<8}  {one.title}", (few, "dim")
    )


def _judged(found: Estimate | None, measure: Measure) -> Text:
    style = ""
    if found is not None and measure.bar is not None:
        style = "green" if measure.meets(found.value) else "bold red"
    return Text(interval(found), style)


def _baseline(tallies: Tallies, measure: Measure) -> str:
    found = estimate(items_of(tallies, measure, baseline=True))
    return "" if found is None else percent(found.value)


def _paired(column: Column, measure: Measure) -> str:
    found = estimate(items_of(column.tallies, measure))
    if found is None:
        return NOTHING
    text = percent(found.value)
    gap = None if column.against is None else compared(column.tallies, column.against, measure)
    if gap is None:
        return text
    return f"{text}  {points(gap)}"


def columns_of(
    found: Mapping[str, Tallies], judged: str, reference: str | None = None
) -> list[Column]:
    """The judged variant first, every other one paired with it.

    Args:
        found: items by variant label.
        judged: label of the variant that the bars are for.
        reference: label of the fp32 variant, which is shown next to it.
    """
    first = found[judged]
    order = [label for label in (reference,) if label is not None and label != judged]
    order += [label for label in found if label not in (judged, reference)]
    return [Column(judged, first), *(Column(name, found[name], first) for name in order)]
