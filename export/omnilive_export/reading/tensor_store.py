"""The tensors of one model folder: a single safetensors file or the shards of its index.

It looks tensors up by name and checks their shapes; it never reads more than it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omnilive.errors import CheckpointError
from omnilive_export.reading.row_source import F32
from omnilive_export.reading.safetensors_file import SafetensorsFile, is_readable_dtype

SINGLE_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"


@dataclass(frozen=True)
class Tensor:
    """One tensor of a checkpoint; a RowSource."""

    name: str
    file: SafetensorsFile
    shape: tuple[int, ...]

    def rows(self, start: int, stop: int) -> F32:
        """Rows [start, stop) as float32 [stop - start, *shape[1:]]."""
        return self.file.rows(self.name, start, stop)


class TensorStore:
    """All tensors of a model folder.

    Raises:
        CheckpointError: no safetensors in the folder, an odd index, or a shard that is missing
            or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, SafetensorsFile] = {}
        self.index_path: Path | None = None
        try:
            self._owner = self._locate()
        except BaseException:
            self.close()
            raise

    @property
    def files(self) -> tuple[Path, ...]:
        """The safetensors files and their index, for the record of what was read."""
        paths = tuple(f.path for f in self._files.values())
        return paths if self.index_path is None else (*paths, self.index_path)

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

    def _locate(self) -> dict[str, SafetensorsFile]:
        index = self.folder / INDEX_NAME
        if index.is_file():
            self.index_path = index
            return self._from_index(index)
        single = self.folder / SINGLE_NAME
        if single.is_file():
            file = SafetensorsFile(single)
            self._files[SINGLE_NAME] = file
            return dict.fromkeys(file.entries, file)
        raise CheckpointError(
            f"has neither {SINGLE_NAME} nor {INDEX_NAME}",
            where=str(self.folder),
            mend="Point --checkpoint at a folder that holds the safetensors weights.",
        )

    def _from_index(self, index: Path) -> dict[str, SafetensorsFile]:
        try:
            weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            pairs = [(str(name), str(shard)) for name, shard in weight_map.items()]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
            raise CheckpointError(
                "key 'weight_map' is missing or odd, expected an object of tensor → shard",
                where=str(index),
                mend="Download the index again.",
            ) from e
        owner: dict[str, SafetensorsFile] = {}
        for name, shard in pairs:
            if Path(shard).name != shard:
                raise CheckpointError(
                    f"key 'weight_map' expected file names, found {shard!r}",
                    where=str(index),
                    mend="Download the index again.",
                )
            if shard not in self._files:
                self._files[shard] = SafetensorsFile(self.folder / shard)
            file = self._files[shard]
            if name not in file.entries:
                raise CheckpointError(
                    f"tensor {name} is not in {shard}, where the index places it",
                    where=str(index),
                    mend="Download the index and its shards again, all of one revision.",
                )
            owner[name] = file
        return owner
