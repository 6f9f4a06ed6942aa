"""Runs a graph in segments whose weights fit a stated number of bytes, however large the graph.

Segment by segment, each for all inputs before the next is loaded: a model is read once for any
number of inputs. It never writes a file and never keeps a segment but where one is all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper

from omnilive.engine.manifest import TensorInfo
from omnilive.errors import EngineError
from omnilive_export.graphs.builder import CONTRIB, IR_VERSION, OPSET

Array = npt.NDArray[Any]
Values = dict[str, Array]

SEGMENT_BYTES = 512 << 20
"""Weights of a segment, unless one node has more; onnxruntime packs a copy of most of them."""

_FATAL_ONLY = 4


@dataclass(frozen=True)
class Weight:
    """A weight that is read when its segment is loaded: its size in bytes, and how to read it."""

    nbytes: int
    load: Callable[[], Array]


@dataclass(frozen=True)
class RunnableGraph:
    """A graph with its weights still outside.

    Attributes:
        name: of the engine.
        nodes: in the order they run.
        constants: the small ones.
        weights: by name.
        inputs, outputs: all of its IO.
    """

    name: str
    nodes: Sequence[onnx.NodeProto]
    constants: Sequence[onnx.TensorProto]
    weights: Mapping[str, Weight]
    inputs: Sequence[TensorInfo]
    outputs: Sequence[TensorInfo]


class SegmentedModel:
    """A graph that can be run.

    Args:
        graph: the graph.
        limit_bytes: of a segment's weights.
        threads: of onnxruntime, 0 for all cores.
    """

    def __init__(
        self, graph: RunnableGraph, *, limit_bytes: int = SEGMENT_BYTES, threads: int = 0
    ) -> None:
        self.graph = graph
        self._threads = threads
        self._segments = list(_cut(graph, limit_bytes))
        self._kept: dict[tuple[str, ...], ort.InferenceSession] = {}

    def run(self, cases: Sequence[Mapping[str, Array]], wanted: Sequence[str]) -> list[Values]:
        """Outputs ``wanted`` of every case.

        Args:
            cases: a value for every input of the graph that leads to what is wanted.
            wanted: names of outputs, or of values inside the graph.

        Raises:
            EngineError: onnxruntime cannot load or run a segment.
        """
        held = [dict(case) for case in cases]
        needs = _needed_after(self._segments, wanted)
        for i, nodes in enumerate(self._segments):
            produced = {name for node in nodes for name in node.output if name}
            outputs = sorted(produced & needs[i])
            if not outputs:
                continue
            dtypes = {name: value.dtype for name, value in held[0].items()}
            session = self._session(nodes, dtypes, outputs)
            fed = [argument.name for argument in session.get_inputs()]
            for values in held:
                found = self._run(session, {name: values[name] for name in fed}, outputs)
                kept = {name: value for name, value in values.items() if name in needs[i]}
                values.clear()
                values.update(kept, **dict(zip(outputs, found, strict=True)))
        return [{name: values[name] for name in wanted} for values in held]

    def _run(
        self, session: ort.InferenceSession, feeds: Mapping[str, Array], outputs: Sequence[str]
    ) -> list[Array]:
        try:
            return [np.asarray(value) for value in session.run(list(outputs), dict(feeds))]
        # onnxruntime's errors share no base class below Exception.
        except Exception as e:
            raise self._error("run", e) from e

    def _session(
        self,
        nodes: Sequence[onnx.NodeProto],
        dtypes: Mapping[str, np.dtype[Any]],
        outputs: Sequence[str],
    ) -> ort.InferenceSession:
        if tuple(outputs) in self._kept:
            return self._kept[tuple(outputs)]
        used = {name for node in nodes for name in node.input if name}
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtypes[name]), None)
            for name in sorted(used & dtypes.keys())
        ]
        weights = {n: w.load() for n, w in self.graph.weights.items() if n in used}
        model = helper.make_model(
            helper.make_graph(
                list(nodes),
                self.graph.name,
                inputs,
                # onnxruntime finds out the types of what it computes.
                [onnx.ValueInfoProto(name=name) for name in outputs],
                initializer=[
                    *(c for c in self.graph.constants if c.name in used),
                    *(_outside(name, value) for name, value in weights.items()),
                ],
            ),
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)],
        )
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = _FATAL_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        values = [ort.OrtValue.ortvalue_from_numpy(value) for value in weights.values()]
        options.add_external_initializers(list(weights), values)
        try:
            session = ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as e:
            raise self._error("load", e) from e
        if len(self._segments) == 1:
            self._kept[tuple(outputs)] = session
        return session

    def _error(self, what: str, cause: Exception) -> EngineError:
        first = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        return EngineError(
            f"onnxruntime cannot {what} a segment of it ({first})",
            where=f"engine {self.graph.name}",
            mend="Build with --no-accuracy, and report it.",
        )


def _cut(graph: RunnableGraph, limit_bytes: int) -> Iterator[list[onnx.NodeProto]]:
    """Runs of nodes whose weights fit the limit."""
    nodes: list[onnx.NodeProto] = []
    held: set[str] = set()
    size = 0
    for node in graph.nodes:
        new = {name for name in node.input if name in graph.weights} - held
        added = sum(graph.weights[name].nbytes for name in new)
        if nodes and size + added > limit_bytes:
            yield nodes
            nodes, held, size = [], set(), 0
            new = {name for name in node.input if name in graph.weights}
            added = sum(graph.weights[name].nbytes for name in new)
        nodes.append(node)
        held |= new
        size += added
    yield nodes


def _needed_after(
    segments: Sequence[Sequence[onnx.NodeProto]], wanted: Sequence[str]
) -> list[set[str]]:
    """Per segment, the values that a later one or the caller asks for."""
    needed = [set(wanted)]
    for nodes in reversed(segments[1:]):
        needed.append(needed[-1] | {name for node in nodes for name in node.input if name})
    return needed[::-1]


def _outside(name: str, value: Array) -> onnx.TensorProto:
    """An initializer whose value is given beside the model."""
    proto = onnx.TensorProto(
        name=name,
        dims=value.shape,
        data_type=helper.np_dtype_to_tensor_dtype(value.dtype),
        data_location=onnx.TensorProto.EXTERNAL,
    )
    proto.external_data.add(key="location", value="memory")
    return proto
