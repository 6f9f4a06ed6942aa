"""Second moments of what linears are multiplied with, and their file.

The statistics of one input are E[x xᵀ] within groups of neighbouring columns; columns of different
groups are taken as uncorrelated, which bounds the file at GROUP values per column. It never runs an
engine.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from omnilive.errors import ConfigError

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

GROUP = 128
"""Columns of a group: a multiple of every block size, so that no block is in two groups."""

DAMPING = 0.01
"""Share of a group's mean square added to each of its columns' own (as in GPTQ): what the
calibration never showed is not taken as impossible."""

_HEADER = "header"
_FORMAT = 1
_UNREADABLE = (EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile)
"""What numpy and json raise for a file that is something else."""


class MomentSum:
    """Adds up the second moments of one input of ``width`` columns."""

    def __init__(self, width: int) -> None:
        groups = -(-width // GROUP)
        self._width = width
        self._total: F64 = np.zeros((groups, GROUP, GROUP))
        self.count = 0

    def add(self, rows: F32) -> None:
        """Take in rows [n, width]."""
        padded = np.zeros((len(rows), len(self._total) * GROUP), np.float32)
        padded[:, : self._width] = rows
        groups = padded.reshape(len(rows), -1, GROUP).transpose(1, 0, 2)
        self._total += groups.transpose(0, 2, 1) @ groups
        self.count += len(rows)

    def mean(self) -> F32:
        """E[x xᵀ] float32 [groups, GROUP, GROUP]; columns past the width are 0."""
        return (self._total / max(1, self.count)).astype(np.float32)


@dataclass(frozen=True)
class Calibration:
    """A file of second moments; they are read when they are asked for, one input at a time.

    Attributes:
        path: the file.
        sha256: of it.
        groups: name of an input → its number of groups.
        weights: name of a weight, ``ENGINE/WEIGHT`` → name of its input.
        provenance: how they were collected.
    """

    path: Path
    sha256: str
    groups: Mapping[str, int]
    weights: Mapping[str, str]
    provenance: Mapping[str, Any]

    def check(self, weight: str, width: int) -> None:
        """Refuse a weight of ``width`` columns that there are no statistics of (ConfigError)."""
        name = self.weights.get(weight)
        if name is None:
            raise self._other_checkpoint(f"has no statistics of {weight}")
        if self.groups[name] != -(-width // GROUP):
            raise self._other_checkpoint(f"is of another width of {weight} than {width}")

    def moments(self, weight: str) -> F32:
        """E[x xᵀ] of the inputs of ``weight``, float32 [groups, GROUP, GROUP].

        Raises:
            ConfigError: the file changed or holds odd values.
        """
        name = self.weights[weight]
        try:
            with np.load(self.path, allow_pickle=False) as file:
                found: F32 = file[name]
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as e:
            raise _odd(self.path, f"can no longer be read at {name}") from e
        shape = (self.groups[name], GROUP, GROUP)
        if found.dtype != np.float32 or found.shape != shape or not np.isfinite(found).all():
            raise _odd(self.path, f"holds odd values of {name}")
        return found

    def factors(self, weight: str) -> F32:
        """What error feedback over the columns of ``weight`` needs.

        The upper Cholesky factors U of the inverse damped moments, H⁻¹ = UᵀU (Frantar et al.,
        "GPTQ", 2022, §3.3), float32 [groups, GROUP, GROUP].

        Raises:
            ConfigError: as ``moments``.
        """
        moments = self.moments(weight).astype(np.float64)
        own = np.einsum("gii->gi", moments)
        mean = own.mean(axis=1)
        own += np.where(mean > 0, DAMPING * mean, 1.0)[:, None]
        lower = np.linalg.cholesky(np.linalg.inv(moments))
        return np.ascontiguousarray(lower.transpose(0, 2, 1), dtype=np.float32)

    def _other_checkpoint(self, what: str) -> ConfigError:
        return ConfigError(
            what,
            where=f"--calibration {self.path}",
            mend="Give statistics that were collected from a pack of this checkpoint.",
        )


def write_calibration(
    path: Path,
    inputs: Mapping[str, F32],
    weights: Mapping[str, str],
    provenance: Mapping[str, Any],
) -> None:
    """Write a file of statistics in one step: it is there whole or not at all.

    Equal statistics give equal bytes.

    Args:
        path: the file.
        inputs: name of an input → float32 [groups, GROUP, GROUP].
        weights: name of a weight, ``ENGINE/WEIGHT`` → name of its input.
        provenance: how they were collected, JSON-ready.
    """
    header = {
        "format": _FORMAT,
        "group": GROUP,
        "groups": {name: len(values) for name, values in inputs.items()},
        "weights": dict(weights),
        "provenance": dict(provenance),
    }
    text = json.dumps(header, sort_keys=True).encode()
    arrays: list[tuple[str, npt.NDArray[Any]]] = [(_HEADER, np.frombuffer(text, np.uint8))]
    arrays += sorted(inputs.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for name, values in arrays:
                # Made by hand for its fixed date: np.savez writes the present one.
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.ascontiguousarray(values))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_calibration(path: Path) -> Calibration:
    """Read and check the header of a file of statistics.

    Raises:
        ConfigError: it is not there, or is no such file.
    """
    try:
        digest = file_sha256(path)
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(bytes(file[_HEADER]))
        groups = {str(name): int(count) for name, count in header["groups"].items()}
        weights = {str(weight): str(name) for weight, name in header["weights"].items()}
        known = (header["format"], header["group"]) == (_FORMAT, GROUP)
        provenance = dict(header["provenance"])
    except OSError as e:
        raise _odd(path, f"cannot be read ({e.strerror or e})") from e
    except _UNREADABLE as e:
        raise _odd(path, "is no file of activation statistics") from e
    if not known:
        raise _odd(path, "is of another format")
    if not set(weights.values()) <= groups.keys():
        raise _odd(path, "names inputs that it does not hold")
    return Calibration(path, digest, groups, weights, provenance)


def file_sha256(path: Path) -> str:
    """sha256 of a file in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


def _odd(path: Path, what: str) -> ConfigError:
    return ConfigError(
        what,
        where=f"--calibration {path}",
        mend="Collect the statistics again (python -m omnilive_micropack.activations for the "
        "miniature).",
    )
