"""The engine pack's manifest: the one contract between export and runtime.

Data and (de)serialization only: it never opens an engine. ``engines/README.md`` documents the
format for people; this file is what both programs use.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from omnilive.engine.typed_json import read
from omnilive.errors import PackError

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
FAMILY = "internlm-xcomposer2d5-ol"

BUILD = "python export/build_engines.py --checkpoint DIR --out {pack}"
REBUILD = f"Rebuild it: {BUILD}"

ENGINE_NAMES = (
    "mem_vit",
    "mem_proj",
    "mem_lm",
    "aud_enc",
    "aud_lm",
    "vlm_vit",
    "vlm_lm",
    "mem_to_vlm",
)
TABLE_NAMES = ("mem_embed", "aud_embed", "vlm_embed", "vlm_separators")
TOKENIZER_NAMES = ("memory", "audio", "reasoner")

M = TypeVar("M", bound="PartialManifest")


@dataclass(frozen=True)
class FileRecord:
    """One file of the pack: path relative to the pack, size in bytes, sha256 in hex."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class TensorInfo:
    """One graph input or output. ``shape`` holds ints and, for dynamic axes, names."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class KvInfo:
    """Geometry of a decoder's KV arena: per layer K and V of [1, kv_heads, capacity, head_dim]."""

    layers: int
    kv_heads: int
    head_dim: int
    dtype: str
    max_positions: int

    def bytes_per_token(self) -> int:
        """Bytes of K and V over all layers for one token."""
        item = {"float32": 4, "float16": 2}[self.dtype]
        return 2 * self.layers * self.kv_heads * self.head_dim * item


@dataclass(frozen=True)
class EngineSize:
    """What the cost of running an engine follows from, read off its graph by the exporter.

    Attributes:
        parameters: weights of matrix products by what they are multiplied with: ``rows`` (every
            row of a run), ``plora`` (the rows with Partial-LoRA), ``head`` (the rows whose logits
            are wanted), ``merged`` (rows after 2×2 mixing).
        layers: attention layers.
        width: values per row of the residual stream.
        widest: values per row in the middle of an MLP.
        attention_width: values per row of all query heads; 0 without attention.
    """

    parameters: Mapping[str, int]
    layers: int
    width: int
    widest: int
    attention_width: int


@dataclass(frozen=True)
class EngineInfo:
    """One engine of the pack.

    Attributes:
        name: one of ENGINE_NAMES.
        backend: ``ort`` or ``tensorrt``.
        model: path of the file to load, relative to the pack.
        files: every file that belongs to it, external weights included.
        precision: precision per tensor group, e.g. {"blocks": "int4", "head": "int8"}.
        inputs, outputs: the graph's IO, KV tensors left out.
        kv: the KV geometry of a decoder, else None.
        profile: limits of dynamic axes, axis name → maximum.
        build_seconds: wall time of its build.
        accuracy: measures against the source (see ``AccuracyRecord`` in engines/README.md), or
            None when not verified.
        size: what its cost follows from; None in packs built before it was recorded.
    """

    name: str
    backend: str
    model: str
    files: tuple[FileRecord, ...]
    precision: Mapping[str, str]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    kv: KvInfo | None
    profile: Mapping[str, int]
    build_seconds: float
    accuracy: Mapping[str, Any] | None = None
    size: EngineSize | None = None


@dataclass(frozen=True)
class TableInfo:
    """One embedding table, rows gathered on the host.

    Attributes:
        file: raw little-endian row-major data.
        dtype: ``float32``, ``float16`` or ``int8``.
        rows, width: its shape.
        scales: for int8, raw float32 [rows], one scale per row; else None.
    """

    name: str
    file: FileRecord
    dtype: str
    rows: int
    width: int
    scales: FileRecord | None = None


@dataclass(frozen=True)
class TokenizerInfo:
    """One tokenizer: kind ``bpe`` (tokenizer.json) or ``sentencepiece`` (tokenizer.model)."""

    name: str
    kind: str
    file: FileRecord


