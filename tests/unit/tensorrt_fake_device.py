"""A TensorRT with a runtime: engines whose graphs ONNX Runtime computes, on a fake CUDA.

On top of what TensorRT checks, it refuses what its documentation leaves undefined.
"""

# Methods are named after the calls they stand for.
# ruff: noqa: N802

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from tensorrt_fake import ContractError, FakeTensorrt, World
from tensorrt_fake_cuda import FakeCuda

_TYPES = {
    onnx.TensorProto.FLOAT: ("float32", "FLOAT"),
    onnx.TensorProto.FLOAT16: ("float16", "HALF"),
    onnx.TensorProto.INT32: ("int32", "INT32"),
    onnx.TensorProto.INT64: ("int64", "INT64"),
    onnx.TensorProto.UINT8: ("uint8", "UINT8"),
}


class FakeDevice(FakeTensorrt):
    """TensorRT with a runtime: a plan names its graph and profiles, ONNX Runtime computes."""

    def __init__(self, version: str, world: World, cuda: FakeCuda) -> None:
        super().__init__(version, world)
        self.cuda = cuda

    def do_OnnxParser_parse_from_file(self, parser: Any, model: str) -> bool:
        """Remember the graph for the plan."""
        parser._network._model = model
        return super().do_OnnxParser_parse_from_file(parser, model)

    def do_Builder_build_serialized_network(
        self, builder: Any, network: Any, config: Any
    ) -> bytes | None:
        """A plan that can be run."""
        if super().do_Builder_build_serialized_network(builder, network, config) is None:
            return None
        profiles = [profile._shapes for profile in config._profiles]
        host_code = "VERSION_COMPATIBLE" in config._flags
        plan = {"model": network._model, "profiles": profiles, "host_code": host_code}
        return self.IHostMemory(json.dumps(plan).encode())

    def do_Runtime___init__(self, runtime: Any, logger: Any) -> None:
        """Remember the logger."""
        runtime._logger = logger

    def do_Runtime_deserialize_cuda_engine(self, runtime: Any, serialized_engine: Any) -> Any:
        """The engine of a plan, None for what is no plan of this device."""
        try:
            plan = json.loads(bytes(serialized_engine))
        except ValueError:
            return None
        if plan["host_code"] and not getattr(runtime, "engine_host_code_allowed", False):
            return None
        graph = onnx.load(plan["model"], load_external_data=False).graph
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        tensors = {
            value.name: (
                tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim),
                *_TYPES[value.type.tensor_type.elem_type],
            )
            for value in (*graph.input, *graph.output)
        }
        return self._made(
            "ICudaEngine",
            _inputs=tuple(value.name for value in graph.input),
            _outputs=tuple(value.name for value in graph.output),
            _tensors=tensors,
            _profiles=plan["profiles"],
            _session=ort.InferenceSession(plan["model"], options),
            num_io_tensors=len(tensors),
        )

    def do_ICudaEngine_get_tensor_name(self, engine: Any, index: int) -> str:
        return str(list(engine._tensors)[index])

    def do_ICudaEngine_get_tensor_dtype(self, engine: Any, name: str) -> Any:
        return self.DataType[engine._tensors[name][2]]

    def do_ICudaEngine_get_tensor_mode(self, engine: Any, name: str) -> Any:
        return self.TensorIOMode.INPUT if name in engine._inputs else self.TensorIOMode.OUTPUT

    def do_ICudaEngine_get_tensor_shape(self, engine: Any, name: str) -> tuple[int, ...]:
        return tuple(axis if isinstance(axis, int) else -1 for axis in engine._tensors[name][0])

    def do_ICudaEngine_get_tensor_profile_shape(
        self, engine: Any, name: str, profile_index: int
    ) -> list[tuple[int, ...]]:
        shapes = engine._profiles[profile_index].get(name)
        fixed = engine._tensors[name][0]
        return [tuple(shape) for shape in shapes] if shapes else [fixed] * 3

    def do_ICudaEngine_create_execution_context(self, engine: Any, strategy: Any = None) -> Any:
        own = self.ExecutionContextAllocationStrategy.ON_PROFILE_CHANGE
        if len(engine._profiles) > 1 and strategy != own:
            raise ContractError("a context holds memory for profiles it does not run")
        shapes = {n: s for n in engine._inputs if _fixed(s := engine._tensors[n][0])}
        return self._made(
            "IExecutionContext", _engine=engine, _profile=None, _shapes=shapes, _at={}, _ran=None
        )

    def do_IExecutionContext_set_optimization_profile_async(
        self, context: Any, profile_index: int, stream_handle: int
    ) -> bool:
        if not 0 <= profile_index < len(context._engine._profiles):
            return False
        context._profile = profile_index
        return True

    def do_IExecutionContext_set_input_shape(
        self, context: Any, name: str, shape: tuple[int, ...]
    ) -> bool:
        if context._profile is None:
            raise ContractError("a shape is set before a profile")
        least, _, most = self.do_ICudaEngine_get_tensor_profile_shape(
            context._engine, name, context._profile
        )
        if len(shape) != len(least):
            return False
        if not all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True)):
            return False
        context._shapes[name] = tuple(shape)
        return True

    def do_IExecutionContext_get_tensor_shape(self, context: Any, name: str) -> tuple[int, ...]:
        engine = context._engine
        zeros = {n: np.zeros(s, engine._tensors[n][1]) for n, s in context._shapes.items()}
        index = engine._outputs.index(name)
        return tuple(engine._session.run(None, zeros)[index].shape)

    def do_IExecutionContext_set_tensor_address(self, context: Any, name: str, memory: int) -> bool:
        self.cuda.at(memory, 1)
        context._at[name] = memory
        return name in context._engine._tensors

    def do_IExecutionContext_execute_async_v3(self, context: Any, stream_handle: int) -> bool:
        engine, cuda = context._engine, self.cuda
        missing = set(engine._tensors) - set(context._at)
        if missing:
            raise ContractError(f"{missing.pop()} has no address")
        missing = set(engine._inputs) - set(context._shapes)
        if missing:
            raise ContractError(f"{missing.pop()} has no shape")
        shapes, at = dict(context._shapes), dict(context._at)
        if cuda.capturing(stream_handle) and context._ran != (shapes, at):
            raise ContractError("a run is captured before the first one on these addresses")

        def run() -> None:
            feeds = {}
            for name, shape in shapes.items():
                dtype = np.dtype(engine._tensors[name][1])
                size = int(np.prod(shape)) * dtype.itemsize
                feeds[name] = cuda.at(at[name], size).view(dtype).reshape(shape)
            found = engine._session.run(None, feeds)
            for name, values in zip(engine._outputs, found, strict=True):
                np.copyto(
                    cuda.at(at[name], values.nbytes), np.frombuffer(values.tobytes(), np.uint8)
                )

        cuda.give(stream_handle, run)
        context._ran = (shapes, at)
        return True


def _fixed(shape: tuple[int | str, ...]) -> bool:
    return all(isinstance(axis, int) for axis in shape)


@contextmanager
def modules(monkeypatch: Any, device: FakeDevice) -> Iterator[None]:
    """Let ``tensorrt`` and ``cuda.bindings.runtime`` be the fakes."""
    bindings = ModuleType("cuda.bindings")
    bindings.runtime = device.cuda  # type: ignore[attr-defined]
    package = ModuleType("cuda")
    package.bindings = bindings  # type: ignore[attr-defined]
    with monkeypatch.context() as patched:
        for name, module in (
            ("tensorrt", device),
            ("cuda", package),
            ("cuda.bindings", bindings),
            ("cuda.bindings.runtime", device.cuda),
        ):
            patched.setitem(sys.modules, name, module)
        yield
