"""Writes a planned graph: the model file and, beside it, its weights streamed tensor by tensor.

It must never hold more than the chunk being written, and never touch a file outside its folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from omnilive.engine.manifest import FileRecord
from omnilive_export.graphs.builder import PlannedGraph, PlannedTensor, model_proto

MODEL_NAME = "model.onnx"
DATA_NAME = "model.onnx.data"

ALIGNMENT = 4096
"""Each weight starts on a page, so that a runtime can map it."""

Advance = Callable[[int], None]


class HashedFile:
    """A file that is written from front to back and hashed on the way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = path.open("wb")
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``."""
        self._handle.write(data)
        self._hash.update(data)
        self.size += len(data)

    def align(self, boundary: int) -> None:
        """Append zeros up to a multiple of ``boundary``."""
        self.write(bytes(-self.size % boundary))

    def close(self) -> None:
        """Flush and close."""
        self._handle.close()

    def record(self, relative_to: Path) -> FileRecord:
        """The manifest's record of this file."""
        path = self._path.relative_to(relative_to).as_posix()
        return FileRecord(path, self.size, self._hash.hexdigest())


def write_graph(
    graph: PlannedGraph, pack: Path, *, advance: Advance
) -> tuple[FileRecord, FileRecord]:
    """Write ``graph`` to the folder of its name inside ``pack``.

    Args:
        graph: the plan.
        pack: folder of the pack being built.
        advance: called with the cost of each chunk written.

    Returns:
        The records of the model file and of the weights file.
    """
    folder = pack / graph.name
    folder.mkdir()
    data = HashedFile(folder / DATA_NAME)
    offsets: dict[str, tuple[int, int]] = {}
    try:
        for tensor in graph.tensors:
            data.align(ALIGNMENT)
            offsets[tensor.name] = (data.size, tensor.nbytes)
            _write_tensor(tensor, data, advance)
    finally:
        data.close()
    model = HashedFile(folder / MODEL_NAME)
    try:
        proto = model_proto(graph, offsets, DATA_NAME)
        model.write(proto.SerializeToString(deterministic=True))
    finally:
        model.close()
    return model.record(pack), data.record(pack)


def _write_tensor(tensor: PlannedTensor, data: HashedFile, advance: Advance) -> None:
    begin = data.size
    dtype = tensor.stored_dtype
    told = 0
    for chunk in tensor.chunks():
        if chunk.dtype != dtype:
            raise TypeError(f"{tensor.name} is planned as {dtype}, a chunk is {chunk.dtype}")
        data.write(np.ascontiguousarray(chunk).data.cast("B"))
        done = tensor.cost * (data.size - begin) // max(1, tensor.nbytes)
        advance(done - told)
        told = done
    if data.size - begin != tensor.nbytes:
        raise ValueError(
            f"{tensor.name} is planned with {tensor.nbytes} bytes, {data.size - begin} were made"
        )
