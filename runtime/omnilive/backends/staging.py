"""Brings engines' inputs to the device, from the host and from other engines' outputs.

It never runs an engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from omnilive.backends.cuda import DeviceBuffer, Event, PinnedBuffer, Stream
from omnilive.backends.device_array import DeviceArray, HostBytes, Span
from omnilive.backends.device_ticket import Lease
from omnilive.errors import EngineError

if TYPE_CHECKING:
    from omnilive.backends.cuda_lanes import DeviceLane

MOST_UNDER_WAY = 4
"""Runs of one lane whose uploads may be under way; the next one waits for the oldest."""

LEAST_BLOCK = 4096
"""Bytes of the smallest pinned block."""

ALIGNMENT = 256
"""Bytes that an engine's input is aligned to, as all memory that CUDA gives out is."""

Values = npt.NDArray[Any] | DeviceArray


class Staging:
    """Uploads over a few pinned blocks, each free again when the device has read it.

    There are never more than MOST_UNDER_WAY blocks, each of less than twice the largest upload.

    Args:
        stream: of the lane; all copies go there.
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
        """A block that nobody reads: one that is large enough, else a new one for the oldest."""
        free = [i for i, (_, read) in enumerate(self._blocks) if read.reached]
        for i in free:
            if self._blocks[i][0].nbytes >= nbytes:
                return self._blocks.pop(i)[0]
        if len(self._blocks) >= MOST_UNDER_WAY:
            # One that was read is given up sooner than one that has to be waited for.
            block, read = self._blocks.pop(free[0] if free else 0)
            read.synchronize()
            if block.nbytes >= nbytes:
                return block
        return PinnedBuffer(max(LEAST_BLOCK, 1 << (nbytes - 1).bit_length()))


class EngineInputs:
    """Where the inputs of one engine lie for a run: in its own memory, or in another's output.

    Args:
        lane: of the engine.
        fixed: memory of those inputs whose address must not change.
    """

    def __init__(self, lane: DeviceLane, fixed: Mapping[str, DeviceBuffer] | None = None) -> None:
        self._lane = lane
        self._fixed = dict(fixed or {})
        self._own: dict[str, DeviceBuffer] = {}

    def place(self, feeds: Mapping[str, Values]) -> dict[str, int]:
        """Bring ``feeds`` to the device in one upload; returns their addresses there.

        Part of the launch of a run that names ``leases_of`` them as its inputs. What another engine
        wrote in one piece is read where it lies.
        """
        pieces: list[tuple[npt.NDArray[np.uint8], int]] = []
        placed = {name: self._place(name, values, pieces) for name, values in feeds.items()}
        self._lane.staging.upload(pieces)
        return placed

    def _place(
        self, name: str, values: Values, pieces: list[tuple[npt.NDArray[np.uint8], int]]
    ) -> int:
        parts = values.parts if isinstance(values, DeviceArray) else (_bytes(values),)
        if name not in self._fixed and len(parts) == 1:
            part = parts[0]
            if isinstance(part, Span) and part.address % ALIGNMENT == 0:
                return part.address
        target = at = self._room(name, values)
        for part in parts:
            if isinstance(part, Span):
                self._lane.stream.copy(at, part.address, part.nbytes)
            else:
                pieces.append((part.values, at))
            at += part.nbytes
        return target

    def _room(self, name: str, values: Values) -> int:
        fixed = self._fixed.get(name)
        if fixed is not None:
            if fixed.nbytes < values.nbytes:
                raise EngineError(
                    f"{name} of shape {list(values.shape)} exceeds its {fixed.nbytes} bytes",
                    where="device",
                    mend="Give a smaller input; the engine records its limits.",
                )
            return fixed.address
        own = self._own.get(name)
        if own is None or own.nbytes < values.nbytes:
            own = self._own[name] = DeviceBuffer(1 << max(0, values.nbytes - 1).bit_length())
        return own.address


def leases_of(values: Iterable[Values]) -> list[Lease]:
    """The leases of all memory on the device that ``values`` view."""
    arrays = [array for array in values if isinstance(array, DeviceArray)]
    return [part.lease for array in arrays for part in array.parts if isinstance(part, Span)]


def _bytes(values: npt.NDArray[Any]) -> HostBytes:
    return HostBytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
