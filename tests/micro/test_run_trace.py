"""``omnilive run --trace``: the lanes of a run as a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import Run, Stream

from omnilive.cli.main import main


def test_a_run_writes_what_its_lanes_did(
    run: Callable[..., Run], stream: Stream, answer_everything: Path, tmp_path: Path
) -> None:
    path = tmp_path / "trace.json"
    run(stream.path, "--config", str(answer_everything), "--trace", str(path))
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    lanes = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M"}
    names = {(lanes[e["tid"]], e["name"]) for e in events if e["ph"] == "X"}
    assert {
        ("see", "encode"),
        ("remember", "remember"),
        ("reason", "answer"),
        ("listen", "transcribing"),
    } <= names


def test_a_trace_that_cannot_be_written_is_one_clear_line(
    stream: Stream, micro_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("", encoding="utf-8")
    out = tmp_path / "out"
    arguments = ["run", str(stream.path), "--pack", str(micro_pack), "--out", str(out)]
    code = main([*arguments, "--trace", str(taken / "trace.json")])
    error = capsys.readouterr().err
    assert code != 0 and error.count("\n") == 1 and "--trace" in error
    assert (out / "events.jsonl").stat().st_size > 0
