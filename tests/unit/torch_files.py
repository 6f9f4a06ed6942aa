"""``.bin`` files as ``torch.save`` writes them, made without torch: for what torch never writes."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

STORAGES = {"<f4": "FloatStorage", "<f2": "HalfStorage", "<i8": "LongStorage"}

STOP = b"."
EMPTY_DICT = b"ccollections\nOrderedDict\n)R"


def text(value: str) -> bytes:
    """The opcode of a string."""
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def integer(value: int) -> bytes:
    """The opcode of an int32."""
    return b"J" + value.to_bytes(4, "little", signed=True)


def numbers(values: Sequence[int]) -> bytes:
    """The opcodes of a tuple."""
    return b"(" + b"".join(map(integer, values)) + b"t"


def tensor(
    storage: str,
    key: str,
    numel: int,
    shape: Sequence[int],
    stride: Sequence[int],
    *,
    offset: int = 0,
) -> bytes:
    """The opcodes of one tensor."""
    persistent = b"(" + text("storage") + f"ctorch\n{storage}\n".encode() + text(key) + text("cpu")
    view = persistent + integer(numel) + b"tQ" + integer(offset) + numbers(shape) + numbers(stride)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + view + b"\x89" + EMPTY_DICT + b"tR"


def dictionary(entries: Mapping[str, bytes]) -> bytes:
    """A whole pickle: a dictionary of what the opcodes of ``entries`` make."""
    items = b"".join(text(name) + value for name, value in entries.items())
    return b"\x80\x02" + EMPTY_DICT + b"(" + items + b"u" + STOP


def row_major(shape: Sequence[int]) -> list[int]:
    """Strides of a contiguous tensor, in values."""
    return [int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape))]


def write_archive(
    path: Path,
    pickled: bytes,
    storages: Mapping[str, bytes],
    *,
    compression: int = zipfile.ZIP_STORED,
    byteorder: bytes = b"little",
) -> None:
    """Write the archive around a pickle."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", byteorder)
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)


def write_torch_file(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write contiguous tensors, each with a storage of its own."""
    entries, storages = {}, {}
    for number, (name, values) in enumerate(tensors.items()):
        kind = STORAGES[values.dtype.str]
        shape = values.shape
        entries[name] = tensor(kind, str(number), values.size, shape, row_major(shape))
        storages[str(number)] = values.tobytes()
    write_archive(path, dictionary(entries), storages)
