"""Reads where each tensor of a ``pytorch_model.bin`` lies, without torch and without trust.

A ``.bin`` is a zip archive of one pickle and one stored (uncompressed) member per storage, as
``torch.save`` has written it since version 1.6. The pickle only says which part of which member
each tensor is. It is unpickled with weights only: no opcode and no class but the few below is ever
taken, so a file that asks for anything else is refused, and nothing of it runs.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from omnilive.errors import CheckpointError
from omnilive_export.reading.mapped_tensors import ITEM_BYTES, MappedTensors, TensorEntry

_STORAGES: Mapping[str, str] = {
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "DoubleStorage": "F64",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
"""Classes of ``torch`` that stand for a dtype, to safetensors' name of it."""

_ALL_ITEM_BYTES = {
    **ITEM_BYTES,
    "F64": 8,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}

_PICKLE_LIMIT_BYTES = 16 << 20
"""A tensor takes some 200 bytes of the pickle: far more than this is no index of weights."""

_ODD_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    OSError,
)
"""What the library raises for archives that are damaged, or of a kind torch never writes."""

_OPCODES = frozenset(
    "PROTO FRAME STOP MARK GLOBAL STACK_GLOBAL REDUCE BUILD BINPERSID NONE NEWTRUE NEWFALSE "
    "BININT BININT1 BININT2 LONG1 BINUNICODE SHORT_BINUNICODE EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 "
    "TUPLE3 EMPTY_DICT SETITEM SETITEMS BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET".split()
)
"""What a dictionary of tensors is written with. Others could make large objects from few bytes."""

_LOCAL_HEADER_BYTES = 30
"""Fixed part of a zip member's local header; its last four bytes are two lengths."""


class _StorageType(NamedTuple):
    """A class of storages, as named in the pickle."""

    dtype: str


class _Storage(NamedTuple):
    """One member of the archive: ``numel`` values of ``dtype``."""

    dtype: str
    key: str
    numel: int


