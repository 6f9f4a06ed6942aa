"""The lanes benchmark's bars: what is held against them, and what is printed."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import lanes
from fakes_pack import write_pack
from lane_bars import Row, as_json, missed, table
from lane_device import compared
from lane_loads import Watched
from lane_sound import lost_samples
from omnilive.errors import SetupError

MET = Row("met", "µs", (1.0, 2.0, 9.0), "p50", 2.0)
MISSED = Row("missed", "µs", (1.0, 2.0, 9.0), "maximum", 8.0)
RATE = Row("rate", "jobs/s", (300.0,), "p50", 200.0, at_least=True)
FREE = Row("free", "µs", (5.0,))


def test_the_named_quantile_is_held_against_the_bar() -> None:
    assert MET.holds is True and MISSED.holds is False
    assert RATE.holds is True
    assert Row("slow", "jobs/s", (100.0,), "p50", 200.0, at_least=True).holds is False
    assert FREE.holds is None


def test_a_bar_without_samples_is_missed() -> None:
    assert Row("nothing", "ms", (), "p99", 5.0).holds is False
    assert missed([MET, MISSED, FREE]) == (MISSED,)


def test_every_distribution_stands_beside_its_bar() -> None:
    text = io.StringIO()
    Console(file=text, width=150).print(table([MET, MISSED, RATE, FREE]))
    lines = {line.split()[0]: line for line in text.getvalue().splitlines() if line.strip()}
    assert "p50 ≤ 2.00" in lines["met"] and lines["met"].rstrip().endswith("met")
    assert "maximum ≤ 8.00" in lines["missed"] and "MISSED" in lines["missed"]
    assert "p50 ≥ 200" in lines["rate"]
    assert "≤" not in lines["free"] and "≥" not in lines["free"]


def test_the_json_says_what_was_measured_and_whether_it_holds() -> None:
    met, nothing = as_json([MET, Row("nothing", "ms", ())])
    assert met["summary"]["p50"] == 2.0 and met["holds"] is True
    assert nothing["summary"] is None
    json.dumps([met, nothing])


def test_without_a_device_the_gpu_is_refused_and_no_figure_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    for part in ("cuda", "cuda_lanes"):
        monkeypatch.delitem(sys.modules, f"omnilive.backends.{part}", raising=False)
    write_pack(tmp_path)
    figures = tmp_path / "lanes.json"
    line = ["--gpu", "--pack", str(tmp_path), "--threads", "1", "--json", str(figures)]
    assert lanes.main(line) == SetupError.exit_code
    assert "engine.device = cuda" in capsys.readouterr().err
    assert not figures.exists()


@pytest.mark.parametrize(("with_ms", "holds"), [(4.0, True), (6.0, True), (7.0, False)])
def test_priorities_must_not_make_frames_wait_longer(with_ms: float, holds: bool) -> None:
    flat = Watched(waits_us=[1_000.0, 6_000.0])
    prioritized = Watched(waits_us=[1_000.0, with_ms * 1_000], lost=1)
    without, beside, lost = compared("decoding", flat, prioritized)
    assert without.holds is None and beside.holds is holds
    assert lost.samples == (1.0,) and lost.holds is False


def test_sound_that_is_missing_or_silent_in_its_place_is_lost() -> None:
    sound = np.linspace(0.1, 0.9, 100, dtype=np.float32)
    before = np.zeros(7, np.float32)
    stream = np.concatenate([before, sound, np.zeros(30, np.float32)])
    assert lost_samples(stream, sound) == (0, 0)
    assert lost_samples(before, sound) == (100, 0)
    assert lost_samples(stream[:-70], sound) == (40, 0)
    gap = stream.copy()
    gap[27:37] = 0
    assert lost_samples(gap, sound) == (10, 10)
    # Sound that slipped by a sample is not where it belongs.
    assert lost_samples(np.delete(stream, 57), sound)[0] == 50
