"""A stateless engine run by TensorRT: plain arrays in, plain arrays out.

Device memory is taken for the largest input seen, not for the largest there may be; a run within
it allocates nothing. It never keeps state between runs.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from omnilive.backends.cuda import DeviceBuffer, InputBuffer, Stream
from omnilive.backends.tensorrt_runtime import Context, LoadedPlan, nbytes
from omnilive.errors import EngineError


class TensorrtEngine:
    """One engine on one stream; runs of several threads wait for each other.

    Args:
        plan: the loaded engine, of one profile.
        stream: where it runs.
    """

    def __init__(self, plan: LoadedPlan, stream: Stream) -> None:
        self._plan = plan
        self._stream = stream
        self._context = Context(plan, 0, stream)
        self._lock = threading.Lock()
        self._inputs: dict[str, InputBuffer] = {}
        self._outputs: dict[str, DeviceBuffer] = {}

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """See ``Engine.run``. Raises EngineError when a feed is not what the engine takes."""
        if set(feeds) != set(self._plan.inputs):
            raise EngineError(
                f"takes {', '.join(self._plan.inputs)}, was given {', '.join(feeds)}",
                where=f"engine {self._plan.name}",
                mend="Check the caller against the manifest.",
            )
        with self._lock:
            for name, values in feeds.items():
                self._give(name, values.astype(self._plan.dtypes[name], copy=False))
            found = {name: self._room_for(name) for name in self._plan.outputs}
            self._context.enqueue()
            for name, values in found.items():
                self._stream.download(self._outputs[name], values)
            self._stream.synchronize()
        return found

    def _give(self, name: str, values: npt.NDArray[Any]) -> None:
        """Set the shape of an input and upload it, into a larger buffer where it must be."""
        self._context.shape(name, values.shape)
        buffer = self._inputs.get(name)
        if buffer is None or buffer.nbytes < values.nbytes:
            buffer = self._inputs[name] = InputBuffer(values.nbytes)
            self._context.bind(name, buffer)
        self._stream.upload(values, buffer)

    def _room_for(self, name: str) -> npt.NDArray[Any]:
        """An array for an output of the inputs given, and a buffer on the device as large."""
        shape, dtype = self._context.shape_of(name), self._plan.dtypes[name]
        size = nbytes(shape, dtype)
        buffer = self._outputs.get(name)
        if buffer is None or buffer.nbytes < size:
            self._outputs[name] = DeviceBuffer(size)
            self._context.bind(name, self._outputs[name])
        return np.empty(shape, dtype)
