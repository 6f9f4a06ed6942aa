"""Reads the manifest of a pack from its folder. It opens no other file."""

from __future__ import annotations

from pathlib import Path

from omnilive.engine.architecture import faults
from omnilive.engine.manifest import (
    BUILD,
    MANIFEST_NAME,
    REBUILD,
    Manifest,
    PartialManifest,
    from_json,
    partial_from_json,
)
from omnilive.errors import PackError


def read_manifest(path: Path) -> Manifest:
    """The manifest of the whole pack at ``path``, checked against itself.

    Raises:
        PackError: the folder is no pack, or its manifest is of another format or architecture or
            lacks a model.
    """
    return _sound(from_json(_text(path), pack=path), path)


def read_partial_manifest(path: Path) -> PartialManifest:
    """The manifest of the pack at ``path``, whatever models it has; a whole one is checked.

    Raises:
        PackError: as ``read_manifest``, but for a model that is not there.
    """
    manifest = partial_from_json(_text(path), pack=path)
    return _sound(manifest, path) if isinstance(manifest, Manifest) else manifest


def _sound(manifest: Manifest, path: Path) -> Manifest:
    for where, what in faults(manifest):
        raise PackError(what, where=f"{path}: {where}", mend=REBUILD.format(pack=path))
    return manifest


def _text(path: Path) -> str:
    file = path / MANIFEST_NAME
    mend = f"Name the folder of an engine pack, or build one: {BUILD.format(pack=path)}"
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as e:
        what = "has no manifest.json" if path.is_dir() else "is not a folder"
        raise PackError(f"{what}, so it is no engine pack", where=str(path), mend=mend) from e
    except (OSError, UnicodeDecodeError) as e:
        raise PackError(f"cannot be read ({e})", where=str(file), mend=mend) from e
