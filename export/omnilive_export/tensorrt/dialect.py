"""Which number types the engines of a TensorRT pack have, and what TensorRT cannot take.

Choices only: `graphs.tensorrt_ops` spells the graphs, `quantize` and its like make the numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from omnilive.errors import ConfigError
from omnilive_export.graphs.dialect import DialectGraph, NewGraph
from omnilive_export.graphs.layer_formats import LayerFormats
from omnilive_export.graphs.tensorrt_int4 import BLOCK_SIZES
from omnilive_export.graphs.tensorrt_ops import TensorrtGraph
from omnilive_export.planned import PackPlan
from omnilive_export.precision import FP32, INT4, RTN, PackPrecision

FLOAT32_ENGINES = ("aud_lm",)
"""Engines whose activations leave float16's range: this model family is known for it."""

_KINDS = {"float32": FP32, "float16": "fp16"}


def compute_type(engine: str, precision: PackPrecision) -> str:
    """The type an engine multiplies matrices in: ``float32`` or ``float16``."""
    group = precision.blocks if engine.endswith("lm") else precision.encoder
    wide = group.kind == FP32 or engine in FLOAT32_ENGINES
    return "float32" if wide else "float16"


def tensorrt_dialect(precision: PackPrecision, formats: LayerFormats | None = None) -> NewGraph:
    """Makes the graphs of a pack's engines.

    Args:
        precision: of the pack.
        formats: of single layers.

    Raises:
        ConfigError: TensorRT has no such weights.
    """
    check_precision(precision)

    def new_graph(engine: str) -> DialectGraph:
        return TensorrtGraph(engine, compute_type(engine, precision), formats)

    return new_graph


def stored_kinds(engine: str, kinds: Mapping[str, str], precision: PackPrecision) -> dict[str, str]:
    """What the groups of weights of an engine are stored as, given what was asked for.

    int4 stays; 8 bits become the engine's float type, because TensorRT's int8 is for weights and
    activations together and has no block scales.
    """
    plain = _KINDS[compute_type(engine, precision)]
    return {group: INT4 if kind == INT4 else plain for group, kind in kinds.items()}


def check_precision(precision: PackPrecision) -> None:
    """Refuse weights that TensorRT does not take.

    Raises:
        ConfigError: int4 with zero points, with blocks of another size than 64 or 128, or not
            rounded to nearest.
    """
    for fmt in (precision.blocks, precision.head, precision.plora, precision.encoder):
        if fmt.kind != INT4:
            continue
        if fmt.method != RTN:
            raise ConfigError(
                f"graphs of TensorRT are only rounded to nearest, not by {fmt.method}",
                where="--backend tensorrt",
                mend="Leave --quantizer out.",
            )
        if not fmt.symmetric:
            raise ConfigError(
                "TensorRT's int4 has no zero points",
                where="--backend tensorrt",
                mend="Leave --asymmetric out.",
            )
        if fmt.block not in BLOCK_SIZES:
            sizes = " or ".join(str(size) for size in BLOCK_SIZES)
            raise ConfigError(
                f"TensorRT's int4 blocks hold {sizes} values, not {fmt.block}",
                where="--backend tensorrt",
                mend=f"Use --block-size {sizes}.",
            )


def with_stored_kinds(plan: PackPlan, precision: PackPrecision) -> PackPlan:
    """The plan whose engines say what their weights are stored as (``stored_kinds``)."""
    engines = tuple(
        dataclasses.replace(e, precision=stored_kinds(e.graph.name, e.precision, precision))
        for e in plan.engines
    )
    return dataclasses.replace(plan, engines=engines)
