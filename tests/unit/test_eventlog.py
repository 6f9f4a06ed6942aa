"""The event log on disk and the schema it writes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive import events
from omnilive.clock import VirtualClock
from omnilive.errors import OutputError
from omnilive.eventlog import EventLog

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = {
    "int": st.integers(-(10**12), 10**12),
    "int | None": st.none() | st.integers(0, 10**12),
    "float": st.floats(-1, 1).map(lambda x: round(x, 6)),
    "float | None": st.none() | st.floats(-1, 1).map(lambda x: round(x, 6)),
    "bool": st.booleans(),
    "str": TEXT,
    "tuple[int, ...]": st.lists(st.integers(0, 99), max_size=4).map(tuple),
    "tuple[float, ...]": st.lists(st.just(0.25), max_size=4).map(tuple),
    "tuple[str, ...]": st.lists(TEXT, max_size=4).map(tuple),
}


@st.composite
def any_event(draw: st.DrawFn) -> events.Event:
    cls = draw(st.sampled_from(sorted(events.EVENT_TYPES.values(), key=lambda t: t.kind)))
    return cls(**{f.name: draw(VALUES[str(f.type)]) for f in dataclasses.fields(cls)})


@given(event=any_event(), event_id=st.integers(1), at_us=st.integers(0))
def test_every_event_survives_the_log(event: events.Event, event_id: int, at_us: int) -> None:
    line = events.to_json(event_id, at_us, event)
    assert "\n" not in line
    assert events.from_json(line) == (event_id, at_us, event)


@pytest.mark.parametrize("line", ['{"id":1}', "[]", "7", '{"id":1,"at_us":0,"type":"other"}', "{"])
def test_what_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        events.from_json(line)


def test_events_are_numbered_stamped_and_timed(tmp_path: Path) -> None:
    clock, seen = VirtualClock(), list[int]()
    with EventLog(tmp_path, clock, (lambda i, t, e: seen.append(i),)) as log:
        log.emit(events.FrameDropped(1))
        clock.advance_to(500)
        log.emit(events.FrameDropped(2), wall_us=77, stage="see")
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [(json.loads(x)["id"], json.loads(x)["at_us"]) for x in lines] == [(1, 0), (2, 500)]
    (timing,) = (tmp_path / "timings.jsonl").read_text().splitlines()
    assert json.loads(timing) == {"event": 2, "stage": "see", "wall_us": 77}
    assert seen == [1, 2]


def test_each_line_is_on_disk_before_the_next_is_written(tmp_path: Path) -> None:
    with EventLog(tmp_path, VirtualClock()) as log:
        log.emit(events.FrameDropped(1))
        assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 1


def test_a_name_that_is_no_unicode_is_escaped(tmp_path: Path) -> None:
    with EventLog(tmp_path, VirtualClock()) as log:
        log.emit(events.SourceNotice(0, "name \udcff"))
    assert "\\udcff" in (tmp_path / "events.jsonl").read_text(encoding="utf-8")


def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    log = EventLog(tmp_path, VirtualClock())
    with pytest.raises(OutputError, match=r"events\.jsonl"):
        log.emit(events.FrameDropped(1))
