"""What the lanes did, as a file that Perfetto and chrome://tracing open. It measures nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnilive.scheduling.jobs import Lane

SPANS_KEPT = 200_000
"""Jobs kept for a trace, the newest: some 50 MB as a file, hours of a stream."""


@dataclass(frozen=True)
class Span:
    """One job: when it ran, in microseconds of stream time.

    Attributes:
        name: what its function is called.
        state: ``done``, ``failed`` or ``dropped``.
        generation: None for work that outlives any turn.
        started_us: None when it never began.
    """

    lane: Lane
    name: str
    state: str
    generation: int | None
    submitted_us: float
    started_us: float | None
    ended_us: float


def chrome_trace(spans: Iterable[Span], figures: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Spans in the Trace Event Format: a row per lane, a mark where a job was dropped.

    Args:
        spans: in any order.
        figures: what each lane counted, kept in the file's ``otherData``.
    """
    rows = {lane: row for row, lane in enumerate(Lane, 1)}
    names = [
        {"ph": "M", "pid": 1, "tid": row, "name": "thread_name", "args": {"name": lane.value}}
        for lane, row in rows.items()
    ]
    ordered = sorted(spans, key=lambda span: span.submitted_us)
    return {
        "traceEvents": [*names, *_events(ordered, rows)],
        "displayTimeUnit": "ms",
        "otherData": {lane: dict(counted) for lane, counted in figures.items()},
    }


def write_trace(
    path: Path, spans: Iterable[Span], figures: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write the trace to ``path``; its folder is made. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(chrome_trace(spans, figures)) + "\n", encoding="utf-8")


def _events(spans: Iterable[Span], rows: Mapping[Lane, int]) -> Iterator[dict[str, Any]]:
    for span in spans:
        event = {"pid": 1, "tid": rows[span.lane], "cat": span.lane.value, "name": span.name}
        args: dict[str, Any] = {"state": span.state}
        if span.generation is not None:
            args["generation"] = span.generation
        if span.started_us is None:
            args["waited_us"] = span.ended_us - span.submitted_us
            yield {**event, "ph": "i", "s": "t", "ts": span.ended_us, "args": args}
        else:
            args["waited_us"] = span.started_us - span.submitted_us
            duration = span.ended_us - span.started_us
            yield {**event, "ph": "X", "ts": span.started_us, "dur": duration, "args": args}
