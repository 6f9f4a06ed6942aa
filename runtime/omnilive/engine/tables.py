"""Embedding tables, memory-mapped: a row is read from disk when it is first asked for.

Gathers and dequantizes rows on the host; it never loads a whole table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from omnilive.engine.interface import F32
from omnilive.engine.manifest import REBUILD, TableInfo
from omnilive.errors import EngineError, PackError

ITEM_BYTES = {"float32": 4, "float16": 2, "int8": 1}
SCALE_BYTES = 4


def table_file_bytes(info: TableInfo) -> int:
    """Size in bytes the table's data file must have.

    Raises:
        KeyError: the dtype is none of ``ITEM_BYTES``.
    """
    return info.rows * info.width * ITEM_BYTES[info.dtype]


class MappedTable:
    """One table of a pack: [rows, width] in float32, float16 or int8 with one scale per row."""

    def __init__(self, info: TableInfo, folder: Path) -> None:
        """Map the files of ``info`` under ``folder``.

        Raises:
            PackError: a file is missing or shorter than the table's shape.
        """
        self._name = info.name
        try:
            self._data: npt.NDArray[Any] = np.memmap(
                folder / info.file.path,
                dtype=np.dtype(info.dtype).newbyteorder("<"),
                mode="r",
                shape=(info.rows, info.width),
            )
            self._scales: npt.NDArray[Any] | None = None
            if info.scales is not None:
                self._scales = np.memmap(
                    folder / info.scales.path, dtype="<f4", mode="r", shape=(info.rows,)
                )
        except (OSError, ValueError) as e:
            raise PackError(
                f"cannot be mapped ({e})",
                where=str(folder / info.file.path),
                mend=REBUILD.format(pack=folder),
            ) from e

    def rows(self, ids: npt.ArrayLike) -> F32:
        """Rows of ``ids`` [n] as float32 [n, width].

        Raises:
            EngineError: an id is not an integer in [0, rows).
        """
        wanted = np.asarray(ids)
        if wanted.size == 0:
            return np.empty((0, self._data.shape[1]), np.float32)
        if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
            raise self._error(f"takes a list of integer ids, not {wanted.dtype}{wanted.shape}")
        low, high = int(wanted.min()), int(wanted.max())
        if low < 0 or high >= len(self._data):
            odd = low if low < 0 else high
            raise self._error(f"has no row {odd}, only 0 to {len(self._data) - 1}")
        gathered: F32 = self._data[wanted].astype(np.float32)
        if self._scales is not None:
            gathered *= self._scales[wanted].astype(np.float32)[:, None]
        return gathered

    def _error(self, what: str) -> EngineError:
        return EngineError(
            what,
            where=f"table {self._name}",
            mend="Check that tokenizer and table come from the same pack.",
        )
