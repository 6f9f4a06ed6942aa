"""Tensors of one file read by memory map, a block of rows at a time, whatever the file's format.

It must never keep pages resident: every read copies its rows to float32 and drops the pages, so
that reading a file of any size costs one block of memory.
"""

from __future__ import annotations

import mmap
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from omnilive.errors import CheckpointError

F32 = npt.NDArray[np.float32]

ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
"""Bytes per value of the dtypes that can be read, by their names in safetensors."""

_DAMAGED = "Download or copy the file again."


@dataclass(frozen=True)
class TensorEntry:
    """Where one tensor lies: row-major from ``start``, a byte offset into the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    nbytes: int


class MappedTensors(ABC):
    """An open file of tensors; a subclass knows one format.

    Raises:
        CheckpointError: the file is missing, empty, truncated, or not in the format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as handle:
                self._size = handle.seek(0, 2)
                if not self._size:
                    raise self._damaged("is empty")
                self._map = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as e:
            raise CheckpointError(
                f"cannot be opened ({e.strerror})", where=str(path), mend=_DAMAGED
            ) from e
        try:
            self.entries = self._read_entries()
        except BaseException:
            self._map.close()
            raise

    @abstractmethod
    def _read_entries(self) -> dict[str, TensorEntry]:
        """Every tensor of the file by name, all within it. Raises CheckpointError."""

    def close(self) -> None:
        """Unmap the file; reads after this fail."""
        self._map.close()

    def rows(self, name: str, start: int, stop: int) -> F32:
        """Rows [start, stop) of a tensor as a fresh float32 array [stop - start, *rest].

        A scalar or a vector counts as rows of one value. Rows must be within the tensor.
        """
        entry = self.entries[name]
        count = entry.shape[0] if entry.shape else 1
        if not 0 <= start <= stop <= count:
            raise IndexError(f"rows {start}:{stop} of {name}, which has {count}")
        row_bytes = entry.nbytes // count if count else 0
        begin = entry.start + start * row_bytes
        end = entry.start + stop * row_bytes
        values = _widen(self._map, entry.dtype, begin, end - begin)
        self._drop_pages(begin, end)
        return values.reshape((stop - start, *entry.shape[1:]))

    def _drop_pages(self, begin: int, end: int) -> None:
        if hasattr(mmap, "MADV_DONTNEED") and end > begin:
            page_start = begin - begin % mmap.PAGESIZE
            self._map.madvise(mmap.MADV_DONTNEED, page_start, end - page_start)

    def _damaged(self, what: str) -> CheckpointError:
        return CheckpointError(what, where=str(self.path), mend=_DAMAGED)


def is_readable_dtype(dtype: str) -> bool:
    """Whether tensors of this dtype can be read (F32, F16 or BF16)."""
    return dtype in ITEM_BYTES


def _widen(buffer: mmap.mmap, dtype: str, offset: int, nbytes: int) -> F32:
    """Copy ``nbytes`` at ``offset`` to a fresh flat float32 array."""
    if nbytes == 0:
        return np.empty(0, dtype=np.float32)
    if dtype == "BF16":
        # bfloat16 is the upper half of float32.
        halves = np.frombuffer(buffer, dtype="<u2", count=nbytes // 2, offset=offset)
        wide = halves.astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    source = np.dtype("<f2" if dtype == "F16" else "<f4")
    count = nbytes // source.itemsize
    return np.frombuffer(buffer, dtype=source, count=count, offset=offset).astype(np.float32)
