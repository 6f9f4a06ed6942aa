"""The optimization profiles of an engine: which sizes it is built for, and tuned for.

A decoder has two over the same weights: prefill, a block of many tokens, and decode, one token.
Arithmetic only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from omnilive.engine.kv_layout import PREFILL_TOKENS, least_bucket
from omnilive.engine.manifest import TensorInfo
from omnilive.errors import BuildError

LOGIT_ROWS = 64
"""Rows of a block that logits are given of at once: a vocabulary wide each."""

Range = tuple[int, int, int]
"""Least, best and most of one axis."""


@dataclass(frozen=True)
class ShapeRange:
    """The shapes of one input: ``least`` ≤ ``best`` ≤ ``most`` on every axis."""

    least: tuple[int, ...]
    best: tuple[int, ...]
    most: tuple[int, ...]


@dataclass(frozen=True)
class Profile:
    """One optimization profile: the shapes of every input with a dynamic axis."""

    name: str
    shapes: Mapping[str, ShapeRange]


def decoder_profiles(
    inputs: Sequence[TensorInfo], limits: Mapping[str, int]
) -> tuple[Profile, ...]:
    """Prefill, then decode.

    Args:
        inputs: of the graph, KV included; axes ``sequence``, ``capacity``, ``logit_rows`` and
            ``plora_rows``.
        limits: ``sequence`` and ``capacity``, in tokens.

    Raises:
        BuildError: an input has an axis of another name.
    """
    block = min(PREFILL_TOKENS, limits["sequence"])
    most = limits["capacity"]
    least = least_bucket(most)
    capacity = (least, max(least, most // 2), most)
    prefill: dict[str, Range] = {
        "sequence": (1, block, block),
        "capacity": capacity,
        "logit_rows": (1, 1, min(LOGIT_ROWS, block)),
        "plora_rows": (0, block // 2, block),
    }
    decode: dict[str, Range] = {
        "sequence": (1, 1, 1),
        "capacity": capacity,
        "logit_rows": (1, 1, 1),
        "plora_rows": (0, 0, 0),
    }
    return _profile("prefill", inputs, prefill), _profile("decode", inputs, decode)


def encoder_profiles(
    inputs: Sequence[TensorInfo], limits: Mapping[str, int], least: Mapping[str, int]
) -> tuple[Profile, ...]:
    """The one profile of an engine without KV, tuned for half of its largest input.

    Args:
        inputs: of the graph.
        limits: most of each dynamic axis.
        least: of those axes whose least is not 1.

    Raises:
        BuildError: an input has an axis without a limit.
    """
    ranges: dict[str, Range] = {}
    for axis, most in limits.items():
        smallest = least.get(axis, 1)
        ranges[axis] = (smallest, max(smallest, most // 2), most)
    return (_profile("whole", inputs, ranges),)


def _profile(name: str, inputs: Sequence[TensorInfo], ranges: Mapping[str, Range]) -> Profile:
    shapes = {}
    for tensor in inputs:
        if all(isinstance(axis, int) for axis in tensor.shape):
            continue
        axes = [_axis(tensor, axis, ranges) for axis in tensor.shape]
        least, best, most = (tuple(axis[i] for axis in axes) for i in range(3))
        shapes[tensor.name] = ShapeRange(least, best, most)
    return Profile(name, shapes)


def _axis(tensor: TensorInfo, axis: int | str, ranges: Mapping[str, Range]) -> Range:
    if isinstance(axis, int):
        return axis, axis, axis
    if axis not in ranges:
        raise BuildError(
            f"has an axis {axis!r} without limits",
            where=f"input {tensor.name}",
            mend="This is a mistake of the exporter; please report it.",
        )
    return ranges[axis]
