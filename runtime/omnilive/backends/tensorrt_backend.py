"""The TensorRT backend: what ``backends`` loads engines of a pack with.

Each engine runs on the stream of its lane. It never builds an engine.
"""

from __future__ import annotations

import logging
from pathlib import Path

import tensorrt as trt

from omnilive.backends.cuda import device_names
from omnilive.backends.cuda_lanes import DeviceLanes
from omnilive.backends.tensorrt_decoder import TensorrtDecoder
from omnilive.backends.tensorrt_engine import TensorrtEngine
from omnilive.backends.tensorrt_runtime import LoadedPlan
from omnilive.engine.config import EngineConfig
from omnilive.engine.decoder_checks import geometry
from omnilive.engine.interface import Decoder, Engine
from omnilive.engine.kv_layout import WRITE_POSITION, past_names, present_names
from omnilive.engine.manifest import EngineInfo, KvInfo, TensorInfo

_LOG = logging.getLogger(__name__)


def describe() -> tuple[str, tuple[str, ...]]:
    """See ``Backend.describe``."""
    return trt.__version__, device_names()


def prepare(config: EngineConfig) -> None:
    """See ``Backend.prepare``: importing this module has loaded TensorRT."""


def load_engine(info: EngineInfo, folder: Path, config: EngineConfig, lanes: DeviceLanes) -> Engine:
    """See ``Backend.load_engine``.

    Raises:
        EngineError: TensorRT cannot load the plan, or the device has no memory left.
        PackError: the engine's tensors are not what the manifest records.
    """
    plan = LoadedPlan(info, folder, _LOG.warning)
    plan.check(info, folder, info.inputs, info.outputs)
    return TensorrtEngine(plan, lanes.lane_of(info.name))


def load_decoder(
    info: EngineInfo, folder: Path, config: EngineConfig, lanes: DeviceLanes
) -> Decoder:
    """See ``Backend.load_decoder``. Raises what ``load_engine`` raises."""
    kv = geometry(info)
    plan = LoadedPlan(info, folder, _LOG.warning)
    placed = TensorInfo(WRITE_POSITION, "int64", (1,))
    past, present = (
        _kv_tensors(past_names(kv.layers), kv),
        _kv_tensors(present_names(kv.layers), kv),
    )
    plan.check(info, folder, (*info.inputs, placed, *past), (*info.outputs, *present))
    return TensorrtDecoder(info, plan, lanes.lane_of(info.name))


def _kv_tensors(names: list[str], kv: KvInfo) -> list[TensorInfo]:
    """Tensors of a decoder that its record leaves to ``kv``."""
    return [TensorInfo(name, kv.dtype, (1, kv.kv_heads, "dynamic", kv.head_dim)) for name in names]
