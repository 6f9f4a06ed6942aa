"""Gives the KV arena of a written decoder int8 keys and values, with scales that were measured.

The graph's attention takes and gives int8 with one scale for a layer's keys and one for its values
(com.microsoft GroupQueryAttention with a quantized arena). A scale per channel would be finer, but
what is large in a channel is rare: inputs that were not recorded go beyond it, and cutting them off
costs more than the finer steps gain. It changes the model file only, never the weights.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from omnilive.engine.kv_layout import past_name, present_name
from omnilive.engine.manifest import EngineInfo, FileRecord

F32 = npt.NDArray[np.float32]

LARGEST_CODE = 127
ROOM = 1.5
"""How far beyond what was recorded a value may lie before it is cut off."""

LEAST_SCALE = 1e-6
"""Of a layer that was always zero."""

ATTENTION = "GroupQueryAttention"
_KEY_SCALE_INPUT = 12
_PARTS = ("key", "value")


class KvRanges:
    """The largest keys and values of one decoder, over everything that was recorded."""

    def __init__(self) -> None:
        self._largest: dict[str, float] = {}

    def add(self, layer: int, key: npt.NDArray[Any], value: npt.NDArray[Any]) -> None:
        """Take keys and values [1, kv_heads, S, head_dim] of a layer, keys rotated.

        A key's channel turns into its partner's with the position, so both get the length of the
        pair: no position, however late, makes either larger.
        """
        half = key.shape[-1] // 2
        pairs = np.hypot(key[..., :half], key[..., half:])
        self._take(f"{layer}.key", pairs)
        self._take(f"{layer}.value", np.abs(value))

    def scale(self, layer: int, part: str) -> F32:
        """float32 [1] of the ``key`` or ``value`` of a layer."""
        largest = self._largest[f"{layer}.{part}"] * ROOM / LARGEST_CODE
        return np.array([max(largest, LEAST_SCALE)], np.float32)

    def _take(self, name: str, values: npt.NDArray[Any]) -> None:
        self._largest[name] = max(float(values.max()), self._largest.get(name, 0.0))


def with_int8_arenas(
    folder: Path, engines: Mapping[str, EngineInfo], ranges: Mapping[str, KvRanges]
) -> dict[str, EngineInfo]:
    """Change every decoder of ``ranges`` in the pack in ``folder``; returns all engines' records.

    A decoder whose arena is int8 already is left as it is.
    """
    return {
        name: _changed(folder, info, ranges[name]) if name in ranges else info
        for name, info in engines.items()
    }


def _changed(folder: Path, info: EngineInfo, ranges: KvRanges) -> EngineInfo:
    if info.kv is None or info.kv.dtype == "int8":
        return info
    path = folder / info.model
    model = onnx.load(path, load_external_data=False)
    nodes = [node for node in model.graph.node if node.op_type == ATTENTION]
    for layer, node in enumerate(nodes):
        _quantize(model.graph, node, layer, ranges)
    names = {
        make(layer, part)
        for layer in range(len(nodes))
        for part in _PARTS
        for make in (past_name, present_name)
    }
    for value in (*model.graph.input, *model.graph.output):
        if value.name in names:
            value.type.tensor_type.elem_type = TensorProto.INT8
    data = model.SerializeToString(deterministic=True)
    path.write_bytes(data)
    record = FileRecord(info.model, len(data), hashlib.sha256(data).hexdigest())
    return dataclasses.replace(
        info,
        files=tuple(record if file.path == info.model else file for file in info.files),
        kv=dataclasses.replace(info.kv, dtype="int8"),
        precision={**info.precision, "kv": "int8"},
    )


def _quantize(graph: onnx.GraphProto, node: onnx.NodeProto, layer: int, ranges: KvRanges) -> None:
    node.input.extend([""] * (_KEY_SCALE_INPUT - len(node.input)))
    for part in _PARTS:
        name = f"layers.{layer}.{part}.scale"
        graph.initializer.append(numpy_helper.from_array(ranges.scale(layer, part), name))
        node.input.append(name)
    for attribute in ("k_quant_type", "v_quant_type"):
        node.attribute.append(helper.make_attribute(attribute, "PER_TENSOR"))
    node.attribute.append(helper.make_attribute("kv_cache_bit_width", 8))
