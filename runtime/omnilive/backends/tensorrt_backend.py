"""The TensorRT backend: what ``backends`` loads engines of a pack with.

Each engine gets a stream of its own. It never builds an engine.
"""

from __future__ import annotations

import logging
from pathlib import Path

import tensorrt as trt

from omnilive.backends.cuda import Stream, device_names
from omnilive.backends.tensorrt_arena import kv_names
from omnilive.backends.tensorrt_decoder import TensorrtDecoder
from omnilive.backends.tensorrt_engine import TensorrtEngine
from omnilive.backends.tensorrt_runtime import LoadedPlan
from omnilive.engine.config import EngineConfig
from omnilive.engine.interface import Decoder, Engine
from omnilive.engine.manifest import EngineInfo, KvInfo, TensorInfo
from omnilive.errors import EngineError

_LOG = logging.getLogger(__name__)


def describe() -> tuple[str, tuple[str, ...]]:
    """See ``Backend.describe``."""
    return trt.__version__, device_names()


def load_engine(info: EngineInfo, folder: Path, config: EngineConfig) -> Engine:
    """See ``Backend.load_engine``.

    Raises:
        EngineError: TensorRT cannot load the plan, or the device has no memory left.
        PackError: the engine's tensors are not what the manifest records.
    """
    plan = LoadedPlan(info, folder, _LOG.warning)
    plan.check(folder, (*info.inputs, *info.outputs))
    return TensorrtEngine(plan, Stream())


def load_decoder(info: EngineInfo, folder: Path, config: EngineConfig) -> Decoder:
    """See ``Backend.load_decoder``. Raises what ``load_engine`` raises."""
    if info.kv is None:
        raise EngineError(
            "records no KV geometry",
            where=f"engine {info.name}",
            mend="Only decoders take a KV arena; rebuild the pack if this is one.",
        )
    plan = LoadedPlan(info, folder, _LOG.warning)
    plan.check(folder, (*info.inputs, *info.outputs, *_kv_tensors(info.kv)))
    return TensorrtDecoder(info, info.kv, plan, Stream())


def _kv_tensors(kv: KvInfo) -> list[TensorInfo]:
    """The tensors of a decoder that its record leaves to ``kv``."""
    shape = (1, kv.kv_heads, "dynamic", kv.head_dim)
    names = [*kv_names(kv, "past_key_values"), *kv_names(kv, "present")]
    return [
        TensorInfo("write_position", "int64", (1,)),
        *(TensorInfo(name, kv.dtype, shape) for name in names),
    ]
