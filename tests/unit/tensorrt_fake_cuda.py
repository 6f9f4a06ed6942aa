"""A CUDA without a device: memory, streams, events and graphs, and what may not be done with them.

Work given to a stream waits until somebody synchronizes, as it may on a device, so that a missing
wait shows.
"""

# The names are those of CUDA.
# ruff: noqa: N801, N802, N815

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from tensorrt_fake import ContractError

Op = Callable[[], None]


class cudaError_t(enum.IntEnum):
    """The results the fake has."""

    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorNotReady = 600


class cudaMemcpyKind(enum.IntEnum):
    """Directions of a copy."""

    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2
    cudaMemcpyDeviceToDevice = 3


class cudaStreamCaptureMode(enum.IntEnum):
    """The mode our code uses."""

    cudaStreamCaptureModeThreadLocal = 1


class Marker:
    """A recorded point of a stream: an operation that does nothing but be reached."""

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.reached = False

    def __call__(self) -> None:
        self.reached = True


class FakeCuda(ModuleType):
    """``cuda.bindings.runtime``.

    Args:
        room: bytes of device memory.
    """

    cudaError_t = cudaError_t
    cudaMemcpyKind = cudaMemcpyKind
    cudaStreamCaptureMode = cudaStreamCaptureMode

    def __init__(self, room: int = 1 << 30) -> None:
        super().__init__("cuda.bindings.runtime")
        self.room = room
        self.memory: dict[int, np.ndarray] = {}
        self.pinned: dict[int, Any] = {}
        self.queues: dict[int, list[Op]] = {}
        self.captured: dict[int, list[Op]] = {}
        self.events: dict[int, Marker | None] = {}
        self.allocations = self.synchronizations = self.launches = self.waits = 0
        self.priorities: dict[int, int] = {}
        self._next = 1 << 20

    def at(self, address: int, nbytes: int) -> np.ndarray:
        """The bytes of device memory from ``address`` on."""
        for begin, block in self.memory.items():
            if begin <= address and address + nbytes <= begin + len(block):
                return block[address - begin : address - begin + nbytes]
        raise ContractError(f"{nbytes} bytes at {address:#x} are no device memory, or no longer")

    def pinned_at(self, address: int, nbytes: int) -> np.ndarray:
        """The bytes of pinned host memory from ``address`` on."""
        for begin, block in self.pinned.items():
            if begin <= address and address + nbytes <= begin + len(block):
                return np.frombuffer(block, np.uint8, nbytes, address - begin)
        raise ContractError("an upload from pageable memory makes the host wait")

    def give(self, handle: int, op: Op) -> None:
        """Queue work, or capture it."""
        self.captured.get(handle, self.queues[handle]).append(op)

    def capturing(self, handle: int) -> bool:
        """Whether a stream's work is being captured."""
        return handle in self.captured

    def _finish(self) -> None:
        """Freeing waits for the whole device."""
        for handle in self.queues:
            self.drain(handle)

    def _outside_capture(self, what: str) -> None:
        if self.captured:
            raise ContractError(f"{what} while a stream is captured")

    # ---- the calls our code makes ---------------------------------------------------------------

    def cudaGetDeviceCount(self) -> tuple[Any, ...]:
        return cudaError_t.cudaSuccess, 1

    def cudaGetErrorString(self, error: cudaError_t) -> tuple[Any, ...]:
        return cudaError_t.cudaSuccess, error.name.encode()

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        self._outside_capture("an allocation")
        if size > self.room - sum(len(block) for block in self.memory.values()):
            return cudaError_t.cudaErrorMemoryAllocation, None
        self.allocations += 1
        # A page apart, and aligned as CUDA aligns what it gives out.
        address, self._next = self._next, self._next + (size + 8191) // 4096 * 4096
        self.memory[address] = np.full(size, 0xFF, np.uint8)
        return cudaError_t.cudaSuccess, address

    def cudaFree(self, address: int) -> tuple[Any, ...]:
        self._finish()
        del self.memory[address]
        return (cudaError_t.cudaSuccess,)

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[Any, ...]:
        self._outside_capture("an allocation")
        block = (ctypes.c_uint8 * size)()
        self.pinned[ctypes.addressof(block)] = block
        return cudaError_t.cudaSuccess, ctypes.addressof(block)

    def cudaFreeHost(self, address: int) -> tuple[Any, ...]:
        self._finish()
        del self.pinned[address]
        return (cudaError_t.cudaSuccess,)

    def cudaStreamCreateWithPriority(self, flags: int, priority: int) -> tuple[Any, ...]:
        handle = 100 + len(self.queues)
        self.queues[handle] = []
        self.priorities[handle] = priority
        return cudaError_t.cudaSuccess, handle

    def cudaDeviceGetStreamPriorityRange(self) -> tuple[Any, ...]:
        return cudaError_t.cudaSuccess, 0, -3

    def cudaStreamDestroy(self, handle: int) -> tuple[Any, ...]:
        return (cudaError_t.cudaSuccess,)

    def cudaStreamSynchronize(self, handle: int) -> tuple[Any, ...]:
        self._outside_capture("a wait")
        self.synchronizations += 1
        self.drain(handle)
        return (cudaError_t.cudaSuccess,)

    def drain(self, handle: int, until: Marker | None = None) -> None:
        """Do a stream's work, up to a marker or all of it."""
        queue = self.queues[handle]
        while queue and not (until is not None and until.reached):
            queue.pop(0)()

    def cudaEventCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        if flags != 2:
            raise ContractError("an event that takes the time makes every record dearer")
        handle = 1000 + len(self.events)
        self.events[handle] = None
        return cudaError_t.cudaSuccess, handle

    def cudaEventDestroy(self, event: int) -> tuple[Any, ...]:
        return (cudaError_t.cudaSuccess,)

    def cudaEventRecord(self, event: int, stream: int) -> tuple[Any, ...]:
        marker = Marker(stream)
        self.events[event] = marker
        self.give(stream, marker)
        return (cudaError_t.cudaSuccess,)

    def cudaStreamWaitEvent(self, stream: int, event: int, flags: int) -> tuple[Any, ...]:
        marker = self.events[event]
        if marker is None:
            raise ContractError("a wait for an event that was never recorded")
        self.waits += 1
        self.give(stream, lambda: self.drain(marker.stream, marker))
        return (cudaError_t.cudaSuccess,)

    def cudaEventQuery(self, event: int) -> tuple[Any, ...]:
        marker = self.events[event]
        done = marker is None or marker.reached
        return (cudaError_t.cudaSuccess if done else cudaError_t.cudaErrorNotReady,)

    def cudaEventSynchronize(self, event: int) -> tuple[Any, ...]:
        self._outside_capture("a wait")
        self.synchronizations += 1
        marker = self.events[event]
        if marker is not None:
            self.drain(marker.stream, marker)
        return (cudaError_t.cudaSuccess,)

    def cudaMemcpyAsync(
        self, dst: int, src: int, count: int, kind: cudaMemcpyKind, stream: int
    ) -> tuple[Any, ...]:
        if kind == cudaMemcpyKind.cudaMemcpyHostToDevice:
            self.pinned_at(src, count)
            self.give(stream, lambda: np.copyto(self.at(dst, count), self.pinned_at(src, count)))
        elif kind == cudaMemcpyKind.cudaMemcpyDeviceToDevice:
            self.give(stream, lambda: np.copyto(self.at(dst, count), self.at(src, count).copy()))
        else:
            self.give(
                stream, lambda: ctypes.memmove(dst, self.at(src, count).tobytes(), count) and None
            )
        return (cudaError_t.cudaSuccess,)

    def cudaMemcpy2DAsync(
        self,
        dst: int,
        dpitch: int,
        src: int,
        spitch: int,
        width: int,
        height: int,
        kind: cudaMemcpyKind,
        stream: int,
    ) -> tuple[Any, ...]:
        if width > min(dpitch, spitch) or kind != cudaMemcpyKind.cudaMemcpyDeviceToDevice:
            raise ContractError("rows of a copy overlap, or it leaves the device")

        def copy() -> None:
            for row in range(height):
                source = self.at(src + row * spitch, width)
                np.copyto(self.at(dst + row * dpitch, width), source)

        self.give(stream, copy)
        return (cudaError_t.cudaSuccess,)

    def cudaMemsetAsync(self, address: int, value: int, count: int, stream: int) -> tuple[Any, ...]:
        self.give(stream, lambda: self.at(address, count).fill(value))
        return (cudaError_t.cudaSuccess,)

    def cudaStreamBeginCapture(self, stream: int, mode: cudaStreamCaptureMode) -> tuple[Any, ...]:
        self.captured[stream] = []
        return (cudaError_t.cudaSuccess,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[Any, ...]:
        return cudaError_t.cudaSuccess, self.captured.pop(stream)

    def cudaGraphInstantiate(self, graph: list[Op], flags: int) -> tuple[Any, ...]:
        return cudaError_t.cudaSuccess, tuple(graph)

    def cudaGraphDestroy(self, graph: list[Op]) -> tuple[Any, ...]:
        graph.clear()
        return (cudaError_t.cudaSuccess,)

    def cudaGraphExecDestroy(self, executable: Any) -> tuple[Any, ...]:
        return (cudaError_t.cudaSuccess,)

    def cudaGraphLaunch(self, executable: tuple[Op, ...], stream: int) -> tuple[Any, ...]:
        self.launches += 1
        for op in executable:
            self.give(stream, op)
        return (cudaError_t.cudaSuccess,)
