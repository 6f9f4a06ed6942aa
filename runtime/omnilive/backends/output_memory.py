"""Device memory of an engine's outputs, reused when nobody views it any more."""

from __future__ import annotations

from collections import deque

from omnilive.backends.cuda import DeviceBuffer
from omnilive.backends.device_array import DeviceArray, Span, dense_bytes
from omnilive.backends.device_ticket import DeviceTicket, Lease, Reads


class OutputMemory:
    """Buffers of one engine's outputs.

    None is freed before the engine is: freeing waits for the whole device. One is allocated only
    while all that are large enough are in use.
    """

    def __init__(self) -> None:
        self._free: deque[tuple[DeviceBuffer, Reads]] = deque()

    def take(self, nbytes: int) -> tuple[DeviceBuffer, Reads]:
        """A buffer of at least ``nbytes``, and the work it may be written after."""
        # Given back by whoever drops the last view, on any thread: only ever one at a time.
        found = [self._free.popleft() for _ in range(len(self._free))]
        found.sort(key=lambda free: free[0].nbytes)
        taken = next((free for free in found if free[0].nbytes >= nbytes), None)
        self._free.extend(free for free in found if free is not taken)
        return taken or (DeviceBuffer(_rounded(nbytes)), {})

    def array(
        self, buffer: DeviceBuffer, ticket: DeviceTicket, shape: tuple[int, ...], dtype: str
    ) -> DeviceArray:
        """What the run of ``ticket`` writes into ``buffer``, which is taken until it is dropped."""
        lease = Lease(ticket, buffer, self._give_back)
        return DeviceArray([Span(lease, buffer.address, dense_bytes(shape, dtype))], shape, dtype)

    def _give_back(self, buffer: DeviceBuffer, reads: Reads) -> None:
        self._free.append((buffer, reads))


def _rounded(nbytes: int) -> int:
    """At most an eighth more: outputs of many lengths come in few sizes."""
    step = 1 << max(8, nbytes.bit_length() - 4)
    return -(-nbytes // step) * step
