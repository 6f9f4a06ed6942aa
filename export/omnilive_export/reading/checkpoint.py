"""The folders of a checkpoint in the layout of internlm-xcomposer2d5-ol-7b (spec §1.1).

It finds folders and hashes files; it never interprets a model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from omnilive.errors import CheckpointError

MEMORY = "memory"
AUDIO = "audio"
BASE = "base"
MERGED = "merge_lora"
ADAPTER = "adapter"

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class CheckpointFolders:
    """Where each model lies.

    Attributes:
        reasoner: ``merge_lora/`` where there is one, else ``base/``.
        reasoner_fallback: ``base/``, for the small files a merged folder may lack.
        warnings: what the user should know of this checkpoint, one clause each.
    """

    root: Path
    memory: Path
    audio: Path
    reasoner: Path
    reasoner_fallback: Path
    warnings: tuple[str, ...]


def find_folders(root: Path) -> CheckpointFolders:
    """Find the three models under ``root``.

    Raises:
        CheckpointError: ``root`` or one of the folders is not there.
    """
    if not root.is_dir():
        raise CheckpointError(
            "is not a folder", where=str(root), mend="Point --checkpoint at a checkpoint folder."
        )
    merged = root / MERGED
    has_merged = (merged / "config.json").is_file()
    reasoner = merged if has_merged else root / BASE
    for folder in (root / MEMORY, root / AUDIO, reasoner):
        if not (folder / "config.json").is_file():
            raise CheckpointError(
                f"folder {folder.name}/ with a config.json is missing, "
                f"expected {MEMORY}/, {AUDIO}/ and {BASE}/ or {MERGED}/",
                where=str(root),
                mend="Point --checkpoint at the folder that holds all three.",
            )
    warnings: tuple[str, ...] = ()
    if not has_merged and (root / ADAPTER).is_dir():
        warnings = (
            f"{ADAPTER}/ is not merged: the reasoner is {BASE}/ alone, "
            f"without the memory ability; merge it into {MERGED}/ first",
        )
    return CheckpointFolders(root, root / MEMORY, root / AUDIO, reasoner, root / BASE, warnings)


def hash_files(root: Path, files: Iterable[Path], stop: Event) -> dict[str, str]:
    """sha256 of each file in hex, keyed by its path under ``root``.

    Once ``stop`` is set it ends early, with the files hashed until then.
    """
    hashes: dict[str, str] = {}
    for path in sorted(set(files)):
        digest = hashlib.sha256()
        with path.open("rb") as handle:
            while block := handle.read(_BLOCK_BYTES):
                if stop.is_set():
                    return hashes
                digest.update(block)
        hashes[path.relative_to(root).as_posix()] = digest.hexdigest()
    return hashes
