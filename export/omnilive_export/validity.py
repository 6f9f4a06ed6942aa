"""What each backend can be given: the validity table, and the reason where a pair is not in it.

Data and look-ups. A recipe is held against it before anything is read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from omnilive.engine.config import CPU
from omnilive.errors import ConfigError
from omnilive.versions import release
from omnilive_export.graphs.tensorrt_int4 import BLOCK_SIZES as TENSORRT_BLOCKS
from omnilive_export.precision import (
    BLOCK_SIZES,
    FP16,
    FP32,
    INT4,
    INT8,
    INT8_DYNAMIC,
    KV_FLOAT,
    METHODS,
    LinearFormat,
)
from omnilive_export.recipe import BLOCK_KINDS, GROUPS, KV_AUTO, Recipe

ORT, TENSORRT = "ort", "tensorrt"


@dataclass(frozen=True)
class Kind:
    """What a backend takes of one kind of weights.

    Attributes:
        blocks: block sizes; empty for kinds without blocks.
        zero_points: whether blocks may be asymmetric.
        methods: how blocks may be quantized.
        groups: tensor groups that may have it.
    """

    blocks: tuple[int, ...] = ()
    zero_points: bool = False
    methods: tuple[str, ...] = ("rtn",)
    groups: tuple[str, ...] = GROUPS


@dataclass(frozen=True)
class Backend:
    """A row of the table.

    Attributes:
        package: the distribution that brings it.
        kinds: kind of weights → what of it is taken.
        kv: kinds of KV arena → the least version of the package, empty for any.
        refused: what is not taken → the reason.
    """

    package: str
    kinds: Mapping[str, Kind]
    kv: Mapping[str, str]
    refused: Mapping[str, str]


ENCODERS_ONLY = ("encoder",)

TABLE: Mapping[str, Backend] = {
    ORT: Backend(
        package="onnxruntime",
        kinds={
            FP32: Kind(),
            INT8: Kind(BLOCK_SIZES, zero_points=True),
            INT4: Kind(BLOCK_SIZES, zero_points=True, methods=METHODS),
            INT8_DYNAMIC: Kind(groups=ENCODERS_ONLY),
        },
        kv={KV_FLOAT: "", INT8: "1.27.0"},
        refused={
            FP16: "ONNX Runtime's CPU provider multiplies no float16 matrices",
            INT8_DYNAMIC: "one scale serves all rows of a run, so a token's result would depend on"
            " the block it came in, and a kept prefix could not be continued exactly",
            f"{INT8} kv": "GroupQueryAttention has a quantized arena on CPUs",
            f"{INT8} kv on a device": "the CUDA backend runs GroupQueryAttention in float16 alone",
            f"{INT8} methods": "8 bits are fine enough for rounding to the nearest code",
        },
    ),
    TENSORRT: Backend(
        package="tensorrt",
        kinds={
            FP32: Kind(),
            FP16: Kind(),
            INT4: Kind(TENSORRT_BLOCKS),
        },
        kv={KV_FLOAT: ""},
        refused={
            INT8: "TensorRT has no int8 weights with block scales",
            INT8_DYNAMIC: "TensorRT's int8 needs scales of the activations that are known when it"
            " builds",
            FP32: "the floats of one engine are of one type, and others of it are not fp32",
            f"{INT4} methods": "its positive scales are only rounded to nearest",
            f"{INT4} zero points": "TensorRT's int4 is symmetric",
            f"{INT4} blocks": "TensorRT (opset 21 DequantizeLinear) has other block sizes",
            f"{INT8} kv": "its arena is written beside the graph in the engine's float type",
        },
    ),
}
"""Backend → what it can be given. Sources: the kernels of MatMulNBits, DynamicQuantizeMatMul and
GroupQueryAttention in ONNX Runtime's CPU provider; "Working with Quantized Types" of TensorRT's
documentation and QuantDequantLinearHelper of onnx-tensorrt."""


def resolved(recipe: Recipe, versions: Mapping[str, str], device: str = CPU) -> Recipe:
    """The recipe with ``auto`` replaced by what its backend can do, as ``check_recipe`` says."""
    if recipe.kv != KV_AUTO:
        return recipe
    row = TABLE.get(recipe.backend)
    able = row is not None and not list(_kv_refusals(row, INT8, versions, device))
    return dataclasses.replace(recipe, kv=INT8 if able else KV_FLOAT)


def check_recipe(recipe: Recipe, versions: Mapping[str, str], device: str = CPU) -> None:
    """Refuse what the recipe's backend cannot do.

    Args:
        recipe: validated against itself.
        versions: installed version of each backend's package.
        device: that onnxruntime is to run the pack on.

    Raises:
        ConfigError: the first invalid pair, with the reason.
    """
    for key, reason, mend in refusals(recipe, versions, device):
        raise ConfigError(reason, where=f"recipe {recipe.name}: {key}", mend=mend)


def refusals(
    recipe: Recipe, versions: Mapping[str, str], device: str = CPU
) -> Iterator[tuple[str, str, str]]:
    """(key, reason, how to mend it) of every pair that the backend cannot do."""
    row = TABLE.get(recipe.backend)
    if row is None:
        yield "backend", f"is {recipe.backend!r}", f"Use one of {', '.join(TABLE)}."
        return
    for group in GROUPS:
        yield from format_refusals(row, group, getattr(recipe, group), group)
    for pattern, fmt in recipe.precision().kept:
        group = "decoder" if fmt.kind != INT8_DYNAMIC or "_lm" in pattern else "encoder"
        yield from format_refusals(row, group, fmt, f"keep.{pattern!r}")
    if recipe.backend == TENSORRT:
        yield from _mixed_floats(row, recipe)
    yield from _kv_refusals(row, recipe.kv, versions, device)


def _mixed_floats(row: Backend, recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """fp32 beside another kind in one engine, which has one type to multiply in."""
    decoders = {group: getattr(recipe, group).kind for group in ("decoder", "head", "plora")}
    kinds = set(decoders.values())
    mend = f"Use {FP16}, or {FP32} for all of it."
    if FP32 in kinds and len(kinds) > 1:
        group = next(group for group, kind in decoders.items() if kind == FP32)
        yield f"{group}.kind", row.refused[FP32], mend
    for pattern, kind in recipe.keep.items():
        if kind == FP32 and not (kinds == {FP32} and recipe.encoder.kind == FP32):
            yield f"keep.{pattern!r}", row.refused[FP32], mend


def format_refusals(
    row: Backend, group: str, fmt: LinearFormat, key: str
) -> Iterator[tuple[str, str, str]]:
    """The same for the weights of one group."""
    kind = row.kinds.get(fmt.kind)
    if kind is None or group not in kind.groups:
        fitting = [name for name, k in row.kinds.items() if group in k.groups]
        yield f"{key}.kind", row.refused[fmt.kind], f"Use one of {', '.join(fitting)}."
        return
    if fmt.kind not in BLOCK_KINDS:
        return
    if fmt.block not in kind.blocks:
        sizes = ", ".join(map(str, kind.blocks))
        reason = row.refused[f"{fmt.kind} blocks"]
        yield f"{key}.block", f"{reason} than {fmt.block}", f"Use one of {sizes}."
    if not fmt.symmetric and not kind.zero_points:
        yield f"{key}.symmetric", row.refused[f"{fmt.kind} zero points"], "Use symmetric = true."
    if fmt.method not in kind.methods:
        reason = row.refused[f"{fmt.kind} methods"]
        yield f"{key}.method", reason, f"Use one of {', '.join(kind.methods)}."


def _kv_refusals(
    row: Backend, kv: str, versions: Mapping[str, str], device: str
) -> Iterator[tuple[str, str, str]]:
    mend = f'Use kv = "{KV_FLOAT}".'
    if kv not in row.kv:
        yield "kv", row.refused[f"{kv} kv"], mend
        return
    if device != CPU and f"{kv} kv on a device" in row.refused:
        yield "kv", row.refused[f"{kv} kv on a device"], mend
        return
    least, installed = row.kv[kv], versions.get(row.package, "")
    if least and release(installed) < release(least):
        have = f"{row.package} {installed}" if installed else f"no {row.package}"
        yield "kv", f"{row.refused[f'{kv} kv']} from {least} on, and this is {have}", mend
