"""Memory of an engine that TensorRT compiled for its profiles: held in full from the first run on.

Formulas over ``EngineSize`` and the profiles the exporter builds with. It never looks at the
machine.
"""

from __future__ import annotations

import math

import numpy as np

from omnilive.engine.kv_layout import PREFILL_TOKENS, bucket_of
from omnilive.engine.manifest import EngineInfo, EngineSize, KvInfo
from omnilive.plan.cost import VALUE_BYTES, EngineBytes, live_values
from omnilive.plan.demand import EngineDemand

SCORE_COPIES = 2
"""Matrices of scores alive at once: what softmax reads and what it writes. The dialect spells
attention out, so they are there wherever TensorRT does not fuse it by itself."""

ENCODER_HEAD_DIM = 64
"""Width of a head in CLIP and Whisper, which packs do not record."""


def compiled_bytes(info: EngineInfo, size: EngineSize, demand: EngineDemand) -> EngineBytes:
    """What ``demand`` makes of one engine.

    An execution context takes the memory of its profile's largest shapes when it is made, whatever
    is run on it; arenas are whole buckets, cleared when they are made.
    """
    weights = sum(f.bytes for f in info.files)
    if info.kv is not None:
        return _decoder(info, info.kv, size, demand, weights)
    rows, batch = demand.rows, 1.0
    most = info.profile.get(str(info.inputs[0].shape[_dynamic_axis(info)]), demand.units)
    grown = max(1.0, most / demand.units)
    if demand.apart:
        batch, rows = grown * demand.units, demand.rows // demand.units
    else:
        rows = math.ceil(demand.rows * grown)
    heads = size.attention_width / ENCODER_HEAD_DIM
    item = VALUE_BYTES if set(info.precision.values()) <= {"fp32"} else 2
    scores = SCORE_COPIES * heads * rows**2 * item if size.layers else 0.0
    activations = round(batch * rows * live_values(info, size) * VALUE_BYTES)
    # Inputs and outputs are kept for the largest run seen.
    handed = (demand.fed_values + demand.given_values) * VALUE_BYTES
    return EngineBytes(weights, 0, activations, round(batch * scores) + handed)


def _decoder(
    info: EngineInfo, kv: KvInfo, size: EngineSize, demand: EngineDemand, weights: int
) -> EngineBytes:
    """A prefill context, a decode context, and buffers for the longest block."""
    most = info.profile.get("capacity", kv.max_positions)
    block = min(PREFILL_TOKENS, info.profile.get("sequence", most))
    arenas = sum(bucket_of(tokens, kv.max_positions) for tokens in demand.arenas)
    activations = (block + 1) * live_values(info, size) * VALUE_BYTES
    heads = size.attention_width // kv.head_dim
    # The block's own keys stand behind the arena's.
    attended = block * (most + block) + (most + 1)
    scores = SCORE_COPIES * heads * attended * np.dtype(kv.dtype).itemsize
    buffers = block * (size.width * VALUE_BYTES + kv.bytes_per_token())
    given = demand.given_values * VALUE_BYTES
    return EngineBytes(
        weights, arenas * kv.bytes_per_token(), activations, scores + buffers + given
    )


def _dynamic_axis(info: EngineInfo) -> int:
    """The first axis of the first input that is not fixed; 0 where all are."""
    shape = info.inputs[0].shape
    return next((i for i, axis in enumerate(shape) if isinstance(axis, str)), 0)
