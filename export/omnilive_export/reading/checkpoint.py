"""The folders of a checkpoint in the layout of internlm-xcomposer2d5-ol-7b (spec §1.1).

All of it, some of its models, or the folder of one model alone. It finds folders and hashes
files; it never interprets a model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from omnilive.errors import CheckpointError
from omnilive_export.reading.config_file import ConfigFile, read_config

MEMORY = "memory"
AUDIO = "audio"
BASE = "base"
MERGED = "merge_lora"
ADAPTER = "adapter"

CONFIG_NAME = "config.json"
FAMILY_ARCHITECTURES = {
    "GroundQwenForCausalLM": MEMORY,
    "Qwen2AudioForConditionalGeneration": AUDIO,
    "InternLMXComposer2ForCausalLM": BASE,
}
"""Architectures of the family's own models, for a model's folder given by itself."""

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class CheckpointFolders:
    """Where each model lies; None for one that is not there.

    Attributes:
        reasoner: ``merge_lora/`` where there is one, else ``base/``.
        reasoner_fallback: ``base/``, for the small files a merged folder may lack.
        adapter: ``adapter/`` where it is still to be merged into the reasoner, else None.
        single: the folder of one Hugging Face model that is none of the family's, else None.
        warnings: what the user should know of this checkpoint, one clause each.
    """

    root: Path
    memory: Path | None
    audio: Path | None
    reasoner: Path | None
    reasoner_fallback: Path
    adapter: Path | None
    single: Path | None
    warnings: tuple[str, ...]


def find_folders(root: Path) -> CheckpointFolders:
    """Find the models under ``root``, or the one model that ``root`` is.

    Raises:
        CheckpointError: ``root`` or every one of the folders is not there.
    """
    if not root.is_dir():
        raise CheckpointError(
            "is not a folder", where=str(root), mend="Point --checkpoint at a checkpoint folder."
        )
    memory, audio, merged, base = (
        _model_folder(root / name) for name in (MEMORY, AUDIO, MERGED, BASE)
    )
    reasoner = merged or base
    if memory is None and audio is None and reasoner is None:
        if (root / CONFIG_NAME).is_file():
            return _one_model(root)
        raise CheckpointError(
            f"has no {CONFIG_NAME}, nor {MEMORY}/, {AUDIO}/, {BASE}/ or {MERGED}/ with one",
            where=str(root),
            mend="Point --checkpoint at the folder that holds the models, or at one model.",
        )
    adapter = root / ADAPTER
    unmerged = adapter if merged is None and base is not None and adapter.is_dir() else None
    found = {MEMORY: memory, AUDIO: audio, BASE: reasoner}
    absent = [name for name, folder in found.items() if folder is None]
    warnings = [_partial(absent)] if absent else []
    return CheckpointFolders(
        root, memory, audio, reasoner, root / BASE, unmerged, None, tuple(warnings)
    )


def architecture(config: ConfigFile) -> str:
    """The class that ``architectures`` names. Raises CheckpointError when it names none."""
    named = config.values.get("architectures")
    if not isinstance(named, list) or len(named) != 1 or not isinstance(named[0], str):
        raise config.odd("architectures", "a list of one class name", named)
    return named[0]


def hash_files(files: Mapping[str, Path], stop: Event) -> dict[str, str]:
    """sha256 of each file in hex, by its name in ``files``.

    Once ``stop`` is set it ends early, with the files hashed until then.
    """
    hashes: dict[str, str] = {}
    for name, path in sorted(files.items()):
        digest = hashlib.sha256()
        with path.open("rb") as handle:
            while block := handle.read(_BLOCK_BYTES):
                if stop.is_set():
                    return hashes
                digest.update(block)
        hashes[name] = digest.hexdigest()
    return hashes


def _model_folder(folder: Path) -> Path | None:
    return folder if (folder / CONFIG_NAME).is_file() else None


def _one_model(root: Path) -> CheckpointFolders:
    """``root`` itself as a model: one of the family's, or another Hugging Face model."""
    part = FAMILY_ARCHITECTURES.get(architecture(read_config(root / CONFIG_NAME)))
    absent = [name for name in (MEMORY, AUDIO, BASE) if name != part]
    alone = "is no model of the family, so the pack is partial: it holds this model alone"
    warnings = (_partial(absent),) if part else (alone,)
    return CheckpointFolders(
        root=root,
        memory=root if part == MEMORY else None,
        audio=root if part == AUDIO else None,
        reasoner=root if part == BASE else None,
        reasoner_fallback=root,
        adapter=None,
        single=None if part else root,
        warnings=warnings,
    )


def _partial(absent: list[str]) -> str:
    missing = " and ".join(f"{name}/" for name in absent)
    return f"{missing} not found, so the pack is partial: a session needs one of all three models"
