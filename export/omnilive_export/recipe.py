"""A recipe: every choice of how a pack is made, under one name.

Data and its checks against itself; `validity` knows what a backend can do, `recipe_file` reads
one. It never depends on a checkpoint.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from omnilive.engine.manifest import ENGINE_NAMES
from omnilive.errors import ConfigError
from omnilive_export.precision import (
    BLOCK_SIZES,
    FP16,
    FP32,
    INT4,
    INT8,
    INT8_DYNAMIC,
    KV_FLOAT,
    KV_KINDS,
    LARGEST_CODE,
    METHODS,
    SAFE_CODE,
    LinearFormat,
    PackPrecision,
)

KINDS = (FP32, FP16, INT8, INT8_DYNAMIC, INT4)
BLOCK_KINDS = (INT8, INT4)
"""Kinds whose weights share a scale by blocks."""

KV_AUTO = "auto"
"""int8 where the backend has it, else float; ``validity.resolved`` decides at the build."""

GROUPS = ("decoder", "head", "plora", "encoder")
TABLE_KINDS = (FP32, INT8)

SINGLE_ENGINES = ("vit", "encoder", "lm")
"""Engines of a plain Hugging Face folder."""

MEMORY_VIT, REASONER_VIT, AUDIO_ENCODER = "memory_vit", "reasoner_vit", "audio_encoder"
SWAPPABLE: Mapping[str, str] = {
    MEMORY_VIT: "mem_vit",
    REASONER_VIT: "vlm_vit",
    AUDIO_ENCODER: "aud_enc",
}
"""Parts of a checkpoint that a plain Hugging Face folder can take the place of → their engine."""

UNSWAPPABLE: Mapping[str, str] = {
    "reasoner": "a plain decoder has no vision_proj and no video_mem_proj, and its tokenizer lacks"
    " the pieces that the pack's prompts are made of, so it could take neither pictures nor memory"
}
"""Parts that cannot be swapped → the reason."""

LANGUAGE_ENGINES = ("aud_lm", "vlm_lm", "lm")
"""Engines that give logits, so that their predictions can be compared."""

ENGINES = (*ENGINE_NAMES, *SINGLE_ENGINES)

LEAST, MOST = "least", "most"
MEASURES: Mapping[str, str] = {
    "cosine": LEAST,
    "relative_error": MOST,
    "kl": MOST,
    "top1": LEAST,
}
"""Measures of the accuracy record → whether a tolerance is the least or the most there may be."""

LANGUAGE_MEASURES = ("kl", "top1")


@dataclass(frozen=True)
class ContextLimits:
    """The longest context of each language model in the pack, tokens; 0 for the checkpoint's own.

    Shorter position tables, and arenas that nobody can ask to be longer.
    """

    memory: int = 0
    audio: int = 0
    reasoner: int = 0


@dataclass(frozen=True)
class Recipe:
    """How a pack is made.

    Attributes:
        name: what it is called.
        about: one sentence for people.
        backend: ``ort`` or ``tensorrt``.
        decoder: linears of the three language models.
        head: their output heads.
        plora: Partial-LoRA's A and B.
        encoder: linears of the ViTs, the audio encoder and the projectors.
        tables: embedding tables, ``fp32`` or ``int8``.
        kv: keys and values in the arena, ``float``, ``int8``, or ``auto`` until a build decides.
        keep: layer pattern (``mem_vit.layers.0.fc2``, ``*_vit.layers.*.fc2``) → the kind it has
            instead of its group's.
        limits: of the contexts.
        tolerance: of the accuracy record: engine → measure → limit; ``default`` is for engines
            that are not named.
        models: part of the checkpoint (``SWAPPABLE``) → absolute path of the plain Hugging Face
            folder that takes its place.
    """

    name: str
    about: str
    backend: str
    decoder: LinearFormat
    head: LinearFormat
    plora: LinearFormat
    encoder: LinearFormat
    tables: str = INT8
    kv: str = KV_FLOAT
    keep: Mapping[str, str] = field(default_factory=dict)
    limits: ContextLimits = field(default_factory=ContextLimits)
    tolerance: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)

    def validate(self) -> None:
        """Check every value against its range, and no pair of values against a backend.

        Raises:
            ConfigError: the first that is odd.
        """
        for key, what, mend in self._faults():
            raise ConfigError(what, where=f"recipe {self.name}: {key}", mend=mend)

    def precision(self, *, wide_sums: bool = True) -> PackPrecision:
        """The formats of the pack; it is named after its decoders, whose bytes decide its size.

        Args:
            wide_sums: whether the device adds products of 8 bits in 32 bits (``int8-dynamic``).
        """
        code = LARGEST_CODE if wide_sums else SAFE_CODE

        def coded(fmt: LinearFormat) -> LinearFormat:
            return dataclasses.replace(fmt, largest_code=code)

        return PackPrecision(
            name=self.decoder.kind,
            blocks=coded(self.decoder),
            head=coded(self.head),
            plora=coded(self.plora),
            encoder=coded(self.encoder),
            tables=self.tables,
            kv=self.kv,
            kept=tuple(
                (pattern, LinearFormat(kind, self.decoder.block, largest_code=code))
                for pattern, kind in self.keep.items()
            ),
        )

    def tolerance_of(self, engine: str) -> dict[str, float]:
        """The limits of an engine: its own over the default; language measures for LMs only."""
        limits = {**self.tolerance.get("default", {}), **self.tolerance.get(engine, {})}
        return {
            measure: limit
            for measure, limit in limits.items()
            if engine in LANGUAGE_ENGINES or measure not in LANGUAGE_MEASURES
        }

    def as_json(self) -> dict[str, Any]:
        """Its contents for the manifest and the cache key."""
        return dataclasses.asdict(self)

    def _faults(self) -> Iterator[tuple[str, str, str]]:
        """(key, what is wrong, how to mend it)."""
        for group in GROUPS:
            yield from _format_faults(group, getattr(self, group))
        yield from _choice("tables", self.tables, TABLE_KINDS)
        yield from _choice("kv", self.kv, (*KV_KINDS, KV_AUTO))
        for pattern, kind in self.keep.items():
            yield from _choice(f"keep.{pattern!r}", kind, KINDS)
            if "." not in pattern:
                mend = "Write ENGINE.LAYER, for example mem_vit.layers.0.fc2."
                yield f"keep.{pattern!r}", "names no layer of an engine", mend
        for name, tokens in dataclasses.asdict(self.limits).items():
            if tokens < 0:
                yield f"limits.{name}", f"is {tokens}", "Give tokens, or 0 for no limit."
        for part in self.models:
            if part in UNSWAPPABLE:
                mend = (
                    "Leave it out, and give the reasoner's folder of an InternLMXComposer2 with its"
                    " own projectors as base/ of the checkpoint; a plain decoder exports by itself"
                    " (--checkpoint its folder)."
                )
                yield f"models.{part}", UNSWAPPABLE[part], mend
            else:
                yield from _choice(f"models.{part}", part, tuple(SWAPPABLE))
        for engine, limits in self.tolerance.items():
            yield from _choice(f"tolerance.{engine}", engine, ("default", *ENGINES))
            for measure, limit in limits.items():
                key = f"tolerance.{engine}.{measure}"
                yield from _choice(key, measure, tuple(MEASURES))
                if not math.isfinite(limit) or limit < 0:
                    yield key, f"is {limit}", "Give a number of at least 0."
                if measure in LANGUAGE_MEASURES and engine not in ("default", *LANGUAGE_ENGINES):
                    mend = f"Only {', '.join(LANGUAGE_ENGINES)} give logits."
                    yield key, "is of an engine without logits", mend


def _format_faults(group: str, fmt: LinearFormat) -> Iterator[tuple[str, str, str]]:
    yield from _choice(f"{group}.kind", fmt.kind, KINDS)
    yield from _choice(f"{group}.method", fmt.method, METHODS)
    if fmt.kind in BLOCK_KINDS and fmt.block not in BLOCK_SIZES:
        sizes = ", ".join(map(str, BLOCK_SIZES))
        yield f"{group}.block", f"is {fmt.block}", f"Use one of {sizes}."
    if fmt.kind not in BLOCK_KINDS and (fmt.method != "rtn" or not fmt.symmetric):
        mend = f"Only {' and '.join(BLOCK_KINDS)} have a method and zero points."
        yield group, f"is {fmt.kind} with the settings of blocks", mend


def _choice(key: str, value: str, choices: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    if value not in choices:
        yield key, f"is {value!r}", f"Use one of {', '.join(choices)}."
