"""Brings an engine's inputs to the device, from the host and from other engines' outputs.

It never runs an engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from omnilive.backends.cuda import DeviceBuffer, Event, PinnedBuffer, Stream
from omnilive.backends.device_array import DeviceArray, HostBytes, Span

MOST_UNDER_WAY = 4
"""Uploads of one engine that may be under way; the next one waits for the oldest."""

LEAST_BLOCK = 4096
"""Bytes of the smallest pinned block."""


class Staging:
    """Uploads over a few pinned blocks, each free again when the device has read it.

    Args:
        stream: of the engine; all copies go there.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._blocks: list[tuple[PinnedBuffer, Event]] = []

    def upload(self, pieces: Sequence[tuple[npt.NDArray[np.uint8], int]]) -> None:
        """Copy bytes to addresses on the device; they may be reused when this returns."""
        total = sum(values.nbytes for values, _ in pieces)
        if not total:
            return
        block = self._free(total)
        room = block.view((total,), np.dtype(np.uint8))
        first = 0
        for values, target in pieces:
            room[first : first + values.nbytes] = values
            self._stream.send(block, first, values.nbytes, target)
            first += values.nbytes
        self._blocks.append((block, self._stream.record()))

    def _free(self, nbytes: int) -> PinnedBuffer:
        for i, (block, read) in enumerate(self._blocks):
            if block.nbytes >= nbytes and read.reached:
                del self._blocks[i]
                return block
        if len(self._blocks) >= MOST_UNDER_WAY:
            block, read = self._blocks.pop(0)
            read.synchronize()
            if block.nbytes >= nbytes:
                return block
        return PinnedBuffer(max(LEAST_BLOCK, 1 << (nbytes - 1).bit_length()))


class DeviceInput:
    """Where one input of an engine lies for a run: its own memory, or that of another's output.

    Args:
        stream: of the engine.
        staging: of the engine.
    """

    def __init__(self, stream: Stream, staging: Staging) -> None:
        self._stream = stream
        self._staging = staging
        self._own: DeviceBuffer | None = None
        self._read: list[Span] = []

    def place(self, values: npt.NDArray[Any] | DeviceArray) -> int:
        """Bring ``values`` to the device; returns their address there.

        What another engine wrote is waited for on the device, and read in place where it is in one
        piece. Call ``done`` when the run that reads it was given to the stream.
        """
        parts = values.parts if isinstance(values, DeviceArray) else (_bytes(values),)
        self._read = [part for part in parts if isinstance(part, Span)]
        for span in self._read:
            self._stream.wait(span.lease.ready)
        if len(parts) == 1 and self._read:
            return self._read[0].address
        target = self._room(values.nbytes)
        pieces, at = [], target
        for part in parts:
            if isinstance(part, Span):
                self._stream.copy(at, part.address, part.nbytes)
            else:
                pieces.append((part.values, at))
            at += part.nbytes
        self._staging.upload(pieces)
        return target

    def done(self) -> None:
        """Tell whoever owns what was read after which event it is not read any more."""
        if self._read:
            event = self._stream.record()
            for span in self._read:
                span.lease.reads.append(event)
        self._read = []

    def _room(self, nbytes: int) -> int:
        if self._own is None or self._own.nbytes < nbytes:
            self._own = DeviceBuffer(1 << max(0, nbytes - 1).bit_length())
        return self._own.address


def _bytes(values: npt.NDArray[Any]) -> HostBytes:
    return HostBytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
