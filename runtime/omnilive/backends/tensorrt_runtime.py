"""Loads TensorRT plans and makes execution contexts of one profile on one stream.

It never owns an engine's inputs and outputs: the engines beside this file do.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omnilive.backends.cuda import Stream
from omnilive.backends.tensorrt_log import Log, forwarding_logger
from omnilive.engine.graph_io import INPUT, OUTPUT, check_io
from omnilive.engine.manifest import REBUILD, EngineInfo, TensorInfo
from omnilive.errors import EngineError

if TYPE_CHECKING:
    import tensorrt as trt


class LoadedPlan:
    """A deserialized engine with what must outlive it.

    Attributes:
        engine: of TensorRT.
        dtypes: input and output name → numpy dtype.
    """

    def __init__(self, info: EngineInfo, folder: Path, log: Log) -> None:
        """Load ``info``'s plan. Raises EngineError when this TensorRT cannot."""
        import tensorrt as trt

        self.name = info.name
        self._runtime = trt.Runtime(forwarding_logger(log))
        # Plans that later versions may run bring code of their own; a pack is as trusted as we are.
        self._runtime.engine_host_code_allowed = True
        path = folder / info.model
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as plan:
            with memoryview(plan) as content:
                engine = self._runtime.deserialize_cuda_engine(content)
        if engine is None:
            raise EngineError(
                f"TensorRT {trt.__version__} cannot load it",
                where=f"engine {info.name} ({path})",
                mend=REBUILD.format(pack=folder) + " --backend tensorrt, on this device.",
            )
        self.engine = engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        self.dtypes = {name: _numpy_dtype(engine.get_tensor_dtype(name)) for name in names}
        self.inputs = self._of_mode(names, trt.TensorIOMode.INPUT)
        self.outputs = self._of_mode(names, trt.TensorIOMode.OUTPUT)

    def largest(self, name: str, profile: int) -> tuple[int, ...]:
        """The largest shape of an input in a profile."""
        return self.engine.get_tensor_profile_shape(name, profile)[2][:]

    def check(
        self,
        info: EngineInfo,
        folder: Path,
        inputs: Sequence[TensorInfo],
        outputs: Sequence[TensorInfo],
    ) -> None:
        """Hold the engine against what the manifest records, arena included.

        Raises:
            PackError: a tensor is missing, unknown, or of another dtype or fixed size.
        """
        sides = ((INPUT, self.inputs, inputs), (OUTPUT, self.outputs, outputs))
        for side, names, recorded in sides:
            shapes = {tensor.name: tensor.shape for tensor in recorded}
            found = [self._tensor(name, side, shapes.get(name, ())) for name in names]
            check_io(info, folder, side, found, recorded)

    def _tensor(self, name: str, side: str, recorded: Sequence[int | str]) -> TensorInfo:
        """A tensor as a manifest would record it.

        An axis of -1 is dynamic. Of an output it may also be one whose size TensorRT could not
        tell from the graph: what is recorded is then as good.
        """
        shape = [size if size >= 0 else "dynamic" for size in self.engine.get_tensor_shape(name)[:]]
        if side == OUTPUT and len(shape) == len(recorded):
            pairs = zip(shape, recorded, strict=True)
            shape = [as_recorded if s == "dynamic" else s for s, as_recorded in pairs]
        return TensorInfo(name, self.dtypes[name], tuple(shape))

    def _of_mode(self, names: Sequence[str], mode: trt.TensorIOMode) -> tuple[str, ...]:
        return tuple(name for name in names if self.engine.get_tensor_mode(name) == mode)


class Context:
    """One execution context, fixed to a profile and a stream.

    It knows addresses only: who binds a buffer holds it for as long as a run may use it.

    Args:
        plan: the engine.
        profile: index of its optimization profile.
        stream: all of its work goes there.
    """

    def __init__(self, plan: LoadedPlan, profile: int, stream: Stream) -> None:
        import tensorrt as trt

        self._plan = plan
        self._stream = stream
        # Activation memory for this profile alone, not for the largest of them.
        strategy = trt.ExecutionContextAllocationStrategy.ON_PROFILE_CHANGE
        context = plan.engine.create_execution_context(strategy)
        if context is None:
            raise self._error("has no memory left for an execution context")
        self._context = context
        if not context.set_optimization_profile_async(profile, stream.handle):
            raise self._error(f"has no profile {profile}")

    def shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Set an input's shape. Raises EngineError when the profile does not hold it."""
        if not self._context.set_input_shape(name, shape):
            raise self._error(f"takes no {name} of shape {list(shape)}")

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor that follows from the inputs' shapes."""
        return self._context.get_tensor_shape(name)[:]

    def bind(self, name: str, address: int) -> None:
        """Read or write a tensor at ``address`` on the device."""
        if not self._context.set_tensor_address(name, address):
            raise self._error(f"takes no address for {name}")

    def enqueue(self) -> None:
        """Give the stream one run. Raises EngineError when TensorRT refuses it."""
        if not self._context.execute_async_v3(self._stream.handle):
            raise self._error("failed to run")

    def _error(self, what: str) -> EngineError:
        return EngineError(
            what,
            where=f"engine {self._plan.name}",
            mend="Check the log for what TensorRT said, and the free memory of the GPU.",
        )


def _numpy_dtype(dtype: trt.DataType) -> str:
    import tensorrt as trt

    names = {
        int(trt.DataType.FLOAT): "float32",
        int(trt.DataType.HALF): "float16",
        int(trt.DataType.INT32): "int32",
        int(trt.DataType.INT64): "int64",
        int(trt.DataType.UINT8): "uint8",
    }
    return names[int(dtype)]
