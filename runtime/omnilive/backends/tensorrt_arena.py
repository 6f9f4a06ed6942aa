"""KV arenas on the device: keys and values of one sequence, and the decode step captured on them.

The engine reads an arena and gives out only the new keys and values; they are written here, by
small copies on the device. It never looks at what they hold.
"""

from __future__ import annotations

import numpy as np

from omnilive.backends.cuda import DeviceBuffer, Graph, Stream
from omnilive.backends.cuda_lanes import DeviceLane
from omnilive.engine.decoder_checks import ArenaLength
from omnilive.engine.kv_layout import bucket_of
from omnilive.engine.manifest import KvInfo


class TensorrtArena(ArenaLength):
    """Buffers [1, kv_heads, bucket, head_dim] for each key and value of one sequence.

    Args:
        owner: name of the decoder it belongs to.
        kv: geometry.
        capacity: tokens a caller may append.
        lane: of the decoder.
    """

    def __init__(self, owner: str, kv: KvInfo, capacity: int, lane: DeviceLane) -> None:
        super().__init__(owner, capacity)
        self._kv = kv
        self.bucket = bucket_of(capacity, kv.max_positions)
        self._row = kv.head_dim * np.dtype(kv.dtype).itemsize
        self.buffers = [
            DeviceBuffer(kv.kv_heads * self.bucket * self._row) for _ in range(2 * kv.layers)
        ]
        lane.submit(self._clear)
        self.step: Graph | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of each buffer."""
        return (1, self._kv.kv_heads, self.bucket, self._kv.head_dim)

    def write(self, new: list[DeviceBuffer], tokens: int, stream: Stream) -> None:
        """Append the block's keys and values, each dense [1, kv_heads, tokens, head_dim]."""
        for buffer, source in zip(self.buffers, new, strict=True):
            stream.copy_rows(
                buffer.address + self.length * self._row,
                self.bucket * self._row,
                source.address,
                tokens * self._row,
                width=tokens * self._row,
                rows=self._kv.kv_heads,
            )
        self.advance(tokens)

    def _clear(self, stream: Stream) -> None:
        # The mask adds to the scores of what was never written: it has to be finite.
        for buffer in self.buffers:
            stream.clear(buffer)