@dataclass(frozen=True)
class MemorySpec:
    """Dimensions of the compressor (spec §1.7). Pixels, tokens and widths as read from config.

    ``grid`` is the side of the 2×2-mixed patch map; a frame gives grid² tokens of width
    ``features``; ``slots`` = pooled tokens per frame (4); ``pixels`` = side of the squashed frame.
    """

    pixels: int
    grid: int
    features: int
    cls: int
    slots: int
    hidden: int
    vocab: int
    max_positions: int


@dataclass(frozen=True)
class AudioSpec:
    """Dimensions of the audio model (spec §1.2) and the ids its prompts need."""

    max_samples: int
    min_samples: int
    hop: int
    hidden: int
    vocab: int
    max_positions: int
    eos_ids: tuple[int, ...]


@dataclass(frozen=True)
class ReasonerSpec:
    """Dimensions of the reasoner (spec §1.3, §1.4) and the ids its prompts need.

    ``pixels`` = side of a tile, ``grid`` = tokens per tile side after 2×2 mixing.
    """

    pixels: int
    grid: int
    hidden: int
    vocab: int
    max_positions: int
    bos_id: int
    stop_ids: tuple[int, ...]
    max_new_tokens: int


@dataclass(frozen=True)
class PartialManifest:
    """The record of an engine pack that may lack models; ``Manifest`` is that of a whole one.

    Attributes:
        memory, audio, reasoner: dimensions of each of the family's models, None where it is not
            there. A session cannot run without one; its engines can be loaded one by one.
        engines: by name; those of a model that is none of the family's are named by what they
            are (``vit``, ``encoder``, ``lm``).
        fingerprint: backend versions, device name, compute capability, CPU features of the build,
            and under ``key`` what the build depended on (``cache_key.CacheKey``).
        source: sha256 of each checkpoint file read, keyed by its path in the checkpoint.
        trained: False for seeded random weights, whose words are noise.
        build: seconds, peak memory and warnings of the build; ``checkpoint`` and ``arguments``
            say how to build it again.
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
        of_engines = [file for engine in self.engines.values() for file in engine.files]
        of_tables = [f for t in self.tables.values() for f in (t.file, t.scales) if f is not None]
        return [*of_engines, *of_tables, *(t.file for t in self.tokenizers.values())]


@dataclass(frozen=True)
class Manifest(PartialManifest):
    """The record of a pack that has all three models: one a session runs on."""

    memory: MemorySpec
    audio: AudioSpec
    reasoner: ReasonerSpec


def to_json(manifest: PartialManifest) -> str:
    """Serialize with sorted keys, so that equal manifests are equal bytes."""
    return json.dumps(dataclasses.asdict(manifest), indent=1, sort_keys=True) + "\n"


def from_json(text: str, *, pack: Path) -> Manifest:
    """Parse and check the manifest of a whole pack.

    Raises:
        PackError: not JSON, another format version or family, or a missing or odd field; a model
            that is not there is one.
    """
    return _parsed(Manifest, text, pack)


def partial_from_json(text: str, *, pack: Path) -> PartialManifest:
    """Parse and check any manifest; gives a ``Manifest`` where all three models are there.

    Raises:
        PackError: as ``from_json``, but for a model that is not there.
    """
    found = _parsed(PartialManifest, text, pack)
    if None in (found.memory, found.audio, found.reasoner):
        return found
    return _parsed(Manifest, text, pack)


def _parsed(kind: type[M], text: str, pack: Path) -> M:
    where = str(pack / MANIFEST_NAME)
    mend = REBUILD.format(pack=pack)
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as e:
        raise PackError(f"is not JSON ({e.msg}, line {e.lineno})", where=where, mend=mend) from e
    if not isinstance(raw, dict):
        raise PackError("is not a JSON object", where=where, mend=mend)
    version = raw.get("format_version")
    if version != FORMAT_VERSION:
        raise PackError(
            f"has format version {version}, this program reads {FORMAT_VERSION}",
            where=where,
            mend=mend,
        )
    if raw.get("family") != FAMILY:
        raise PackError(
            f"is of family {raw.get('family')!r}, expected {FAMILY!r}", where=where, mend=mend
        )
    try:
        return read(kind, raw)
    except ValueError as e:
        raise PackError(f"has a missing or odd field ({e})", where=where, mend=mend) from e
