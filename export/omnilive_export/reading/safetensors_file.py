"""Reads the header of a safetensors file: where each of its tensors lies.

It never interprets a tensor's name.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from omnilive_export.reading.mapped_tensors import ITEM_BYTES, MappedTensors, TensorEntry

_HEADER_LIMIT_BYTES = 100_000_000
"""The format's own limit on the header."""


class SafetensorsFile(MappedTensors):
    """An open safetensors file.

    Raises:
        CheckpointError: the file is missing, empty, truncated, or not in this format.
    """

    def _read_entries(self) -> dict[str, TensorEntry]:
        if self._size < 8:
            raise self._damaged("is too short for a safetensors header")
        length = int.from_bytes(self._map[:8], "little")
        if length > min(self._size - 8, _HEADER_LIMIT_BYTES):
            raise self._damaged("is truncated or not a safetensors file")
        try:
            header = json.loads(self._map[8 : 8 + length])
        except ValueError as e:
            raise self._damaged("has a header that is not JSON") from e
        if not isinstance(header, dict):
            raise self._damaged("has a header that is not a JSON object")
        return {
            name: self._entry(name, raw, 8 + length)
            for name, raw in header.items()
            if name != "__metadata__"
        }

    def _entry(self, name: str, raw: Any, data_start: int) -> TensorEntry:
        try:
            dtype = str(raw["dtype"])
            shape = tuple(int(n) for n in raw["shape"])
            begin, end = (int(n) for n in raw["data_offsets"])
        except (TypeError, KeyError, ValueError) as e:
            raise self._damaged(f"has an odd header entry for tensor {name}") from e
        if any(n < 0 for n in shape):
            raise self._damaged(f"gives tensor {name} the shape {list(shape)}")
        if dtype in ITEM_BYTES:
            expected = int(np.prod(shape, dtype=np.int64)) * ITEM_BYTES[dtype]
            if end - begin != expected:
                raise self._damaged(
                    f"gives tensor {name} {end - begin} bytes, expected {expected} "
                    f"for {dtype} {list(shape)}"
                )
        if begin < 0 or data_start + end > self._size:
            raise self._damaged(f"is truncated: tensor {name} ends past the end of the file")
        return TensorEntry(dtype, shape, data_start + begin, end - begin)
