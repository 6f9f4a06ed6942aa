"""Verification without engines: its measures, tolerances, inputs, and what it asks of a machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.errors import BuildError, SetupError
from omnilive_export.verify import inputs
from omnilive_export.verify.measure import (
    Comparison,
    accuracy_record,
    cosine,
    relative_error,
    tolerance,
    top1_agreement,
)
from omnilive_export.verify.reference import load_references

FP32 = {"blocks": "fp32", "head": "fp32"}
INT4 = {"blocks": "int4", "head": "int8"}


def rows(seed: int = 0, shape: tuple[int, ...] = (4, 8)) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_relative_error_is_largest_difference_over_root_mean_square() -> None:
    expected = np.array([[3.0, -3.0], [3.0, 3.0]], np.float32)
    actual = expected + np.array([[0.0, 0.3], [-0.6, 0.0]], np.float32)
    assert relative_error(actual, expected) == pytest.approx(0.2)


@given(scale=st.floats(min_value=1e-3, max_value=1e3))
def test_measures_of_equal_and_of_scaled_outputs(scale: float) -> None:
    expected = rows()
    assert relative_error(expected, expected) == 0.0
    assert cosine(expected * np.float32(scale), expected) == pytest.approx(1.0)
    assert top1_agreement(expected * np.float32(scale), expected) == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_output_never_passes(bad: float) -> None:
    broken = rows()
    broken[1, 2] = bad
    for precision in (FP32, INT4):
        record = accuracy_record("r", precision, [Comparison("c", broken, rows())], where="e")
        assert not record["passed"]


def test_record_keeps_the_worst_case_and_counts_logit_rows_once_each() -> None:
    good = rows()
    off = good.copy()
    off[0] = -off[0]
    other = rows(1, (12, 8))
    record = accuracy_record(
        "r",
        FP32,
        [
            Comparison("good", good, good, logits=True),
            Comparison("off", off, good, logits=True),
            Comparison("other", other, other, logits=True),
        ],
        where="e",
    )
    assert record["inputs"] == ["good", "off", "other"]
    assert record["relative_error"] == pytest.approx(relative_error(off, good))
    assert record["cosine"] == pytest.approx(cosine(off, good))
    assert record["top1"] == pytest.approx(19 / 20)
    assert record["tolerance"] == {"relative_error": 1e-4}
    assert record["passed"] is False


def test_tolerance_follows_the_coarsest_weights() -> None:
    assert set(tolerance(FP32)) == {"relative_error"}
    assert tolerance(INT4)["cosine"] < tolerance({"blocks": "int8"})["cosine"] < 1.0


def test_an_output_of_another_shape_is_named() -> None:
    with pytest.raises(BuildError, match=r"engine e: gives \(3, 8\) for c, its source \(4, 8\)"):
        accuracy_record("r", FP32, [Comparison("c", rows()[:3], rows())], where="e")


def test_inputs_are_the_same_for_the_same_seed() -> None:
    for make in (
        lambda rng: inputs.structured_frames(rng, 2, 28),
        lambda rng: inputs.noise_frames(rng, 2, 28),
        lambda rng: inputs.speech_like(rng, 500),
        lambda rng: inputs.embeddings(rng, 3, rows()),
    ):
        first, second = (make(np.random.default_rng(7)) for _ in range(2))
        assert np.array_equal(first, second)


def test_audio_lengths_reach_both_limits_and_straddle_a_token() -> None:
    lengths = inputs.audio_lengths(321, 480_000, 160)
    assert (lengths[0], lengths[-1]) == (321, 480_000)
    assert {3199, 3200, 3201} <= set(lengths)
    assert all(321 <= n <= 480_000 for n in inputs.audio_lengths(321, 480_000, 160))


def test_references_outside_a_checkout_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="Verify from a checkout") as caught:
        load_references(tmp_path)
    assert caught.value.where == str(tmp_path)


def test_missing_extra_is_named_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )
    with pytest.raises(SetupError, match=r"torch not installed.*make install-test"):
        load_references()
