"""Runs graphs of both dialects side by side on ONNX Runtime's CPU provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from omnilive_export.graphs.dialect import NewGraph
from omnilive_export.graphs.ort_ops import OrtGraph
from omnilive_export.graphs.tensorrt_int4 import dequantize_columns, quantize_columns
from omnilive_export.graphs.tensorrt_linear import takes_int4
from omnilive_export.graphs.weight_file import write_graph
from omnilive_export.plan import plan_pack
from omnilive_export.precision import FP32, LinearFormat, PackPrecision
from omnilive_export.reading.checkpoint import find_folders
from omnilive_export.reading.row_source import ArrayRows, RowSource, read_all
from omnilive_export.tensorrt.dialect import compute_type

Feeds = Mapping[str, npt.NDArray]


class OrtOnGrid(OrtGraph):
    """The ``ort`` dialect in float32 with the very weights a TensorRT engine has.

    What is left between the two is arithmetic, so that a wrong operator cannot hide behind the
    rounding of weights.
    """

    def __init__(self, name: str, precision: PackPrecision) -> None:
        super().__init__(name)
        self._dtype = compute_type(name, precision)

    def matmul(
        self, x: str, weight: RowSource, fmt: LinearFormat, name: str, *, out: str | None = None
    ) -> str:
        values = read_all(weight)
        if takes_int4(weight.shape, fmt):
            packed, scales = quantize_columns(values.T, fmt.block, self._dtype)
            values = dequantize_columns(packed, scales, fmt.block).T
        else:
            values = values.astype(self._dtype).astype(np.float32)
        return super().matmul(x, ArrayRows(values), LinearFormat(FP32, fmt.block), name, out=out)


def write_engines(
    checkpoint: Path, folder: Path, precision: PackPrecision, new_graph: NewGraph
) -> Path:
    """Write every engine of the checkpoint in one dialect into ``folder``; returns it."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        plan = plan_pack(find_folders(checkpoint), precision, stack, new_graph=new_graph)
        for engine in plan.engines:
            write_graph(engine.graph, folder, advance=lambda cost: None)
    return folder


class Runner(Protocol):
    """What runs a model: an InferenceSession, or onnx's ReferenceEvaluator."""

    def run(self, names: Sequence[str] | None, feeds: Feeds) -> Sequence[npt.NDArray]: ...


def session(folder: Path, engine: str) -> ort.InferenceSession:
    """A session of one engine on one thread, every operator run as it is written.

    ONNX Runtime's own optimizations would drop casts, and fuse int4 weights into a product that
    rounds activations to 8 bits.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(folder / engine / "model.onnx"), options)


def relative_error(found: npt.NDArray, expected: npt.NDArray) -> float:
    """max|a − b| / rms(b)."""
    difference = np.abs(found.astype(np.float64) - expected)
    return float(difference.max() / np.sqrt(np.square(expected, dtype=np.float64).mean()))


@dataclass
class Shape:
    """A decoder's dimensions, read from its graph."""

    hidden: int
    layers: int
    kv_heads: int
    head_dim: int
    dtype: str

    @classmethod
    def of(cls, model: ort.InferenceSession) -> Shape:
        """Of a session's graph."""
        inputs = {i.name: i for i in model.get_inputs()}
        keys = [i for name, i in inputs.items() if name.endswith(".key")]
        _, kv_heads, _, head_dim = keys[0].shape
        dtype = {"tensor(float)": "float32", "tensor(float16)": "float16"}[keys[0].type]
        return cls(inputs["inputs_embeds"].shape[-1], len(keys), kv_heads, head_dim, dtype)


class Decoding:
    """One sequence in one decoder of either dialect, its KV kept outside as each asks for.

    Args:
        model: a session of the graph; it tells the inputs and outputs.
        capacity: tokens the arena holds.
        stale: fills the arena at first; the TensorRT dialect must not see it.
        runner: runs the graph; the session by default.
    """

    def __init__(
        self,
        model: ort.InferenceSession,
        capacity: int,
        *,
        stale: float = 0.0,
        runner: Runner | None = None,
    ) -> None:
        self._runner = runner or model
        self._inputs = {i.name for i in model.get_inputs()}
        self._outputs = [o.name for o in model.get_outputs()]
        self._copies = "write_position" in self._inputs
        shape = Shape.of(model)
        buffer = np.full((1, shape.kv_heads, capacity, shape.head_dim), stale, shape.dtype)
        self.arena = {
            name: buffer.copy() for name in self._inputs if name.startswith("past_key_values")
        }
        self.length = 0

    def append(
        self, embeds: npt.NDArray, *, rows: Sequence[int] = (), plora: Sequence[int] = ()
    ) -> npt.NDArray:
        """Append a block [S, hidden]; returns the first output's rows."""
        tokens = len(embeds)
        total = self.length + tokens
        feeds = {
            "inputs_embeds": embeds[None].astype(np.float32),
            "logit_rows": np.array(rows, np.int64),
            "plora_rows": np.array(plora, np.int64),
            "write_position": np.array([self.length], np.int64),
            "seqlens_k": np.array([total - 1], np.int32),
            "total_sequence_length": np.array(total, np.int32),
            **self.arena,
        }
        asked = {name: value for name, value in feeds.items() if name in self._inputs}
        found = dict(zip(self._outputs, self._runner.run(None, asked), strict=True))
        for name, buffer in self.arena.items():
            new = found[name.replace("past_key_values", "present")]
            if self._copies:
                buffer[:, :, self.length : total] = new
            else:
                self.arena[name] = new
        self.length = total
        return found[self._outputs[0]][0]
