"""The size of an engine where its pack records none: estimated from files, IO and KV geometry.

It never opens a graph. An estimate is told apart from a record by ``is_estimated``.
"""

from __future__ import annotations

import math

from omnilive.engine.manifest import EngineInfo, EngineSize, Manifest

SCALE_BITS = 32
"""A float32 scale is shared by the weights of a block."""

WEIGHT_BITS = {"fp32": 32, "fp16": 16, "bf16": 16, "int8": 8, "int8-dynamic": 8, "int4": 4}
MLP_RATIO = 4
"""Width of an MLP's middle over that of its stream, in CLIP and Whisper."""

ENCODER_NAMES = ("mem_vit", "aud_enc", "vlm_vit")


def is_estimated(info: EngineInfo) -> bool:
    """Whether the pack says nothing of this engine's size."""
    return info.size is None


def size_of(info: EngineInfo, manifest: Manifest) -> EngineSize:
    """The recorded size of ``info``, else an estimate.

    The estimate takes all weights of an engine to have its most common precision. Towers are
    taken to be as wide as the memory tower, which both are in this family; their layers follow
    from 12·width² weights each. A decoder's query heads are taken to be as wide as its stream.
    """
    if info.size is not None:
        return info.size
    block = int(manifest.build.get("block_size", 32))
    weights = int(sum(f.bytes for f in info.files) * 8 / _bits(info, block))
    if info.kv is not None:
        return _decoder(info, weights)
    if info.name in ENCODER_NAMES:
        width = manifest.audio.hidden if info.name == "aud_enc" else manifest.memory.cls
        layers = max(1, round(weights / (12 * width**2)))
        return EngineSize({"rows": weights}, layers, width, MLP_RATIO * width, width)
    widths = [s for t in (*info.inputs, *info.outputs) for s in t.shape[-1:] if isinstance(s, int)]
    return EngineSize({"rows": weights}, 0, max(widths), max(widths), 0)


def _decoder(info: EngineInfo, weights: int) -> EngineSize:
    kv = info.kv
    assert kv is not None
    width = _last_width(info.inputs[0].shape)
    outputs = _last_width(info.outputs[0].shape)
    head = width * outputs if info.outputs[0].name == "logits" else 0
    rows = max(0, weights - head - kv.max_positions * kv.head_dim)
    attention = 2 * width * (width + kv.kv_heads * kv.head_dim)
    middle = max(width, math.ceil((rows / kv.layers - attention) / (3 * width)))
    return EngineSize({"rows": rows, "head": head}, kv.layers, width, middle, width)


def _last_width(shape: tuple[int | str, ...]) -> int:
    return shape[-1] if isinstance(shape[-1], int) else 1


def _bits(info: EngineInfo, block: int) -> float:
    """Bits per weight of the first group's precision, its share of a scale included."""
    kind = next(iter(info.precision.values()), "fp32")
    bits = WEIGHT_BITS.get(kind, 32)
    return bits + (SCALE_BITS / block if bits < 16 else 0)
