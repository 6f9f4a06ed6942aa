"""The memory benchmark's verdict: its exit code and what it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memory_work
from memory_equality import deviation, same_retrieval
from memory_stream import Recalled, Script
from omnilive.memory.config import RetrievalConfig
from omnilive.memory.selection import select

MEASURES = ("_count_an_hour", "_count_a_busy_hour", "_compare_results", "_time_first_token")


@pytest.mark.parametrize(
    ("met", "arguments", "code"),
    [(True, ["--check"], 0), (False, ["--check"], 1), (False, [], 0)],
)
def test_a_missed_bar_is_an_exit_code_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    met: bool,
    arguments: list[str],
    code: int,
) -> None:
    for name in MEASURES:
        monkeypatch.setattr(memory_work, name, lambda *a: None)

    def hold(report: Any, *rest: object) -> None:
        report.figures["hour"] = {"frames": 3600}
        report.hold("tokens", "7 (bar: 7)", True)
        report.hold("ratio", "0.4 (bar: at most 0.5)", met)

    monkeypatch.setattr(memory_work, "_count_an_hour", hold)
    out = tmp_path / "out.json"
    assert memory_work.main([*arguments, "--json", str(out)]) == code
    written = json.loads(out.read_text("utf-8"))
    assert [bar["met"] for bar in written["bars"]] == [True, met]
    assert written["figures"] == {"hour": {"frames": 3600}}
    assert ("MISSED" in capsys.readouterr().out) == (not met)


def test_the_clips_of_a_script_follow_the_cut_rule() -> None:
    script = Script((2, 5, 1, 1, 4), ((0, "a"), (7, "b"), (12, "c")))
    stream = script.stream(clip_min=3, clip_max=4)
    # A new scene cuts only clips of three frames on; a fourth frame fills a clip.
    assert stream.lengths == (4, 3, 4, 2)
    assert stream.questions == ((0, 1), (2, 1), (3, 2))


def test_deviation_is_of_the_largest_difference_and_other_shapes_never_agree() -> None:
    a, b = np.array([1.0, 1.0], np.float32), np.array([1.0, -1.0], np.float32)
    assert deviation(a, a) == 0 and deviation(a, b) == 2
    assert deviation(a, a[:1]) == float("inf")


def recalled(scores: list[float]) -> Recalled:
    empty = np.zeros((0, 2), np.float32)
    return Recalled((), empty, np.array(scores, np.float32), select(scores, RetrievalConfig()))


def test_other_clips_are_the_same_retrieval_only_where_a_tie_decides() -> None:
    config = RetrievalConfig()
    assert same_retrieval(recalled([0.5, 0.1]), recalled([0.5, 0.1]), config)
    assert not same_retrieval(recalled([0.5, 0.1]), recalled([0.1, 0.5]), config)
    # Six alike are each improbable; the best of them stands in, and a hair decides which.
    alike = [0.3] * 6
    other = [0.3] * 5 + [0.3 + 1e-7]
    assert recalled(alike).selection.clips != recalled(other).selection.clips
    assert same_retrieval(recalled(alike), recalled(other), config)
