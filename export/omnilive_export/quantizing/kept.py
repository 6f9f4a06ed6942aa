"""Quantized tensors kept beside a pack while it is built, so that a killed build goes on from them.

One folder per pack, of at most the bytes of the pack's int4 blocks; it goes when the pack is done,
and one of another recipe or exporter goes before a build begins. The lock of the pack guards it.
Round-to-nearest keeps nothing: it is quicker than reading back what was kept.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from omnilive_export.quantize import BlockFormat, QuantizedRows
from omnilive_export.reading.row_source import RowSource, row_blocks

_KEY_NAME = "key"
_DIGEST_BYTES = 32


def kept_folder(out: Path) -> Path:
    """Where what is kept for the pack at ``out`` lies."""
    return out.with_name(f".{out.name}.quantizing")


def discard_kept(out: Path) -> None:
    """Remove what is kept for the pack at ``out``, if anything."""
    shutil.rmtree(kept_folder(out), ignore_errors=True)


@contextmanager
def kept_noted(out: Path, note: Callable[[str], None]) -> Iterator[None]:
    """Tells of what is kept for the pack at ``out`` when its build ends with an error."""
    try:
        yield
    except BaseException:
        if kept_folder(out).is_dir():
            note(f"{kept_folder(out)}: keeps what was quantized; the same build goes on from it")
        raise


class KeptTensors:
    """The folder of one build; it must hold the lock of the pack."""

    def __init__(self, out: Path, key: str) -> None:
        """Go on with what is kept for ``out`` under ``key``; anything else there is removed."""
        self._folder = kept_folder(out)
        self._key = key
        marker = self._folder / _KEY_NAME
        if not (marker.is_file() and marker.read_text("utf-8") == key):
            discard_kept(out)
        for unfinished in self._folder.glob("*.partial"):
            unfinished.unlink()

    @property
    def nbytes(self) -> int:
        """Bytes it takes now."""
        return sum(path.stat().st_size for path in self._folder.glob("*"))

    def find(
        self, name: str, weight: RowSource, fmt: BlockFormat
    ) -> Iterator[QuantizedRows] | None:
        """The rows kept under ``name``, if they were made of these values and are as written."""
        path = self._path(name)
        shape = (weight.shape[0], weight.shape[1])
        try:
            if path.stat().st_size == tensor_bytes(shape, fmt) + 2 * _DIGEST_BYTES:
                if _recorded(path) == _source_digest(weight) + _payload_digest(path):
                    return _read(path, shape, fmt)
        except FileNotFoundError:
            return None
        path.unlink()
        return None

    def writer(self, name: str) -> KeptWriter:
        """Begins to keep a tensor under ``name``; the first makes the folder."""
        if not self._folder.is_dir():
            self._folder.mkdir()
            (self._folder / _KEY_NAME).write_text(self._key, "utf-8")
        return KeptWriter(self._path(name))

    def _path(self, name: str) -> Path:
        return self._folder / hashlib.sha256(name.encode()).hexdigest()


class KeptWriter:
    """Writes one tensor, row block by row block; it is kept once ``finish`` has returned."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self._file: BinaryIO = self._partial.open("wb")
        self._source = hashlib.sha256()
        self._payload = hashlib.sha256()
        self._tail: list[bytes] = []
        self._zeros: list[bytes] = []

    def add(self, source: memoryview, rows: QuantizedRows) -> None:
        """Append ``rows``, which were made of the bytes ``source``."""
        self._source.update(source)
        self._write(rows.packed.tobytes())
        self._tail.append(rows.scales.tobytes())
        if rows.zero_points is not None:
            self._zeros.append(rows.zero_points.tobytes())

    def finish(self) -> None:
        """Everything was added."""
        for part in (*self._tail, *self._zeros):
            self._write(part)
        self._file.write(self._source.digest() + self._payload.digest())
        self._file.close()
        os.replace(self._partial, self._path)

    def close(self) -> None:
        """Let go of the file; what is not finished is not kept."""
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._payload.update(data)


def tensor_bytes(shape: tuple[int, int], fmt: BlockFormat) -> int:
    """Bytes of codes, scales and zero points of an [n, k] tensor."""
    n, k = shape
    zeros = 0 if fmt.symmetric else fmt.zero_point_bytes(k)
    return n * (fmt.blocks(k) * (fmt.blob_bytes() + 4) + zeros)


def _recorded(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-2 * _DIGEST_BYTES, os.SEEK_END)
        return file.read()


def _source_digest(weight: RowSource) -> bytes:
    digest = hashlib.sha256()
    for start, stop in row_blocks(weight.shape):
        digest.update(np.ascontiguousarray(weight.rows(start, stop)).data.cast("B"))
    return digest.digest()


def _payload_digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        left = path.stat().st_size - 2 * _DIGEST_BYTES
        while left:
            data = file.read(min(left, 1 << 20))
            digest.update(data)
            left -= len(data)
    return digest.digest()


def _read(path: Path, shape: tuple[int, int], fmt: BlockFormat) -> Iterator[QuantizedRows]:
    n, k = shape
    count, blob = fmt.blocks(k), fmt.blob_bytes()
    scales_at = n * count * blob
    zeros_at = scales_at + 4 * n * count
    width = 0 if fmt.symmetric else fmt.zero_point_bytes(k)
    with path.open("rb") as file:

        def part(offset: int, nbytes: int) -> bytes:
            file.seek(offset)
            return file.read(nbytes)

        for start, stop in row_blocks(shape):
            rows = stop - start
            packed = part(start * count * blob, rows * count * blob)
            scales = part(scales_at + 4 * start * count, 4 * rows * count)
            zeros = part(zeros_at + start * width, rows * width)
            yield QuantizedRows(
                np.frombuffer(packed, np.uint8).reshape(rows, count, blob),
                np.frombuffer(scales, np.float32).reshape(rows, count),
                None if fmt.symmetric else np.frombuffer(zeros, np.uint8).reshape(rows, width),
            )
