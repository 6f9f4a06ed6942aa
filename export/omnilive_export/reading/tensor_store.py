"""The tensors of one model folder: a single file of weights or the shards of an index.

Safetensors are read where there are any, else ``pytorch_model.bin``. It looks tensors up by name
and checks their shapes; it never reads more than it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from omnilive.errors import CheckpointError
from omnilive_export.reading.mapped_tensors import MappedTensors, is_readable_dtype
from omnilive_export.reading.row_source import F32, RowSource
from omnilive_export.reading.safetensors_file import SafetensorsFile
from omnilive_export.reading.torch_file import TorchFile

MODEL_NAMES = ("model.safetensors", "pytorch_model.bin")
ADAPTER_NAMES = ("adapter_model.safetensors", "adapter_model.bin")
INDEX_SUFFIX = ".index.json"
TORCH_SUFFIX = ".bin"


class Tensors(Protocol):
    """Tensors by name, from wherever they come."""

    @property
    def folder(self) -> Path:
        """The model's folder."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file they are read from."""
        ...

    def __contains__(self, name: str) -> bool: ...

    def tensor(self, name: str, shape: Sequence[int | None], *, why: str) -> RowSource:
        """See ``TensorStore.tensor``."""
        ...


@dataclass(frozen=True)
class Tensor:
    """One tensor of a checkpoint; a RowSource."""

    name: str
    file: MappedTensors
    shape: tuple[int, ...]

    def rows(self, start: int, stop: int) -> F32:
        """Rows [start, stop) as float32 [stop - start, *shape[1:]]."""
        return self.file.rows(self.name, start, stop)


class TensorStore:
    """All tensors of a model folder.

    Args:
        folder: of the model.
        names: of a single file of weights, the preferred one first; shards are found by the
            index of that name.

    Raises:
        CheckpointError: no weights in the folder, an odd index, or a shard that is missing or
            damaged.
    """

    def __init__(self, folder: Path, names: Sequence[str] = MODEL_NAMES) -> None:
        self.folder = folder
        self._names = tuple(names)
        self._files: dict[str, MappedTensors] = {}
        self.index_path: Path | None = None
        try:
            self._owner = self._locate()
        except BaseException:
            self.close()
            raise

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of weights and their index, for the record of what was read."""
        paths = tuple(f.path for f in self._files.values())
        return paths if self.index_path is None else (*paths, self.index_path)

    @property
    def names(self) -> tuple[str, ...]:
        """Every tensor's name, sorted."""
        return tuple(sorted(self._owner))

    def close(self) -> None:
        """Unmap every file."""
        for file in self._files.values():
            file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._owner

    def tensor(self, name: str, shape: Sequence[int | None], *, why: str) -> Tensor:
        """The tensor ``name``, whose shape must be ``shape`` (None fits any length).

        Args:
            name: name in the checkpoint.
            shape: expected shape.
            why: the configuration keys the shape follows from, for the error.

        Raises:
            CheckpointError: the tensor is missing, of another shape, or of an unreadable dtype.
        """
        file = self._owner.get(name)
        expected = "[" + ", ".join("any" if n is None else str(n) for n in shape) + "]"
        if file is None:
            raise CheckpointError(
                f"tensor {name} is missing, expected shape {expected} ({why})",
                where=str(self.folder),
                mend="Check that this is the folder of the right model and that all shards "
                "were downloaded.",
            )
        entry = file.entries[name]
        fits = len(entry.shape) == len(shape) and all(
            want is None or want == found for want, found in zip(shape, entry.shape, strict=True)
        )
        if not fits:
            raise CheckpointError(
                f"tensor {name} has shape {list(entry.shape)}, expected {expected} ({why})",
                where=str(file.path),
                mend="config.json and the weights are of different models: "
                "download both from one place.",
            )
        if not is_readable_dtype(entry.dtype):
            raise CheckpointError(
                f"tensor {name} has dtype {entry.dtype}, expected F32, F16 or BF16",
                where=str(file.path),
                mend="Use the unquantized checkpoint.",
            )
        return Tensor(name, file, entry.shape)

    def _locate(self) -> dict[str, MappedTensors]:
        for name in self._names:
            index = self.folder / (name + INDEX_SUFFIX)
            if index.is_file():
                self.index_path = index
                return self._from_index(index)
            if (self.folder / name).is_file():
                file = self._open(name)
                return dict.fromkeys(file.entries, file)
        indexes = [name + INDEX_SUFFIX for name in self._names]
        raise CheckpointError(
            "has none of " + ", ".join((*self._names, *indexes)),
            where=str(self.folder),
            mend="Point --checkpoint at a folder that holds the weights too.",
        )

    def _open(self, name: str) -> MappedTensors:
        if name not in self._files:
            path = self.folder / name
            kind = TorchFile if name.endswith(TORCH_SUFFIX) else SafetensorsFile
            self._files[name] = kind(path)
        return self._files[name]

    def _from_index(self, index: Path) -> dict[str, MappedTensors]:
        try:
            weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            pairs = [(str(name), str(shard)) for name, shard in weight_map.items()]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
            raise CheckpointError(
                "key 'weight_map' is missing or odd, expected an object of tensor → shard",
                where=str(index),
                mend="Download the index again.",
            ) from e
        owner: dict[str, MappedTensors] = {}
        for name, shard in pairs:
            if Path(shard).name != shard:
                raise CheckpointError(
                    f"key 'weight_map' expected file names, found {shard!r}",
                    where=str(index),
                    mend="Download the index again.",
                )
            file = self._open(shard)
            if name not in file.entries:
                raise CheckpointError(
                    f"tensor {name} is not in {shard}, where the index places it",
                    where=str(index),
                    mend="Download the index and its shards again, all of one revision.",
                )
            owner[name] = file
        return owner
