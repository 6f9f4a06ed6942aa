"""Arrays whose values lie on a device until somebody reads them on the host.

What one engine gives, the next takes where it is: slices and joins are views, and only what NumPy
itself has to compute with is copied to the host. It never runs an engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from omnilive.backends.device_ticket import Lease

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Span:
    """Some bytes on the device."""

    lease: Lease
    address: int
    nbytes: int

    def cut(self, first: int, last: int) -> Span:
        """Its bytes from ``first`` to ``last``."""
        return Span(self.lease, self.address + first, last - first)


@dataclass(frozen=True)
class HostBytes:
    """Some bytes on the host, among others on the device."""

    values: npt.NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        """How many."""
        return len(self.values)

    def cut(self, first: int, last: int) -> HostBytes:
        """Its bytes from ``first`` to ``last``."""
        return HostBytes(self.values[first:last])


Part = Span | HostBytes


def dense_bytes(shape: Sequence[int], dtype: npt.DTypeLike) -> int:
    """Bytes of a dense array."""
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize


class DeviceArray(NDArrayOperatorsMixin):
    """A dense array of bytes that lie in pieces, on the device and on the host. Immutable.

    It behaves as a NumPy array does. Integers and slices of the first axis, and ``concatenate`` and
    ``stack`` along it, cost nothing; everything else first copies all of it to the host.

    Attributes:
        parts: its bytes in order.
        shape, dtype: of NumPy.
    """

    def __init__(
        self, parts: Iterable[Part], shape: Sequence[int], dtype: npt.DTypeLike = np.float32
    ) -> None:
        self.parts = tuple(part for part in parts if part.nbytes)
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        if sum(part.nbytes for part in self.parts) != self.nbytes:
            raise ValueError(f"{len(self.parts)} parts are not the bytes of {self.shape}")

    @property
    def ndim(self) -> int:
        """Axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Values."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes."""
        return dense_bytes(self.shape, self.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        if self.ndim > 1 and isinstance(key, slice):
            first, last, step = key.indices(len(self))
            if step == 1:
                return self._rows(first, max(first, last), (max(first, last) - first,))
        if self.ndim > 1 and isinstance(key, int | np.integer):
            index = int(key) + (len(self) if key < 0 else 0)
            if 0 <= index < len(self):
                return self._rows(index, index + 1, ())
        return self.__array__()[key]

    def astype(self, dtype: npt.DTypeLike, copy: bool = True, **options: Any) -> Any:
        """Itself where the type is the same and no copy is asked for, else a host array."""
        if not copy and np.dtype(dtype) == self.dtype:
            return self
        return self.__array__().astype(dtype, **options)

    def expanded(self) -> DeviceArray:
        """With a first axis of one before it."""
        return DeviceArray(self.parts, (1, *self.shape), self.dtype)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("values on a device cannot be read without a copy")
        found = np.empty(self.nbytes, np.uint8)
        at = 0
        for part in self.parts:
            target = found[at : at + part.nbytes]
            if isinstance(part, Span):
                part.lease.read(part.address, target)
            else:
                target[:] = part.values
            at += part.nbytes
        values: Array = found.view(self.dtype).reshape(self.shape)
        return values if dtype is None else values.astype(dtype, copy=False)

    def __array_function__(
        self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if function in (np.concatenate, np.stack) and not kwargs and len(args) == 1:
            joined = _joined(list(args[0]), stacked=function is np.stack)
            if joined is not None:
                return joined
        return function(*_on_host(args), **_on_host(kwargs))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(*_on_host(inputs), **_on_host(kwargs))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.__array__(), name)

    def _rows(self, first: int, last: int, axis: tuple[int, ...]) -> DeviceArray:
        """Rows of the first axis, which becomes ``axis``."""
        row = self.nbytes // max(1, len(self))
        low, high = first * row, last * row
        found, at = [], 0
        for part in self.parts:
            begin, end = max(low, at), min(high, at + part.nbytes)
            if begin < end:
                found.append(part.cut(begin - at, end - at))
            at += part.nbytes
        return DeviceArray(found, (*axis, *self.shape[1:]), self.dtype)


def _joined(arrays: list[Any], *, stacked: bool) -> DeviceArray | None:
    """The arrays one after the other; None where they do not fit without NumPy's help."""
    if not all(isinstance(array, DeviceArray | np.ndarray) for array in arrays):
        return None
    first = arrays[0]
    shape = first.shape if stacked else first.shape[1:]
    for array in arrays:
        own = array.shape if stacked else array.shape[1:]
        if own != shape or array.dtype != first.dtype or not array.shape:
            return None
    parts: list[Part] = []
    for array in arrays:
        if isinstance(array, DeviceArray):
            parts += array.parts
        else:
            flat = np.array(array, order="C", copy=True).reshape(-1)
            parts.append(HostBytes(flat.view(np.uint8)))
    rows = len(arrays) if stacked else sum(len(array) for array in arrays)
    return DeviceArray(parts, (rows, *shape), first.dtype)


def _on_host(value: Any) -> Any:
    """``value`` with every device array in it copied to the host."""
    if isinstance(value, DeviceArray):
        return value.__array__()
    if isinstance(value, tuple | list):
        return type(value)(_on_host(item) for item in value)
    if isinstance(value, dict):
        return {key: _on_host(item) for key, item in value.items()}
    return value
