"""Graphs to run: one that is only planned, from its checkpoint, and one that lies in a pack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from omnilive.engine.manifest import EngineInfo, TensorInfo
from omnilive_export.accuracy.segments import Array, RunnableGraph, Weight
from omnilive_export.graphs.builder import PlannedGraph, PlannedTensor


def planned_graph(graph: PlannedGraph) -> RunnableGraph:
    """A planned float32 graph; its weights are read from the checkpoint, each time anew."""
    return RunnableGraph(
        name=graph.name,
        nodes=graph.nodes,
        constants=graph.constants,
        weights={t.name: Weight(t.nbytes, _loader(t)) for t in graph.tensors},
        inputs=graph.inputs,
        outputs=graph.outputs,
    )


def written_graph(folder: Path, info: EngineInfo) -> RunnableGraph:
    """The graph of an engine of the pack in ``folder``."""
    path = folder / info.model
    model = onnx.load(path, load_external_data=False)
    outside = [t for t in model.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    return RunnableGraph(
        name=info.name,
        nodes=list(model.graph.node),
        constants=[t for t in model.graph.initializer if t.data_location != TensorProto.EXTERNAL],
        weights={t.name: _stored(t, path.parent) for t in outside},
        inputs=[_described(value) for value in model.graph.input],
        outputs=[_described(value) for value in model.graph.output],
    )


def _loader(tensor: PlannedTensor) -> Callable[[], Array]:
    def load() -> Array:
        values = np.empty(int(np.prod(tensor.shape, dtype=np.int64)), tensor.stored_dtype)
        begin = 0
        for chunk in tensor.chunks():
            values[begin : begin + chunk.size] = chunk.reshape(-1)
            begin += chunk.size
        return values.reshape(tensor.shape)

    return load


def _stored(tensor: TensorProto, folder: Path) -> Weight:
    where = {entry.key: entry.value for entry in tensor.external_data}
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    count = int(np.prod(tensor.dims, dtype=np.int64))
    file, offset = folder / where["location"], int(where["offset"])

    def load() -> Array:
        values = np.fromfile(file, dtype, count, offset=offset)
        return values.reshape(tuple(tensor.dims))

    return Weight(count * dtype.itemsize, load)


def _described(value: onnx.ValueInfoProto) -> TensorInfo:
    kind = value.type.tensor_type
    return TensorInfo(
        value.name,
        np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)).name,
        tuple(d.dim_param or d.dim_value for d in kind.shape.dim),
    )
