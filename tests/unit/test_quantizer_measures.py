from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from omnilive_export.quantizing.moments import MomentSum, read_calibration, write_calibration
from quantizer_measures import Variant, compared, misses, shown, weight_errors


def row(method: str, kl: float | None, output_error: float = 0.1) -> dict[str, Any]:
    return {
        **Variant(method, 32, True).as_json(),
        **{"engine": "lm", "weight_error": 0.1, "weighted_error": 0.1, "rows": 5},
        **{"output_error": output_error, "kl": kl, "top1": None if kl is None else 1.0},
    }


def found(*rows: dict[str, Any], speed: float = 1e8) -> dict[str, Any]:
    timed = {"method": "hqq", "block": 32, "cores": 2, "extrapolated_7b_s": 7e9 / speed}
    return {"rows": list(rows), "speed": [{**timed, "weights_per_s": speed}], "load_before": 0.5}


def test_one_better_method_is_enough_and_none_is_a_miss() -> None:
    assert misses(found(row("rtn", 0.02), row("hqq", 0.03), row("calibrated", 0.02))) == []
    (missed,) = misses(found(row("rtn", 0.02), row("hqq", 0.03), row("calibrated", 0.021)))
    assert "lm, symmetric blocks of 32" in missed


def test_an_engine_without_logits_is_judged_by_its_outputs() -> None:
    assert misses(found(row("rtn", None, 0.1), row("hqq", None, 0.1))) == []
    assert len(misses(found(row("rtn", None, 0.1), row("hqq", None, 0.11)))) == 1


def test_a_slow_method_is_a_miss() -> None:
    (missed,) = misses(found(speed=2.9e6))
    assert "2.9 million weights/s" in missed


def test_every_figure_is_in_the_table() -> None:
    text = shown(found(row("rtn", 0.0123), row("hqq", None, 0.456)))
    for figure in ("1.23e-02", "0.4560", "100.00%", "100 million weights/s", "1.2 minutes"):
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
