"""A file of lines that never grows beyond a limit. It never splits a line nor leaves half of one.

A full file is renamed, ``name.jsonl`` to ``name.1.jsonl``, after the parts before it moved on by
one; the oldest goes when there are too many.
"""

from __future__ import annotations

import contextlib
import os
import stat
from io import FileIO
from pathlib import Path


class RotatingFile:
    """Appends lines to ``path``; each is handed to the system as it is written.

    Every method raises the OSError of the system that refused it.
    """

    def __init__(self, path: Path, part_bytes: int, parts: int) -> None:
        """Open ``path`` as it is; call ``clear`` before writing.

        Args:
            path: whose suffix stays the last, e.g. ``events.jsonl``.
            part_bytes: most bytes of a part; a longer line has a part of its own.
            parts: most parts kept, at least 2.
        """
        self._path = path
        self._part_bytes = part_bytes
        self._parts = parts
        self._file = FileIO(path, "a")
        self._bytes = 0

    def clear(self) -> None:
        """Forget what an earlier run wrote, its older parts, too."""
        if stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):  # a device or pipe keeps nothing
            self._file.truncate(0)
        self._bytes = 0
        number = 1
        while (part := self._part(number)).exists():
            part.unlink()
            number += 1

    def write(self, line: bytes) -> None:
        """Append one whole line; of one that the disk has no room for nothing is kept."""
        if self._bytes and self._bytes + len(line) > self._part_bytes:
            self._rotate()
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self._bytes)
            raise
        self._bytes += len(line)

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._parts - 2, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(self._part(number), self._part(number + 1))
        os.replace(self._path, self._part(1))
        self._file = FileIO(self._path, "a")
        self._bytes = 0

    def _part(self, number: int) -> Path:
        return self._path.with_suffix(f".{number}{self._path.suffix}")