class _View(NamedTuple):
    """A tensor: which values of a storage, unchecked."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class TorchFile(MappedTensors):
    """An open ``.bin`` file of tensors.

    Raises:
        CheckpointError: the file is missing or truncated, holds anything but tensors, or keeps
            a tensor in a form that cannot be mapped.
    """

    def _read_entries(self) -> dict[str, TensorEntry]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                return self._entries_of(archive)
        except _ODD_ARCHIVE as e:
            raise CheckpointError(
                "is no whole zip archive as torch.save writes it: damaged, or older than torch 1.6",
                where=str(self.path),
                mend="Download it again, or use the model's safetensors files.",
            ) from e

    def _entries_of(self, archive: zipfile.ZipFile) -> dict[str, TensorEntry]:
        members = {info.filename: info for info in archive.infolist()}
        roots = [name[: -len("data.pkl")] for name in members if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise self._refused("holds no pickle of tensors")
        root = roots[0]
        order = members.get(f"{root}byteorder")
        if order is not None and archive.read(order) != b"little":
            raise self._refused("was written on a big-endian machine")
        index = members[f"{root}data.pkl"]
        if index.file_size > _PICKLE_LIMIT_BYTES:
            raise self._refused(f"holds a pickle of {index.file_size} bytes")
        views = self._unpickled(archive.read(index))
        starts: dict[str, int] = {}
        entries = {}
        for name, view in views.items():
            key = view.storage.key
            if key not in starts:
                starts[key] = self._storage_start(members.get(f"{root}data/{key}"), view.storage)
            entries[name] = self._entry(name, view, starts[key])
        return entries

    def _unpickled(self, data: bytes) -> Mapping[str, _View]:
        try:
            _check_opcodes(data)
            found = _WeightsOnly(io.BytesIO(data)).load()
        except _ForeignError as e:
            raise self._refused(f"asks for {e}, which is no part of a file of weights") from e
        # A damaged pickle can fail in any way at all; none of them is a bug of this program.
        except Exception as e:
            raise self._damaged(f"holds a damaged pickle ({type(e).__name__})") from e
        if not isinstance(found, dict):
            raise self._refused("is no dictionary of tensors")
        for name, value in found.items():
            if not isinstance(name, str) or not isinstance(value, _View):
                raise self._refused(f"holds something else than a tensor under {name!r:.80}")
        return found

    def _storage_start(self, member: zipfile.ZipInfo | None, storage: _Storage) -> int:
        """Offset of a storage's first byte in the file."""
        if member is None:
            raise self._damaged(f"lacks its storage {storage.key!r:.80}")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise self._refused("has compressed or encrypted storages")
        header = member.header_offset
        fixed = self._map[header : header + _LOCAL_HEADER_BYTES]
        if len(fixed) < _LOCAL_HEADER_BYTES or fixed[:4] != b"PK\x03\x04":
            raise self._damaged(f"is damaged at its storage {storage.key!r:.80}")
        names = int.from_bytes(fixed[26:28], "little") + int.from_bytes(fixed[28:30], "little")
        start = header + _LOCAL_HEADER_BYTES + names
        nbytes = storage.numel * _ALL_ITEM_BYTES[storage.dtype]
        if member.file_size < nbytes or start + nbytes > self._size:
            raise self._damaged(f"is truncated at its storage {storage.key!r:.80}")
        return start

    def _entry(self, name: str, view: _View, start: int) -> TensorEntry:
        shape, count = view.shape, math.prod(view.shape)
        if count and not _is_row_major(shape, view.stride):
            raise self._refused(f"keeps tensor {name} transposed or strided")
        if view.offset + count > view.storage.numel:
            raise self._damaged(f"places tensor {name} past the end of its storage")
        item = _ALL_ITEM_BYTES[view.storage.dtype]
        return TensorEntry(view.storage.dtype, shape, start + view.offset * item, count * item)

    def _refused(self, what: str) -> CheckpointError:
        return CheckpointError(
            what,
            where=str(self.path),
            mend="Use the model's safetensors files, or save its state_dict with them.",
        )


class _ForeignError(Exception):
    """The pickle asks for something that weights do not need; its name is the text."""


def _check_opcodes(data: bytes) -> None:
    """Refuse what weights do not need before any of it is carried out."""
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name not in _OPCODES:
            raise _ForeignError(f"opcode {opcode.name}")
        # The unpickler's memo is a list as long as the largest place in it.
        if opcode.name == "LONG_BINPUT" and int(argument or 0) > len(data):
            raise pickle.UnpicklingError("odd memo")


class _WeightsOnly(pickle.Unpickler):
    """Finds only what a dictionary of tensors is made of, each replaced by inert data."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _rebuild_parameter
        if module == "torch" and name in _STORAGES:
            return _StorageType(_STORAGES[name])
        raise _ForeignError(f"{module}.{name}"[:80])

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage, key, _, numel = pid
        if kind != "storage" or not isinstance(storage, _StorageType) or not isinstance(key, str):
            raise pickle.UnpicklingError("odd storage")
        return _Storage(storage.dtype, key, _count(numel))


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> _View:
    if not isinstance(storage, _Storage) or len(shape) != len(stride):
        raise pickle.UnpicklingError("odd tensor")
    dims, steps = (tuple(_count(n) for n in part) for part in (shape, stride))
    return _View(storage, _count(offset), dims, steps)


def _rebuild_parameter(data: Any, *_: Any) -> _View:
    if not isinstance(data, _View):
        raise pickle.UnpicklingError("odd parameter")
    return data


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise pickle.UnpicklingError("odd count")
    return value


def _is_row_major(shape: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    step = 1
    for size, given in zip(reversed(shape), reversed(stride), strict=True):
        if size != 1 and given != step:
            return False
        step *= size
    return True
