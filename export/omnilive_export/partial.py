"""Manifests of packs that hold only some of the family's models, or one other model.

The format is the pack's own (``omnilive.engine.manifest``) with null for the dimensions of a
model that is not there. A session cannot run on such a pack, so the runtime refuses to open it;
its engines are loaded one by one.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from omnilive.engine.manifest import (
    FAMILY,
    FORMAT_VERSION,
    MANIFEST_NAME,
    REBUILD,
    AudioSpec,
    EngineInfo,
    FileRecord,
    Manifest,
    MemorySpec,
    ReasonerSpec,
    TableInfo,
    TokenizerInfo,
    files_of,
    from_json,
)
from omnilive.engine.typed_json import read
from omnilive.errors import PackError

SPECS = ("memory", "audio", "reasoner")


@dataclass(frozen=True)
class PartialManifest:
    """A manifest of which any of ``memory``, ``audio`` and ``reasoner`` may be None.

    Attributes:
        engines: by name; those of a model that is none of the family's are named by what they
            are (``vit``, ``encoder``, ``lm``).

    The other attributes are those of ``Manifest``.
    """

    name: str
    precision: str
    trained: bool
    builder_version: str
    memory: MemorySpec | None
    audio: AudioSpec | None
    reasoner: ReasonerSpec | None
    engines: Mapping[str, EngineInfo]
    tables: Mapping[str, TableInfo]
    tokenizers: Mapping[str, TokenizerInfo]
    source: Mapping[str, str]
    fingerprint: Mapping[str, Any]
    build: Mapping[str, Any] = field(default_factory=dict)
    family: str = FAMILY
    format_version: int = FORMAT_VERSION

    def all_files(self) -> list[FileRecord]:
        """Every file the pack consists of, the manifest itself left out."""
        return files_of(self.engines, self.tables, self.tokenizers)


AnyManifest: TypeAlias = Manifest | PartialManifest


def manifest_json(manifest: AnyManifest) -> str:
    """Serialize with sorted keys, so that equal manifests are equal bytes."""
    return json.dumps(dataclasses.asdict(manifest), indent=1, sort_keys=True) + "\n"


def read_manifest(pack: Path) -> AnyManifest:
    """The manifest of a pack, whole or partial.

    Raises:
        PackError: missing, not JSON, of another format, or with a missing or odd field.
    """
    path = pack / MANIFEST_NAME
    mend = REBUILD.format(pack=pack)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as e:
        raise PackError(f"cannot be read ({e.strerror})", where=str(path), mend=mend) from e
    try:
        raw = json.loads(text)
    except ValueError:
        return from_json(text, pack=pack)  # which says what is wrong with it
    if not isinstance(raw, dict) or all(raw.get(spec) is not None for spec in SPECS):
        return from_json(text, pack=pack)
    if raw.get("format_version") != FORMAT_VERSION or raw.get("family") != FAMILY:
        return from_json(text, pack=pack)
    try:
        return read(PartialManifest, raw)
    except ValueError as e:
        raise PackError(f"has a missing or odd field ({e})", where=str(path), mend=mend) from e
