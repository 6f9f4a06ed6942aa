"""The kernel benchmark: what a bar means, and what comes out of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kernels
from kernel_measures import Measure, Sampled
from omnilive.report.statistics import summarize

FAST = Measure("gain", "times as fast", "ratio", True, 3)
SLOW = Measure("call", "one call", "us", False, 30)
FREE = Measure("read", "plain sum", "GB/s")


@pytest.mark.parametrize(
    ("measure", "samples", "met"),
    [
        (FAST, (1.0, 3.0, 9.0), True),
        (FAST, (2.0, 2.9, 9.0), False),
        (SLOW, (1.0, 30.0, 99.0), True),
        (SLOW, (1.0, 31.0, 32.0), False),
        (FREE, (0.0,), True),
    ],
)
def test_a_bar_is_for_the_median_and_its_side(
    measure: Measure, samples: tuple[float, ...], met: bool
) -> None:
    summary = summarize(samples)
    assert summary is not None
    assert kernels.meets(measure, summary) == met


@pytest.mark.parametrize(
    ("gain", "options", "code"), [(4.0, ["--check"], 0), (2.0, ["--check"], 1), (2.0, [], 0)]
)
def test_only_a_missed_bar_that_is_checked_fails(
    gain: float,
    options: list[str],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = [Sampled(FAST, (gain,) * 3), Sampled(FREE, (20.0,))]
    monkeypatch.setattr(kernels, "_measure", lambda args: found)
    file = tmp_path / "figures.json"
    assert kernels.main([*options, "--json", str(file)]) == code
    result = json.loads(file.read_text())
    assert result["missed"] == ([] if gain >= 3 else ["gain"])
    assert result["measures"]["gain"]["p50"] == gain
    assert ("missed: gain" in capsys.readouterr().out) == (gain < 3)


def test_a_small_run_measures_every_kernel(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    assert (
        kernels.main(["--rounds", "1", "--rows", "50", "--threads", "1", "--json", str(file)]) == 0
    )
    measures = json.loads(file.read_text())["measures"]
    bars = {name for name, values in measures.items() if values["bar"] is not None}
    assert {"sample_greedy", "sample_top_k_top_p", "topk_share", "resize_gain_720_to_336"} <= bars
    assert measures["resize_error_1080_to_560"]["met"]
    assert all(values["minimum"] >= 0 for values in measures.values())
