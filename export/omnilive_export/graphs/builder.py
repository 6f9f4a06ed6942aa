"""Builds one ONNX graph and plans its weights; values are read only when the file is written.

A graph is planned whole before any weight is touched, so the size of a pack is known in advance
and memory holds a few blocks of rows at a time. It must never keep a weight's values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from omnilive.engine.manifest import KvInfo, TensorInfo

OPSET = 21
IR_VERSION = 10
CONTRIB = "com.microsoft"

INLINE_BYTES = 1024
"""Constants up to this size stay in the model file, where shape inference can read them."""

Array = npt.NDArray[Any]
Chunks = Callable[[], Iterator[Array]]

_ONNX_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "int4": TensorProto.INT4,
}

_PACKED = {"int4": 2}
"""Values in one byte of the file, of the types that numpy has none for; low bits come first."""


@dataclass(frozen=True)
class PlannedTensor:
    """A weight that will be written to the external data file.

    Attributes:
        name: of the initializer.
        dtype, shape: of its values; ``int4`` values come packed, two in a uint8.
        chunks: yields its values in order as arrays of ``stored_dtype``; called once.
        cost: values read to make it, the unit of progress.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    chunks: Chunks
    cost: int

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """Type of the arrays that carry its values."""
        return np.dtype(np.uint8 if self.dtype in _PACKED else self.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes it takes in the file."""
        values = int(np.prod(self.shape, dtype=np.int64))
        return -(-values // _PACKED.get(self.dtype, 1)) * self.stored_dtype.itemsize


@dataclass(frozen=True)
class PlannedGraph:
    """A finished graph whose weights are still to be written.

    Attributes:
        name: of the engine.
        nodes, constants: the graph's body.
        inputs, outputs: all of its IO, KV tensors included.
        tensors: weights, in the order they will be written.
        kv: KV geometry of a decoder, else None.
        profile: limits of dynamic axes, axis name → maximum.
    """

    name: str
    nodes: tuple[onnx.NodeProto, ...]
    constants: tuple[onnx.TensorProto, ...]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    tensors: tuple[PlannedTensor, ...]
    kv: KvInfo | None
    profile: dict[str, int]

    @property
    def cost(self) -> int:
        """Values read to write it."""
        return sum(t.cost for t in self.tensors)

    @property
    def nbytes(self) -> int:
        """Bytes of its weights."""
        return sum(t.nbytes for t in self.tensors)


class GraphBuilder:
    """Collects the nodes and weights of one graph.

    Args:
        name: of the engine, used as the graph's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._tensors: dict[str, PlannedTensor] = {}
        self._inputs: list[TensorInfo] = []
        self._outputs: list[TensorInfo] = []

    def input(self, name: str, dtype: str, shape: Sequence[int | str]) -> str:
        """Declare a graph input; returns its name."""
        self._inputs.append(TensorInfo(name, dtype, tuple(shape)))
        return name

    def output(self, name: str, dtype: str, shape: Sequence[int | str]) -> None:
        """Give out the value called ``name``."""
        self._outputs.append(TensorInfo(name, dtype, tuple(shape)))

    def op(
        self,
        op_type: str,
        inputs: Sequence[str],
        name: str,
        *,
        outputs: Sequence[str] | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Append a node; returns its first output, called ``name`` unless ``outputs`` is given.

        An empty string among inputs or outputs leaves that one out.
        """
        names = [name] if outputs is None else list(outputs)
        node = helper.make_node(
            op_type, list(inputs), names, name=f"{name}.{op_type}", domain=domain, **attributes
        )
        self._nodes.append(node)
        return names[0]

    def constant(self, name: str, values: Array) -> str:
        """A small constant kept in the model file; the same name gives the same constant."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(values), name)
        return name

    def scalar(self, name: str, value: float) -> str:
        """A float32 scalar constant."""
        return self.constant(name, np.array(value, dtype=np.float32))

    def ints(self, name: str, values: Sequence[int]) -> str:
        """An int64 vector constant."""
        return self.constant(name, np.asarray(values, dtype=np.int64))

    def array(self, name: str, values: Array) -> str:
        """A computed float32 array: inline when small, else in the external file."""
        if values.nbytes <= INLINE_BYTES:
            return self.constant(name, values.astype(np.float32, copy=False))
        stored = np.ascontiguousarray(values, dtype=np.float32)
        return self.planned(
            PlannedTensor(name, "float32", stored.shape, lambda: iter((stored,)), stored.size)
        )

    def planned(self, tensor: PlannedTensor) -> str:
        """A weight for the external file; returns its name."""
        if tensor.name in self._tensors:
            raise ValueError(f"weight {tensor.name} is planned twice")
        self._tensors[tensor.name] = tensor
        return tensor.name

    def finish(
        self, *, kv: KvInfo | None = None, profile: dict[str, int] | None = None
    ) -> PlannedGraph:
        """The graph, complete but for its weights' values."""
        return PlannedGraph(
            name=self._name,
            nodes=tuple(self._nodes),
            constants=tuple(self._constants.values()),
            inputs=tuple(self._inputs),
            outputs=tuple(self._outputs),
            tensors=tuple(self._tensors.values()),
            kv=kv,
            profile=profile or {},
        )


def model_proto(
    graph: PlannedGraph, offsets: dict[str, tuple[int, int]], data_name: str
) -> onnx.ModelProto:
    """The model of a planned graph.

    Args:
        graph: the plan.
        offsets: weight name → (offset, bytes) in the external file.
        data_name: name of the external file, beside the model.
    """
    initializers = list(graph.constants)
    for tensor in graph.tensors:
        offset, length = offsets[tensor.name]
        proto = TensorProto(
            name=tensor.name,
            dims=tensor.shape,
            data_type=_ONNX_TYPES[tensor.dtype],
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in (("location", data_name), ("offset", offset), ("length", length)):
            proto.external_data.add(key=key, value=str(value))
        initializers.append(proto)
    body = helper.make_graph(
        list(graph.nodes),
        graph.name,
        [_value_info(t) for t in graph.inputs],
        [_value_info(t) for t in graph.outputs],
        initializer=initializers,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    if any(node.domain == CONTRIB for node in graph.nodes):
        opsets.append(helper.make_opsetid(CONTRIB, 1))
    return helper.make_model(
        body,
        ir_version=IR_VERSION,
        opset_imports=opsets,
        producer_name="omnilive-export",
    )


def _value_info(info: TensorInfo) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(info.name, _ONNX_TYPES[info.dtype], list(info.shape))
