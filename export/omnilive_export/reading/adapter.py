"""A model folder with a PEFT LoRA adapter merged into it while its tensors are read (spec §1.3).

W becomes W + scale · B A, row block by row block in float32; modules that were trained whole
replace the base's. It never merges at once: memory holds one block of rows and one A.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omnilive.errors import CheckpointError
from omnilive_export.reading.config_file import ConfigFile, read_config
from omnilive_export.reading.row_source import F32, RowSource, read_all
from omnilive_export.reading.tensor_store import ADAPTER_NAMES, TensorStore

CONFIG_NAME = "adapter_config.json"

_PREFIX = "base_model.model."
"""PEFT's two wrappers around the base model, in every key it saves."""

_LORA_PARTS = {
    ".lora_A.weight": 0,
    ".lora_A.default.weight": 0,
    ".lora_B.weight": 1,
    ".lora_B.default.weight": 1,
}
"""Ends of the keys of A and B; the adapter's name is stripped when PEFT itself saves."""

_SAVED_MODULE = ("modules_to_save.default.", "modules_to_save.")
"""Inside the keys of modules trained whole, where they were not saved by PEFT itself."""

_WEIGHT = ".weight"


@dataclass(frozen=True)
class MergedRows:
    """W + scale · B A as a row source: ``base`` [out, in], ``a`` [rank, in], ``b`` [out, rank]."""

    base: RowSource
    a: RowSource
    b: RowSource
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        """[out, in]."""
        return self.base.shape

    def rows(self, start: int, stop: int) -> F32:
        """Rows [start, stop) of the merged weight."""
        merged = self.base.rows(start, stop)
        # A is read again for each block: kept, all of them together would be a gigabyte.
        update = self.b.rows(start, stop) @ read_all(self.a)
        update *= self.scale
        merged += update
        return merged


class AdaptedStore:
    """The tensors of a base folder as ``merge_and_unload`` would leave them.

    Args:
        base: the base model's tensors; the caller closes them.
        adapter: folder with adapter_config.json and adapter_model.safetensors or .bin.

    Raises:
        CheckpointError: the adapter is of a kind that does not merge exactly, is incomplete, or
            belongs to another base model.
    """

    def __init__(self, base: TensorStore, adapter: Path) -> None:
        self._base = base
        self._config = read_config(adapter / CONFIG_NAME)
        self._rank, self._scale = _rank_and_scale(self._config)
        self._adapter = TensorStore(adapter, ADAPTER_NAMES)
        try:
            self._lora, self._replaced = self._sort_out()
        except BaseException:
            self._adapter.close()
            raise

    @property
    def folder(self) -> Path:
        """The base model's folder."""
        return self._base.folder

    @property
    def files(self) -> tuple[Path, ...]:
        """The base's files, then the adapter's."""
        return (*self._base.files, *self._adapter.files, self._config.path)

    def close(self) -> None:
        """Unmap the adapter's files; the base stays open."""
        self._adapter.close()

    def __contains__(self, name: str) -> bool:
        return name in self._base

    def tensor(self, name: str, shape: Sequence[int | None], *, why: str) -> RowSource:
        """The merged tensor ``name``; see ``TensorStore.tensor``."""
        if name in self._replaced:
            return self._adapter.tensor(self._replaced[name], shape, why=why)
        base = self._base.tensor(name, shape, why=why)
        pair = self._lora.get(name)
        if pair is None:
            return base
        rows, columns = base.shape
        a = self._adapter.tensor(pair[0], (self._rank, columns), why=f"r, the shape of {name}")
        b = self._adapter.tensor(pair[1], (rows, self._rank), why=f"the shape of {name}, r")
        return MergedRows(base, a, b, self._scale)

    def _sort_out(self) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
        """Base tensor → keys of its A and B, and base tensor → key of what replaces it."""
        halves: dict[str, dict[int, str]] = {}
        replaced: dict[str, str] = {}
        for key in self._adapter.names:
            if not key.startswith(_PREFIX):
                raise self._odd(f"tensor {key} expected a name that begins with {_PREFIX}")
            name = key.removeprefix(_PREFIX)
            end = next((e for e in _LORA_PARTS if name.endswith(e)), None)
            if end is not None:
                weight = name.removesuffix(end) + _WEIGHT
                halves.setdefault(weight, {})[_LORA_PARTS[end]] = key
            else:
                for inside in _SAVED_MODULE:
                    name = name.replace(inside, "")
                replaced[name] = key
        for name in (*halves, *replaced):
            if name not in self._base:
                raise self._odd(f"adapts tensor {name}, which the base model does not have")
        for name, half in halves.items():
            if len(half) != len(set(_LORA_PARTS.values())):
                raise self._odd(f"has only one of lora_A and lora_B for tensor {name}")
        self._check_saved_modules(replaced)
        return {name: (half[0], half[1]) for name, half in halves.items()}, replaced

    def _check_saved_modules(self, replaced: dict[str, str]) -> None:
        """Every module that was trained whole is there, and nothing else."""
        expected = _module_names(self._config)
        for module in expected:
            if not any(f".{module}." in f".{name}" for name in replaced):
                raise self._odd(f"lacks the tensors of {module}, one of its modules_to_save")
        for name in replaced:
            if not any(f".{module}." in f".{name}" for module in expected):
                raise self._odd(f"holds tensor {name}, neither LoRA nor of its modules_to_save")

    def _odd(self, what: str) -> CheckpointError:
        return CheckpointError(
            what,
            where=str(self._adapter.folder),
            mend="Use the adapter and the base of one checkpoint, or a folder merged by PEFT.",
        )


def _rank_and_scale(config: ConfigFile) -> tuple[int, float]:
    """LoRA's rank and the factor of its update, as PEFT computes it."""
    config.require("peft_type", config.text("peft_type"), ["LORA"])
    config.require("bias", config.text("bias", "none"), ["none"])
    for key in ("use_dora", "fan_in_fan_out"):
        config.require(key, config.boolean(key, False), [False])
    for key in ("rank_pattern", "alpha_pattern"):
        if config.values.get(key):
            raise config.odd(key, "one rank and one alpha for every layer", config.values[key])
    rank = config.integer("r")
    alpha = config.number("lora_alpha")
    root = config.boolean("use_rslora", False)
    return rank, alpha / (math.sqrt(rank) if root else rank)


def _module_names(config: ConfigFile) -> tuple[str, ...]:
    listed = config.values.get("modules_to_save") or []
    if not isinstance(listed, list) or not all(isinstance(name, str) and name for name in listed):
        raise config.odd("modules_to_save", "a list of module names", listed)
    return tuple(listed)
