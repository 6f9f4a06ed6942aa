"""The timeline as one inline SVG: lanes from frames down to answers on one time axis.

It draws what ``model`` holds and decides nothing about a run. Whatever would not fit is thinned
evenly, and the notes say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from omnilive.report import filmstrip, lanes
from omnilive.report.lanes import Drawn
from omnilive.report.markup import clock, esc
from omnilive.report.model import Run
from omnilive.report.scale import FIT_PX, Scale, scale_for
from omnilive.report.thumbnails import Thumbnails

_AXIS_PX = 22
_JUMPS = 24
"""Links along a timeline that scrolls."""


@dataclass(frozen=True)
class Timeline:
    """The drawing, and what must be said about it."""

    html: str
    notes: tuple[str, ...]


def draw(run: Run, thumbnails: Thumbnails, carded: Set[int]) -> Timeline:
    """Draw the lanes of ``run`` under each other.

    Args:
        carded: utterances that have a card to link to.
    """
    scale = scale_for(run.duration_us)
    drawn = [
        filmstrip.frames(run, scale, thumbnails),
        lanes.clips(run, scale),
        lanes.retrieval(run, scale, carded),
        lanes.speech(run, scale),
        lanes.heard(run, scale, carded),
        lanes.answers(run, scale, carded),
    ]
    body, labels, y = [_axis(run, scale, drawn)], [_label("", _AXIS_PX)], float(_AXIS_PX)
    for lane in drawn:
        body.append(
            f'<g transform="translate(0 {y:.0f})" role="group" aria-label="{esc(lane.label)}">'
            f'<rect class="lane" width="{scale.width:.0f}" height="{lane.height:.0f}"/>'
            f"{lane.svg}</g>"
        )
        labels.append(_label(lane.label, lane.height + lane.gap, lane.hint))
        y += lane.height + lane.gap
    html = (
        f"{_jumps(scale)}"
        '<div class="timeline" tabindex="0" role="region" aria-label="Timeline, scrolls sideways">'
        f'<div class="lane-labels" aria-hidden="true">{"".join(labels)}</div>'
        f'<svg width="{scale.width:.0f}" height="{y:.0f}" viewBox="0 0 {scale.width:.0f} {y:.0f}"'
        ' role="group" aria-label="Frames, clips, retrieval, speech and answers over time">'
        f"{_HATCH}{''.join(body)}</svg></div>"
    )
    return Timeline(html, tuple(_notes(run, drawn)))


_HATCH = (
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><rect class="hatch-ground" width="6" height="6"/>'
    '<rect class="hatch-line" width="2" height="6"/></pattern></defs>'
)


def moment_id(us: int) -> str:
    """Id of the grid line at a round moment (``Scale.tick_before_us``)."""
    return f"t{us // 1_000_000}"


def _jumps(scale: Scale) -> str:
    """Links along a timeline too long to be seen at once."""
    if scale.width <= 2 * FIT_PX:
        return ""
    links = "".join(
        f' <a href="#{moment_id(us)}">{_whole_seconds(us)}</a>'
        for us in scale.sparse_ticks_us(_JUMPS)
    )
    return f'<nav class="jumps" aria-label="Along the timeline">go to{links}</nav>'


def _whole_seconds(us: int) -> str:
    return clock(us).rpartition(".")[0]


def _label(text: str, height: float, hint: str = "") -> str:
    small = f"<small>{esc(hint)}</small>" if hint else ""
    return f'<div style="height:{height:.0f}px">{esc(text)}{small}</div>'


def _axis(run: Run, scale: Scale, drawn: Iterable[Drawn]) -> str:
    height = _AXIS_PX + sum(lane.height + lane.gap for lane in drawn)
    parts = []
    for us in scale.ticks_us():
        x = scale.x(us)
        shown = f'<text class="tick" x="{x + 3:.1f}" y="14">{_whole_seconds(us)}</text>'
        parts.append(
            f'<line id="{moment_id(us)}" class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4"'
            f' y2="{height:.0f}"/>' + (shown if x < scale.width - 28 else "")
        )
    for notice in run.notices[: lanes.MAX_ITEMS]:
        x = scale.x(notice.pts_us)
        parts.append(
            f'<path class="notice" d="M{x:.1f} 22l-5 -9h10z"><title>'
            f"{clock(notice.pts_us)} {esc(notice.what)}</title></path>"
        )
    return f'<g aria-hidden="true">{"".join(parts)}</g>'


def _notes(run: Run, drawn: Iterable[Drawn]) -> Iterable[str]:
    for lane in drawn:
        yield from lane.notes
    if run.dropped_us:
        count = len(run.dropped_us)
        were = "frame was" if count == 1 else "frames were"
        yield f"{count} {were} dropped, memory could not keep up: red ticks below the frames."
