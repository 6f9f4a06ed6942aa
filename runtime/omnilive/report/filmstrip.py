"""The frames lane: a strip of thumbnails over the cosine of each frame to the one before."""

from __future__ import annotations

from collections.abc import Sequence

from omnilive.report.lanes import BAR_PX, MAX_ITEMS, Drawn, empty
from omnilive.report.markup import clock, thinned
from omnilive.report.model import FrameMark, Run
from omnilive.report.scale import Scale
from omnilive.report.thumbnails import Thumbnails

_THUMB_PX = 42
_SPARK_PX = 36


def frames(run: Run, scale: Scale, thumbnails: Thumbnails) -> Drawn:
    """Thumbnails over the cosine of each frame to the one before, with the cuts."""
    if not run.frames:
        why = "no video track" if run.source and not run.source.has_video else "no frames"
        return Drawn("Frames", BAR_PX, empty(why))
    strip, shown = _strip(run, scale, thumbnails)
    spark, low = _sparkline(run.frames, scale)
    cuts = thinned([c for c in run.clips if c.reason in ("cut", "length")], MAX_ITEMS)
    marks = "".join(
        f'<line class="mark-{c.reason}" x1="{scale.x(c.end_us):.1f}" x2="{scale.x(c.end_us):.1f}"'
        f' y1="0" y2="{_THUMB_PX + _SPARK_PX}"><title>{clock(c.end_us)} clip {c.index} ends:'
        f" {c.reason}</title></line>"
        for c in cuts
    )
    drops = "".join(
        f'<line class="dropped" x1="{scale.x(us):.1f}" x2="{scale.x(us):.1f}"'
        f' y1="{_THUMB_PX + _SPARK_PX - 7}" y2="{_THUMB_PX + _SPARK_PX}">'
        f"<title>{clock(us)} frame dropped</title></line>"
        for us in thinned(run.dropped_us, MAX_ITEMS)
    )
    notes = () if shown == len(run.frames) else (_thinning_note(shown, run),)
    return Drawn(
        "Frames",
        _THUMB_PX + _SPARK_PX,
        strip + spark + marks + drops,
        hint=f"cos {low:.2f}–1",
        notes=notes,
    )


def _strip(run: Run, scale: Scale, thumbnails: Thumbnails) -> tuple[str, int]:
    """Thumbnails that do not overlap: the first of each clip before what fits between."""
    openers, seen = [], set[int]()
    for frame in run.frames:
        if frame.clip not in seen:
            seen.add(frame.clip)
            openers.append(frame)
    width = _thumb_width(run, thumbnails)
    room = max(1, thumbnails.room)
    chosen = _spread(openers, [], scale, width)
    chosen = _spread(run.frames, chosen, scale, width) if len(chosen) < room else chosen
    chosen = list(thinned(chosen, room))
    parts = []
    for frame in chosen:
        picture = thumbnails.placed(frame.keyframe, scale.x(frame.pts_us), 0, _THUMB_PX - 2)
        if picture:
            parts.append(f"<g><title>frame at {clock(frame.pts_us)}</title>{picture}</g>")
    return "".join(parts), len(parts)


def _spread(
    candidates: Sequence[FrameMark], placed: list[FrameMark], scale: Scale, width: float
) -> list[FrameMark]:
    """``placed``, in time order, and every candidate that still has room between its neighbours."""
    merged: list[FrameMark] = []
    waiting = list(reversed(placed))
    for frame in candidates:
        while waiting and waiting[-1].pts_us <= frame.pts_us:
            merged.append(waiting.pop())
        x = scale.x(frame.pts_us)
        if merged and x + width > scale.width + 2:
            break
        after = not merged or x - scale.x(merged[-1].pts_us) >= width
        before = not waiting or scale.x(waiting[-1].pts_us) - x >= width
        if after and before:
            merged.append(frame)
    return merged + waiting[::-1]


def _thumb_width(run: Run, thumbnails: Thumbnails) -> float:
    """Pixels a thumbnail takes, by the first picture there is."""
    for frame in (run.frames[-1], run.frames[0], run.frames[len(run.frames) // 2]):
        size = thumbnails.size(frame.keyframe)
        if size is not None:
            return (_THUMB_PX - 2) * size[0] / size[1] + 2
    return _THUMB_PX * 16 / 9


def _sparkline(marks: Sequence[FrameMark], scale: Scale) -> tuple[str, float]:
    """A path through the cosines, and the cosine at its bottom. Dense runs keep the lowest."""
    points: dict[int, tuple[float, float]] = {}
    for frame in marks:
        if frame.cosine is None:
            continue
        x = scale.x(frame.pts_us)
        kept = points.get(int(x))
        if kept is None or frame.cosine < kept[1]:
            points[int(x)] = (x, frame.cosine)
    if not points:
        return "", 0.0
    ordered = [points[k] for k in sorted(points)]
    ordered = _lowest_per_group(ordered, 8 * MAX_ITEMS)
    low = min(0.99, *(c for _, c in ordered))
    height = _SPARK_PX - 8
    path = " ".join(
        f"{x:.1f} {_THUMB_PX + 4 + height * (1 - c) / (1 - low):.1f}" for x, c in ordered
    )
    return f'<polyline class="spark" points="{path}"/>', low


def _lowest_per_group(points: list[tuple[float, float]], limit: int) -> list[tuple[float, float]]:
    size = -(-len(points) // limit)
    return [min(points[i : i + size], key=lambda p: p[1]) for i in range(0, len(points), size)]


def _thinning_note(shown: int, run: Run) -> str:
    return (
        f"Thumbnails of {shown} of {len(run.frames)} frames fit: the first of each clip where"
        " there is room, then others between."
    )
