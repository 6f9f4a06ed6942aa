"""The native block quantizers against their definitions in NumPy, to the bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quantize_reference as reference
from omnilive._native import quantize_calibrated, quantize_half_quadratic, quantize_nearest
from omnilive_export.quantize import BlockFormat, QuantizedRows, dequantize_rows

BLOCKS = (32, 64, 128)
GROUP = 128

formats = st.builds(BlockFormat, st.just(4), st.sampled_from(BLOCKS), st.booleans())


def weights_of(seed: int, n: int, k: int) -> np.ndarray:
    """Weights as models have them, and as they do not: outliers, rows of zeros, tiny values."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((n, k)).astype(np.float32)
    weight *= np.float32(10) ** rng.integers(-6, 2, (n, 1)).astype(np.float32)
    weight[rng.random((n, k)) < 0.01] *= 20
    weight[rng.random(n) < 0.1] = 0
    weight[:, rng.random(k) < 0.05] = 0
    return weight


def factors_of(seed: int, k: int) -> np.ndarray:
    """Upper Cholesky factors of inverse second moments of correlated inputs."""
    rng = np.random.default_rng(seed)
    groups = -(-k // GROUP)
    mixing = rng.standard_normal((groups, GROUP, GROUP)) * rng.uniform(0.1, 3, (groups, 1, GROUP))
    moments = mixing.transpose(0, 2, 1) @ mixing / GROUP + 0.01 * np.eye(GROUP)
    lower = np.linalg.cholesky(np.linalg.inv(moments))
    return np.ascontiguousarray(lower.transpose(0, 2, 1), np.float32)


def assert_same(found: tuple, expected: QuantizedRows) -> None:
    packed, scales, zeros = found
    np.testing.assert_array_equal(scales, expected.scales)
    np.testing.assert_array_equal(packed, expected.packed)
    if expected.zero_points is None:
        assert zeros is None
    else:
        np.testing.assert_array_equal(zeros, expected.zero_points)


shapes = {"seed": st.integers(0, 9999), "n": st.integers(1, 70), "k": st.integers(1, 300)}


@settings(max_examples=40)
@given(**shapes, fmt=formats, bits=st.sampled_from((4, 8)))
def test_round_to_nearest_is_its_definition_to_the_bit(
    seed: int, n: int, k: int, fmt: BlockFormat, bits: int
) -> None:
    weight = weights_of(seed, n, k)
    fmt = BlockFormat(bits, fmt.block, fmt.symmetric)
    found = quantize_nearest(weight, bits=bits, block=fmt.block, symmetric=fmt.symmetric, threads=2)
    assert_same(found, reference.nearest(weight, fmt))


@settings(max_examples=15)
@given(**shapes, fmt=formats)
def test_half_quadratic_is_its_definition_to_the_bit(
    seed: int, n: int, k: int, fmt: BlockFormat
) -> None:
    weight = weights_of(seed, n, k)
    found = quantize_half_quadratic(weight, block=fmt.block, symmetric=fmt.symmetric, threads=2)
    assert_same(found, reference.half_quadratic(weight, fmt))


@settings(max_examples=10)
@given(**shapes, fmt=formats)
def test_calibrated_is_its_definition_to_the_bit(
    seed: int, n: int, k: int, fmt: BlockFormat
) -> None:
    weight, factors = weights_of(seed, n, k), factors_of(seed, k)
    found = quantize_calibrated(
        weight, factors, block=fmt.block, symmetric=fmt.symmetric, threads=2
    )
    assert_same(found, reference.calibrated(weight, factors, fmt))


@settings(max_examples=10)
@given(seed=st.integers(0, 9999), fmt=formats)
def test_half_quadratic_is_never_farther_from_a_row_than_round_to_nearest(
    seed: int, fmt: BlockFormat
) -> None:
    weight = weights_of(seed, 33, 256)
    options = {"block": fmt.block, "symmetric": fmt.symmetric, "threads": 1}
    errors = [
        np.square(dequantize_rows(QuantizedRows(*found), fmt, 256) - weight).sum(axis=1)
        for found in (
            quantize_half_quadratic(weight, **options),
            quantize_nearest(weight, bits=4, **options),
        )
    ]
    assert np.all(errors[0] <= 1.0001 * errors[1] + 1e-30)


@settings(max_examples=10)
@given(seed=st.integers(0, 9999), fmt=formats)
def test_calibrated_changes_outputs_less_than_round_to_nearest(seed: int, fmt: BlockFormat) -> None:
    weight = np.random.default_rng(seed).standard_normal((64, GROUP)).astype(np.float32)
    factors = factors_of(seed, GROUP)
    moments = np.linalg.inv(factors[0].T.astype(np.float64) @ factors[0])
    options = {"block": fmt.block, "symmetric": fmt.symmetric, "threads": 1}
    errors = []
    for found in (
        quantize_calibrated(weight, factors, **options),
        quantize_nearest(weight, bits=4, **options),
    ):
        change = dequantize_rows(QuantizedRows(*found), fmt, GROUP) - weight
        errors.append(np.einsum("ni,ij,nj->", change, moments, change))
    assert errors[0] < errors[1]


QUANTIZERS: dict[str, Callable] = {
    "nearest": lambda weight, **options: quantize_nearest(weight, bits=4, **options),
    "half-quadratic": quantize_half_quadratic,
    "calibrated": lambda weight, **options: quantize_calibrated(
        weight, np.eye(GROUP, dtype=np.float32)[None], **options
    ),
}


@pytest.fixture(params=QUANTIZERS)
def quantizer(request: pytest.FixtureRequest) -> Callable:
    return QUANTIZERS[request.param]


def test_the_number_of_threads_changes_nothing(quantizer: Callable) -> None:
    weight = weights_of(3, 200, GROUP)
    one, many = (
        quantizer(weight, block=32, symmetric=False, threads=threads) for threads in (1, 7)
    )
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(quantizer: Callable, odd: float) -> None:
    weight = np.ones((40, GROUP), np.float32)
    weight[35, 100] = odd
    with pytest.raises(ValueError, match="not finite"):
        quantizer(weight, block=32, symmetric=True, threads=2)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"block": 48}, "block"),
        ({"block": 0}, "block"),
        ({"threads": 0}, "threads"),
    ],
)
def test_odd_options_are_refused(quantizer: Callable, options: dict, what: str) -> None:
    asked = {"block": 32, "symmetric": True, "threads": 1, **options}
    with pytest.raises(ValueError, match=what):
        quantizer(np.ones((2, GROUP), np.float32), **asked)


def test_other_dtypes_and_factors_of_another_shape_are_refused() -> None:
    options = {"block": 32, "symmetric": True, "threads": 1}
    with pytest.raises(TypeError):
        quantize_half_quadratic(np.ones((2, 64)), **options)
    weight = np.ones((2, 256), np.float32)
    for shape in ((1, 128, 128), (2, 128, 64), (2, 96, 96), (1, 256, 256)):
        with pytest.raises(ValueError, match="factors"):
            quantize_calibrated(weight, np.ones(shape, np.float32), **options)


def test_no_rows_give_no_codes(quantizer: Callable) -> None:
    packed, scales, zeros = quantizer(
        np.ones((0, GROUP), np.float32), block=64, symmetric=False, threads=2
    )
    assert packed.shape == (0, 2, 32)
    assert scales.shape == (0, 2)
    assert zeros.shape == (0, 1)
