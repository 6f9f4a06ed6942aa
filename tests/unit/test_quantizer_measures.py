from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from omnilive_export.quantizing.moments import MomentSum, read_calibration, write_calibration
from quantizer_measures import (
    Variant,
    against,
    compared,
    distances,
    misses,
    shown,
    weight_errors,
)


def row(
    method: str, kl: float | None, against: tuple[float, float, float] | None = None
) -> dict[str, Any]:
    gap = None if against is None else dict(zip(("value", "low", "high"), against, strict=True))
    return {
        **Variant(method, 32, True).as_json(),
        **{"engine": "lm", "weight_error": 0.1, "weighted_error": 0.1, "rows": 5},
        **{"output_error": 0.456, "kl": kl, "top1": None if kl is None else 1.0},
        "against_rtn": gap,
    }


def found(*rows: dict[str, Any], speed: float = 1e8) -> dict[str, Any]:
    timed = {"method": "hqq", "block": 32, "cores": 2, "extrapolated_7b_s": 7e9 / speed}
    return {"rows": list(rows), "speed": [{**timed, "weights_per_s": speed}], "load_before": 0.5}


def test_one_method_no_worse_is_enough_and_none_is_a_miss() -> None:
    nearest, worse = row("rtn", 0.02), row("hqq", 0.03, (0.01, 0.005, 0.02))
    assert misses(found(nearest, worse, row("calibrated", 0.02, (-0.01, -0.02, -0.001)))) == []
    (missed,) = misses(found(nearest, worse, row("calibrated", 0.04, (0.02, 0.01, 0.03))))
    assert "lm, symmetric blocks of 32" in missed
    assert "0.01 (0.005 to 0.02)" in missed


def test_what_chance_may_explain_is_no_miss() -> None:
    assert misses(found(row("rtn", 0.02), row("hqq", 0.03, (0.01, -0.001, 0.02)))) == []


def test_differences_are_taken_row_by_row() -> None:
    rng = np.random.default_rng(0)
    expected = rng.standard_normal((200, 8)).astype(np.float32) * 3
    near, far = (
        expected + rng.standard_normal(expected.shape).astype(np.float32) * np.float32(size)
        for size in (0.1, 0.3)
    )
    for are_logits in (True, False):
        one, other = (distances(expected, rows, are_logits) for rows in (near, far))
        gap = against(one, other)
        assert 0 < gap["low"] < gap["value"] < gap["high"]
        assert against(other, one)["high"] < 0
    measures = compared(expected, far, True)
    mean = np.mean([item.num for item in distances(expected, far, True)])
    assert measures["kl"] == pytest.approx(mean)


def test_a_slow_method_is_a_miss() -> None:
    (missed,) = misses(found(speed=2.9e6))
    assert "2.9 million weights/s" in missed


def test_every_figure_is_in_the_table() -> None:
    text = shown(found(row("rtn", 0.0123), row("hqq", None, (0.01, -0.001, 0.02))))
    for figure in (
        "1.23e-02",
        "0.4560",
        "+1.0e-02 (-1.0e-03, +2.0e-02)",
        "100.00%",
        "100 million weights/s",
        "1.2 minutes",
    ):
        assert figure in text


def test_rows_are_compared_by_their_size_and_logits_by_their_divergence() -> None:
    expected = np.array([[1.0, -1.0], [1.0, 1.0]], np.float32)
    measures = compared(expected, expected * np.float32(1.1), True)
    assert measures["output_error"] == pytest.approx(0.1, rel=1e-5)
    assert measures["kl"] > 0
    assert measures["top1"] == 1
    assert compared(expected, expected, False)["kl"] is None


def test_weighted_errors_are_those_of_the_outputs(tmp_path) -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((40, 128)).astype(np.float32)
    inputs = rng.standard_normal((500, 128)).astype(np.float32) * rng.uniform(0, 2, 128)
    total = MomentSum(128)
    total.add(inputs.astype(np.float32))
    write_calibration(tmp_path / "s.npz", {"lm/x": total.mean()}, {"lm/w": "lm/x"}, {})
    calibration = read_calibration(tmp_path / "s.npz")
    errors = {
        method: weight_errors({"lm/w": weight}, Variant(method, 32, True), calibration)["lm"]
        for method in ("rtn", "hqq", "calibrated")
    }
    assert errors["hqq"]["weight_error"] < errors["rtn"]["weight_error"]
    assert errors["calibrated"]["weighted_error"] < errors["rtn"]["weighted_error"]
    assert 0.02 < errors["rtn"]["weighted_error"] < 0.2
