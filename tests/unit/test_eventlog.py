"""The event log on disk and the schema it writes."""

from __future__ import annotations

import dataclasses
import json
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive import events
from omnilive.clock import VirtualClock
from omnilive.errors import ConfigError, OutputError
from omnilive.eventlog import EventLog
from omnilive.output_config import OutputConfig
from omnilive.rotation import RotatingFile

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
    assert not log.has_events


def test_nothing_in_the_folder_changes_before_the_log_is_opened(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("an earlier run\n")
    log = EventLog(tmp_path / "absent", VirtualClock())
    assert not (tmp_path / "absent").exists()
    log = EventLog(tmp_path, VirtualClock())
    log.close()
    assert (tmp_path / "events.jsonl").read_text() == "an earlier run\n"
    log.open()
    assert (tmp_path / "events.jsonl").read_text() == "" and not log.has_events
    log.emit(events.FrameDropped(1))
    assert log.has_events
    log.close()


def test_a_log_that_cannot_be_opened_whole_leaves_the_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("an earlier run\n")
    (tmp_path / "timings.jsonl").mkdir()
    log = EventLog(tmp_path, VirtualClock())
    with pytest.raises(OutputError, match=r"timings\.jsonl"):
        log.open()
    assert (tmp_path / "events.jsonl").read_text() == "an earlier run\n"
    assert not log.has_events


def test_a_usual_run_is_one_file() -> None:
    config = OutputConfig()
    config.validate()
    assert config.log_part_bytes >= 256 * 2**20 and config.audio_part_bytes >= 2 * 2**30


def parts(folder: Path) -> list[list[int]]:
    """The event ids in each part of the event log, the newest part first."""
    names = ["events.jsonl", *(f"events.{i}.jsonl" for i in range(1, 10))]
    there = [folder / name for name in names if (folder / name).exists()]
    assert len(there) == len(list(folder.glob("events*")))
    return [[json.loads(x)["id"] for x in p.read_text().splitlines()] for p in there]


def test_a_full_log_goes_on_in_a_new_part_and_the_oldest_part_goes(tmp_path: Path) -> None:
    line = len(events.to_json(10, 0, events.FrameDropped(0))) + 1
    config = OutputConfig(log_part_bytes=2 * line, log_parts=3)
    with EventLog(tmp_path, VirtualClock(), config=config) as log:
        for _ in range(2):
            log.emit(events.FrameDropped(0))
        assert parts(tmp_path) == [[1, 2]]
        for _ in range(7):
            log.emit(events.FrameDropped(0))
        assert parts(tmp_path) == [[9], [7, 8], [5, 6]]
        assert all(p.stat().st_size <= 2 * line for p in tmp_path.glob("events*"))
    with EventLog(tmp_path, VirtualClock(), config=config) as log:
        log.emit(events.FrameDropped(0))
        assert parts(tmp_path) == [[1]]


def test_timings_are_bounded_like_events(tmp_path: Path) -> None:
    config = OutputConfig(log_part_bytes=100, log_parts=2)
    with EventLog(tmp_path, VirtualClock(), config=config) as log:
        for i in range(20):
            log.time(i, "see", 1)
    files = sorted(tmp_path.glob("timings*"))
    assert [f.name for f in files] == ["timings.1.jsonl", "timings.jsonl"]
    assert all(f.stat().st_size <= 100 for f in files)
    assert json.loads(files[1].read_text().splitlines()[-1])["event"] == 19


def test_an_event_longer_than_a_part_is_written_whole(tmp_path: Path) -> None:
    config = OutputConfig(log_part_bytes=200, log_parts=2)
    with EventLog(tmp_path, VirtualClock(), config=config) as log:
        log.emit(events.SourceNotice(0, "long " * 100))
        assert parts(tmp_path) == [[1]]
        log.emit(events.FrameDropped(2))
        log.emit(events.SourceNotice(0, "long " * 100))
        assert parts(tmp_path) == [[3], [2]]


def test_a_line_that_the_disk_has_no_room_for_leaves_no_half(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    file = RotatingFile(path, part_bytes=1_000, parts=2)
    file.write(b"first\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OSError):
            file.write(b"second\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"first\n"
    file.write(b"third\n")
    file.close()
    assert path.read_bytes() == b"first\nthird\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log_part_bytes", 0),
        ("log_parts", 1),
        ("audio_part_bytes", 2**32),
        ("audio_parts", 0),
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"output.{name}"):
        OutputConfig(**{name: value}).validate()


def test_a_listener_that_fails_leaves_its_event_in_the_log(tmp_path: Path) -> None:
    def fail(event_id: int, at_us: int, event: events.Event) -> None:
        raise ZeroDivisionError

    with EventLog(tmp_path, VirtualClock(), (fail,)) as log, pytest.raises(ZeroDivisionError):
        log.emit(events.FrameDropped(1))
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 1
