from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from omnilive_export.graphs.ort_ops import OrtGraph
from omnilive_export.graphs.weight_file import write_graph
from omnilive_export.precision import FP32, INT4, INT8, LinearFormat, pack_precision
from omnilive_export.quantize import (
    BlockFormat,
    dequantize_rows,
    quantize_rows,
    quantize_table_rows,
)
from omnilive_export.reading.row_source import ArrayRows

FORMATS = [
    BlockFormat(bits, block, symmetric)
    for bits in (4, 8)
    for block in (32, 64, 128)
    for symmetric in (True, False)
]

values = st.floats(-1e3, 1e3, width=32)
matrices = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=200).flatmap(
    lambda shape: hnp.arrays(np.float32, (min(shape[0], 5), shape[1]), elements=values)
)


def scale_of_each_weight(scales: np.ndarray, block: int, k: int) -> np.ndarray:
    return np.abs(np.repeat(scales, block, axis=1)[:, :k])


@given(weight=matrices, fmt=st.sampled_from(FORMATS))
def test_a_weight_comes_back_within_half_a_step_or_a_step_where_codes_end(
    weight: np.ndarray, fmt: BlockFormat
) -> None:
    n, k = weight.shape
    rows = quantize_rows(weight, fmt)
    assert rows.packed.shape == (n, fmt.blocks(k), fmt.blob_bytes())
    step = scale_of_each_weight(rows.scales, fmt.block, k)
    # A symmetric grid has one code more on the side of the extreme; the zero point of an
    # asymmetric one is itself rounded.
    bound = 1.001 * step + 1e-30
    assert np.all(np.abs(dequantize_rows(rows, fmt, k) - weight) <= bound)


@given(weight=matrices, block=st.sampled_from((32, 64, 128)), bits=st.sampled_from((4, 8)))
def test_an_extreme_of_each_symmetric_block_is_exact(
    weight: np.ndarray, block: int, bits: int
) -> None:
    # Of two extremes of equal size and opposite sign, the range holds only one.
    fmt = BlockFormat(bits, block)
    k = weight.shape[1]
    back = dequantize_rows(quantize_rows(weight, fmt), fmt, k)
    for start in range(0, k, block):
        part = weight[:, start : start + block]
        extreme = np.abs(part) == np.abs(part).max(axis=1, keepdims=True)
        exact = np.isclose(back[:, start : start + block], part, rtol=1e-6, atol=1e-30)
        assert np.all((extreme & exact).any(axis=1))


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_zeros_stay_zeros(fmt: BlockFormat) -> None:
    weight = np.zeros((3, 200), np.float32)
    assert not dequantize_rows(quantize_rows(weight, fmt), fmt, 200).any()


@given(weight=matrices, fmt=st.sampled_from(FORMATS))
def test_rows_are_quantized_independently(weight: np.ndarray, fmt: BlockFormat) -> None:
    whole = quantize_rows(weight, fmt)
    last = quantize_rows(weight[-1:], fmt)
    np.testing.assert_array_equal(whole.packed[-1:], last.packed)
    np.testing.assert_array_equal(whole.scales[-1:], last.scales)


@given(rows=matrices)
def test_table_rows_come_back_within_half_a_step(rows: np.ndarray) -> None:
    codes, scales = quantize_table_rows(rows)
    error = np.abs(codes.astype(np.float32) * scales[:, None] - rows)
    assert np.all(error <= 0.5001 * scales[:, None] + 1e-30)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("k", (256, 200))
def test_onnxruntime_reads_the_packing_as_it_is_meant(
    fmt: BlockFormat, k: int, tmp_path: Path
) -> None:
    weight = np.random.default_rng(1).standard_normal((24, k)).astype(np.float32)
    kind = INT4 if fmt.bits == 4 else INT8
    run = linear_session(weight, LinearFormat(kind, fmt.block, fmt.symmetric), tmp_path)
    # One-hot rows survive the rounding of activations, so the weights come out as they are.
    expected = dequantize_rows(quantize_rows(weight, fmt), fmt, k)
    np.testing.assert_allclose(run(np.eye(k, dtype=np.float32)).T, expected, rtol=0, atol=2e-6)


@settings(max_examples=10)
@given(n=st.integers(1, 70), k=st.integers(1, 70), seed=st.integers(0, 99))
def test_float_weights_are_stored_transposed(
    tmp_path_factory: pytest.TempPathFactory, n: int, k: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((n, k)).astype(np.float32)
    x = rng.standard_normal((3, k)).astype(np.float32)
    run = linear_session(weight, LinearFormat(FP32, 32), tmp_path_factory.mktemp("linear"))
    np.testing.assert_allclose(run(x), x @ weight.T, rtol=1e-4, atol=1e-4)


def test_int4_keeps_heads_encoders_and_tables_at_eight_bits() -> None:
    precision = pack_precision("int4", block=32)
    assert precision.blocks.kind == INT4
    assert {precision.head.kind, precision.encoder.kind, precision.plora.kind} == {INT8}
    assert precision.tables == INT8


def linear_session(weight: np.ndarray, fmt: LinearFormat, folder: Path):
    """x [rows, k] → x · weightᵀ, through a written graph."""
    b = OrtGraph("linear")
    x = b.input("x", "float32", ("rows", weight.shape[1]))
    b.matmul(x, ArrayRows(weight), fmt, "weight", out="y")
    b.output("y", "float32", ("rows", weight.shape[0]))
    write_graph(b.finish(), folder, advance=lambda cost: None)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(folder / "linear" / "model.onnx"), options)
    return lambda x: session.run(None, {"x": x})[0]
