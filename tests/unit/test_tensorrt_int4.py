from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from omnilive_export.graphs import tensorrt_linear
from omnilive_export.graphs.tensorrt_int4 import dequantize_columns, quantize_columns
from omnilive_export.graphs.tensorrt_ops import TensorrtGraph
from omnilive_export.graphs.weight_file import write_graph
from omnilive_export.precision import INT4, LinearFormat
from omnilive_export.reading.row_source import ArrayRows

BLOCK = 64
DTYPES = ("float32", "float16")


@st.composite
def columns_of_weights(draw: st.DrawFn) -> np.ndarray:
    """Weights [in, out] of very different sizes, some blocks all zero or one-sided."""
    blocks, outputs = draw(st.integers(1, 3)), 2 * draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = rng.standard_normal((blocks, BLOCK, outputs))
    sizes = rng.choice([0.0, 1e-3, 0.05, 1.0, 40.0], (blocks, 1, outputs))
    one_sided = rng.random((blocks, 1, outputs)) < 0.3
    weights = np.where(one_sided, -np.abs(weights), weights) * sizes
    return weights.reshape(-1, outputs).astype(np.float32)


columns = columns_of_weights()


@pytest.mark.parametrize("dtype", DTYPES)
@given(columns=columns)
def test_each_value_comes_back_within_half_a_step_and_every_scale_is_positive(
    dtype: str, columns: np.ndarray
) -> None:
    packed, scales = quantize_columns(columns, BLOCK, dtype)
    assert scales.dtype == dtype
    assert (scales > 0).all() and np.isfinite(scales).all()
    steps = np.repeat(scales.astype(np.float32), BLOCK, axis=0)
    error = np.abs(dequantize_columns(packed, scales, BLOCK) - columns)
    # A scale rounded down to float16 leaves the largest value a little outside its codes.
    assert (error <= steps * 0.5 * 1.01).all()


@pytest.mark.parametrize("dtype", DTYPES)
@given(columns=columns)
def test_values_on_the_grid_come_back_as_they_are(dtype: str, columns: np.ndarray) -> None:
    on_grid = dequantize_columns(*quantize_columns(columns, BLOCK, dtype), BLOCK)
    again = dequantize_columns(*quantize_columns(on_grid, BLOCK, dtype), BLOCK)
    np.testing.assert_allclose(again, on_grid, rtol=1e-3, atol=1e-6)


@given(columns=columns)
def test_the_packing_is_the_one_onnx_reads(columns: np.ndarray) -> None:
    packed, scales = quantize_columns(columns, BLOCK, "float32")
    proto = TensorProto(data_type=TensorProto.INT4, dims=columns.shape, raw_data=packed.tobytes())
    codes = numpy_helper.to_array(proto).astype(np.float32)
    expected = codes * np.repeat(scales, BLOCK, axis=0)
    np.testing.assert_array_equal(dequantize_columns(packed, scales, BLOCK), expected)


def test_a_weight_written_band_by_band_is_the_whole_weight_quantized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = np.random.default_rng(5).standard_normal((10, 5 * BLOCK)).astype(np.float32)
    monkeypatch.setattr(tensorrt_linear, "BAND_ELEMENTS", 10 * 2 * BLOCK)
    b = TensorrtGraph("linear", "float16")
    x = b.input("x", "float32", ("rows", weight.shape[1]))
    b.matmul(x, ArrayRows(weight), LinearFormat(INT4, BLOCK), "weight", out="y")
    b.output("y", "float32", ("rows", weight.shape[0]))
    write_graph(b.finish(), tmp_path, advance=lambda cost: None)
    model = onnx.load(tmp_path / "linear" / "model.onnx")
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    packed, scales = quantize_columns(weight.T, BLOCK, "float16")
    np.testing.assert_array_equal(stored["weight.scales"], scales)
    codes = stored["weight.q"].astype(np.float32) * np.repeat(
        scales.astype(np.float32), BLOCK, axis=0
    )
    np.testing.assert_array_equal(codes, dequantize_columns(packed, scales, BLOCK))


def test_a_width_that_blocks_do_not_fill_is_stored_as_floats() -> None:
    weight = np.random.default_rng(6).standard_normal((4, BLOCK + 2)).astype(np.float32)
    b = TensorrtGraph("linear", "float16")
    x = b.input("x", "float32", ("rows", weight.shape[1]))
    b.matmul(x, ArrayRows(weight), LinearFormat(INT4, BLOCK), "weight", out="y")
    graph = b.finish()
    assert [(t.name, t.dtype) for t in graph.tensors] == [("weight", "float16")]
