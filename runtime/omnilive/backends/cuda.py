"""CUDA as the device backends need it: streams, events, memory, copies and captured graphs.

Every call is checked. It never synchronizes but where it says so, and never chooses a device.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from cuda.bindings import runtime as cudart

from omnilive.errors import EngineError

Array = npt.NDArray[Any]

_NON_BLOCKING = 0x01
"""cudaStreamNonBlocking: the stream does not wait for the default one."""

_NO_TIMING = 0x02
"""cudaEventDisableTiming: an event that only orders work is cheaper."""

_PORTABLE = 0x01
"""cudaHostAllocPortable: pinned for every device."""


def checked(result: tuple[Any, ...]) -> Any:
    """The value of a CUDA call, None for a call that has none.

    Raises:
        EngineError: the call failed.
    """
    status, *values = result
    if status != cudart.cudaError_t.cudaSuccess:
        _, text = cudart.cudaGetErrorString(status)
        raise EngineError(
            f"CUDA: {text.decode() if isinstance(text, bytes) else text}",
            where="device",
            mend="Check that the GPU has free memory, and a driver new enough for this backend.",
        )
    return values[0] if values else None


def device_names() -> tuple[str, ...]:
    """``cuda:0`` and so on, one for each device; none without a driver."""
    status, count = cudart.cudaGetDeviceCount()
    found = count if status == cudart.cudaError_t.cudaSuccess else 0
    return tuple(f"cuda:{i}" for i in range(found))


def stream_priorities() -> tuple[int, int]:
    """The lowest and the highest priority of a stream; the lower number is the higher one."""
    status, lowest, highest = cudart.cudaDeviceGetStreamPriorityRange()
    checked((status,))
    return int(lowest), int(highest)


class Stream:
    """An ordered queue of device work.

    Args:
        priority: 0 is ordinary, negative comes first.
    """

    def __init__(self, priority: int = 0) -> None:
        self._stream = checked(cudart.cudaStreamCreateWithPriority(_NON_BLOCKING, priority))
        self.handle = int(self._stream)
        weakref.finalize(self, cudart.cudaStreamDestroy, self._stream)

    def synchronize(self) -> None:
        """Wait on the host until all work given so far is done."""
        checked(cudart.cudaStreamSynchronize(self._stream))

    def copy_rows(
        self,
        target: int,
        target_pitch: int,
        source: int,
        source_pitch: int,
        *,
        width: int,
        rows: int,
    ) -> None:
        """Copy ``rows`` rows of ``width`` bytes on the device, rows a pitch apart."""
        kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        checked(
            cudart.cudaMemcpy2DAsync(
                target, target_pitch, source, source_pitch, width, rows, kind, self._stream
            )
        )

    def copy(self, target: int, source: int, count: int) -> None:
        """Copy ``count`` bytes on the device."""
        self._copy(target, source, count, cudart.cudaMemcpyKind.cudaMemcpyDeviceToDevice)

    def fetch(self, source: int, values: Array) -> None:
        """Fill the contiguous ``values`` from an address on the device, and wait until they are.

        The stream is waited for as well, all of what it was given until now.
        """
        if values.nbytes:
            kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
            self._copy(values.ctypes.data, source, values.nbytes, kind)
        self.synchronize()

    def send(self, block: PinnedBuffer, first: int, count: int, target: int) -> None:
        """Copy ``count`` bytes of ``block`` from ``first`` on to an address on the device."""
        kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._copy(target, block.address + first, count, kind)

    def record(self) -> Event:
        """An event that is reached when all work given so far is done."""
        event = Event()
        checked(cudart.cudaEventRecord(event.handle, self._stream))
        return event

    def wait(self, event: Event) -> None:
        """Let what is given from now on wait, on the device, until ``event`` is reached."""
        checked(cudart.cudaStreamWaitEvent(self._stream, event.handle, 0))

    def clear(self, buffer: DeviceBuffer) -> None:
        """Set every byte to zero."""
        checked(cudart.cudaMemsetAsync(buffer.address, 0, buffer.nbytes, self._stream))

    def capture(self, work: Callable[[], None]) -> Graph:
        """The graph of what ``work`` gives to this stream; nothing of it runs yet.

        ``work`` may neither allocate nor wait.
        """
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        checked(cudart.cudaStreamBeginCapture(self._stream, mode))
        try:
            work()
        finally:
            graph = checked(cudart.cudaStreamEndCapture(self._stream))
        try:
            return Graph(checked(cudart.cudaGraphInstantiate(graph, 0)))
        finally:
            checked(cudart.cudaGraphDestroy(graph))

    def launch(self, graph: Graph) -> None:
        """Run a captured graph."""
        checked(cudart.cudaGraphLaunch(graph.executable, self._stream))

    def _copy(self, target: int, source: int, count: int, kind: Any) -> None:
        checked(cudart.cudaMemcpyAsync(target, source, count, kind, self._stream))


class Event:
    """A point in a stream's work that other streams, and the host, can wait for."""

    def __init__(self) -> None:
        self.handle = checked(cudart.cudaEventCreateWithFlags(_NO_TIMING))
        weakref.finalize(self, cudart.cudaEventDestroy, self.handle)

    @property
    def reached(self) -> bool:
        """Whether the work before it is done; never waits.

        Raises:
            EngineError: the device has failed.
        """
        result = cudart.cudaEventQuery(self.handle)
        if result[0] == cudart.cudaError_t.cudaErrorNotReady:
            return False
        checked(result)
        return True

    def synchronize(self) -> None:
        """Wait on the host until it is reached."""
        checked(cudart.cudaEventSynchronize(self.handle))


class Graph:
    """A captured piece of a stream's work."""

    def __init__(self, executable: Any) -> None:
        self.executable = executable
        weakref.finalize(self, cudart.cudaGraphExecDestroy, executable)


class DeviceBuffer:
    """Device memory, given back when nobody holds this object.

    Args:
        nbytes: at least 1 is allocated.
    """

    def __init__(self, nbytes: int) -> None:
        self.nbytes = max(1, nbytes)
        self.address = int(checked(cudart.cudaMalloc(self.nbytes)))
        weakref.finalize(self, cudart.cudaFree, self.address)


class PinnedBuffer:
    """Host memory that the device copies from by itself, so that an upload never waits.

    Args:
        nbytes: at least 1 is allocated.
    """

    def __init__(self, nbytes: int) -> None:
        self.nbytes = max(1, nbytes)
        self.address = int(checked(cudart.cudaHostAlloc(self.nbytes, _PORTABLE)))
        weakref.finalize(self, cudart.cudaFreeHost, self.address)
        self._bytes = memoryview((ctypes.c_uint8 * self.nbytes).from_address(self.address))

    def view(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Its beginning as an array. Raises EngineError when it is too small."""
        count = int(np.prod(shape, dtype=np.int64))
        if count * dtype.itemsize > self.nbytes:
            raise EngineError(
                f"an input of shape {list(shape)} exceeds its {self.nbytes} bytes",
                where="device",
                mend="Give a smaller input; the engine records its limits.",
            )
        return np.frombuffer(self._bytes, dtype, count).reshape(shape)
