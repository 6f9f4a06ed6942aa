"""What a trace of the lanes holds, in virtual and in real time."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from lane_jobs import WAIT_S, MakeLanes, job, soon
from omnilive.lanes import Job, Lane, Lanes, ThreadLanes, VirtualLanes, Work
from omnilive.scheduling.trace import Span, chrome_trace, write_trace
from omnilive.tasks import Task, TaskQueue


@pytest.fixture(params=[VirtualLanes, ThreadLanes])
def traced(request: pytest.FixtureRequest) -> Lanes:
    """Lanes that keep four spans, after a running, a waiting and a cancelled job of one lane."""
    lanes: Lanes = request.param(None, spans_kept=4)
    all_there = threading.Event()

    def look() -> Work[None]:
        if isinstance(lanes, ThreadLanes):
            assert all_there.wait(WAIT_S)
        return Work(None, 30)

    def begin() -> None:
        lanes.submit(Job(Lane.SEE, look, lambda f: None))
        lanes.submit(job(Lane.SEE, "waits", []))
        lanes.submit(job(Lane.REASON, "runs", [], generation=2))
        lanes.submit(Job(Lane.SEE, look, lambda f: None, generation=1, name="never"))
        lanes.cancel_before(2)
        all_there.set()

    lanes.start()
    soon(lanes, begin)
    lanes.run()
    lanes.close()
    return lanes


def test_every_job_is_a_span_with_its_waits_and_its_fate(traced: Lanes) -> None:
    spans = {(span.lane, span.name, span.state): span for span in traced.spans()}
    assert len(spans) == 4
    first, never = spans[Lane.SEE, "look", "done"], spans[Lane.SEE, "never", "dropped"]
    (waited,) = [s for s in spans.values() if s.lane is Lane.SEE and s.name == "<lambda>"]
    assert never.started_us is None and never.generation == 1
    assert first.started_us is not None and waited.started_us is not None
    assert 0 <= first.submitted_us <= first.started_us <= first.ended_us
    assert waited.submitted_us <= first.ended_us <= waited.started_us <= waited.ended_us
    assert [s.generation for s in spans.values() if s.lane is Lane.REASON] == [2]


def test_the_figures_of_a_lane_count_its_jobs_by_fate(traced: Lanes) -> None:
    see = traced.figures()["see"]
    assert (see["submitted"], see["done"], see["cancelled"]) == (3, 2, 1)
    assert traced.figures()["reason"]["done"] == 1


@pytest.mark.parametrize("make", [VirtualLanes, ThreadLanes])
def test_the_figures_of_a_lane_count_missed_deadlines(make: MakeLanes) -> None:
    lanes = make()

    def begin() -> None:
        for deadline_us in (-1, 3_600_000_000, None):
            lanes.submit(
                Job(Lane.SEE, lambda: Work(None, 10), lambda f: None, deadline_us=deadline_us)
            )

    lanes.start()
    soon(lanes, begin)
    lanes.run()
    lanes.close()
    see = lanes.figures()["see"]
    assert (see["done"], see["missed"]) == (3, 1)


def test_only_the_newest_spans_are_kept() -> None:
    lanes = VirtualLanes(spans_kept=3)
    for _ in range(10):
        lanes.submit(job(Lane.LISTEN, "job", []))
    lanes.run()
    assert [span.ended_us for span in lanes.spans()] == [80, 90, 100]


def test_lanes_that_keep_no_spans_have_none() -> None:
    lanes = VirtualLanes()
    lanes.submit(job(Lane.LISTEN, "job", []))
    lanes.run()
    assert lanes.spans() == ()


def test_the_steps_of_a_task_are_named_after_it() -> None:
    lanes = VirtualLanes(spans_kept=9)

    def _compress():  # type: ignore[no-untyped-def]
        yield Work(None, 1)

    TaskQueue(lanes, Lane.REMEMBER).submit(Task(_compress(), on_step=lambda f: None))
    lanes.run()
    assert {span.name for span in lanes.spans()} == {"compress"}


def test_a_trace_file_has_a_row_per_lane_and_a_mark_per_dropped_job(tmp_path: Path) -> None:
    ran = Span(Lane.REASON, "decode", "done", 3, 10.0, 12.5, 20.0)
    dropped = Span(Lane.SEE, "encode", "dropped", None, 5.0, None, 9.0)
    path = tmp_path / "new folder" / "trace.json"
    write_trace(path, [ran, dropped], {"see": {"dropped": 1}})
    trace = json.loads(path.read_text(encoding="utf-8"))
    rows = {e["args"]["name"]: e["tid"] for e in trace["traceEvents"] if e["ph"] == "M"}
    assert sorted(rows) == sorted(lane.value for lane in Lane) and len(set(rows.values())) == 5
    mark, bar = (e for e in trace["traceEvents"] if e["ph"] != "M")
    assert (mark["ph"], mark["tid"], mark["ts"]) == ("i", rows["see"], 9.0)
    assert (bar["ph"], bar["tid"], bar["ts"], bar["dur"]) == ("X", rows["reason"], 12.5, 7.5)
    assert bar["args"] == {"state": "done", "generation": 3, "waited_us": 2.5}
    assert trace["otherData"] == {"see": {"dropped": 1}}


def test_a_trace_of_nothing_is_a_trace() -> None:
    assert len(chrome_trace([], {})["traceEvents"]) == len(Lane)
