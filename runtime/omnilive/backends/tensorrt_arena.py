"""KV arenas on the device: keys and values of one sequence, and the decode step captured on them.

The engine reads an arena and gives out only the new keys and values; they are written here, by
small copies on the device. It never looks at what they hold.
"""

from __future__ import annotations

import threading

import numpy as np

from omnilive.backends.cuda import DeviceBuffer, Graph, Stream
from omnilive.engine.manifest import KvInfo
from omnilive.errors import EngineError

LEAST_BUCKET = 256
"""Tokens of the smallest arena; the engines are built for it and its doubles."""


def bucket_of(capacity: int, most: int) -> int:
    """Tokens that an arena for ``capacity`` tokens holds: a few sizes, so that graphs are few."""
    bucket = min(LEAST_BUCKET, most)
    while bucket < capacity:
        bucket = min(2 * bucket, most)
    return bucket


def kv_names(kv: KvInfo, prefix: str) -> list[str]:
    """The KV tensors of a decoder graph, layer by layer, key before value."""
    return [f"{prefix}.{i}.{part}" for i in range(kv.layers) for part in ("key", "value")]


class TensorrtArena:
    """Buffers [1, kv_heads, bucket, head_dim] for each key and value of one sequence.

    Args:
        owner: name of the decoder it belongs to.
        kv: geometry.
        capacity: tokens a caller may append.
        stream: of the decoder.
    """

    def __init__(self, owner: str, kv: KvInfo, capacity: int, stream: Stream) -> None:
        self.owner = owner
        self._kv = kv
        self._capacity = capacity
        self._length = 0
        self.bucket = bucket_of(capacity, kv.max_positions)
        self._row = kv.head_dim * np.dtype(kv.dtype).itemsize
        self.lock = threading.Lock()
        self.buffers = [
            DeviceBuffer(kv.kv_heads * self.bucket * self._row) for _ in range(2 * kv.layers)
        ]
        # The mask adds to the scores of what was never written: it has to be finite.
        for buffer in self.buffers:
            stream.clear(buffer)
        self.step: Graph | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of each buffer."""
        return (1, self._kv.kv_heads, self.bucket, self._kv.head_dim)

    @property
    def capacity(self) -> int:
        """See ``KvArena.capacity``."""
        return self._capacity

    @property
    def length(self) -> int:
        """See ``KvArena.length``."""
        return self._length

    def truncate(self, length: int) -> None:
        """See ``KvArena.truncate``."""
        with self.lock:
            if not 0 <= length <= self._length:
                raise EngineError(
                    f"cannot keep {length} tokens of {self._length}",
                    where=f"KV arena of {self.owner}",
                    mend="Truncate to a length the arena has reached.",
                )
            self._length = length

    def check_room(self, tokens: int) -> None:
        """Raises EngineError when ``tokens`` more do not fit."""
        if self._length + tokens > self._capacity:
            raise EngineError(
                f"{self._length} + {tokens} tokens exceed its capacity of {self._capacity}",
                where=f"KV arena of {self.owner}",
                mend="Shorten the prompt or raise the configured context.",
            )

    def write(self, new: list[DeviceBuffer], tokens: int, stream: Stream) -> None:
        """Append the block's keys and values, each dense [1, kv_heads, tokens, head_dim]."""
        for buffer, source in zip(self.buffers, new, strict=True):
            stream.copy_rows(
                buffer.address + self._length * self._row,
                self.bucket * self._row,
                source.address,
                tokens * self._row,
                width=tokens * self._row,
                rows=self._kv.kv_heads,
            )
        self._length += tokens
