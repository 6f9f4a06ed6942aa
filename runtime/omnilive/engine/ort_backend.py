"""The onnxruntime backend: what ``backends`` loads engines of a pack with.

It checks what it loads; it never interprets what an engine computes.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, cast

import onnxruntime as ort

from omnilive.engine.config import CUDA, EngineConfig
from omnilive.engine.graph_io import INPUT, OUTPUT, check_io
from omnilive.engine.interface import Decoder, Engine
from omnilive.engine.manifest import EngineInfo
from omnilive.engine.ort_decoder import OrtDecoder, kv_inputs, kv_outputs
from omnilive.engine.ort_native import OrtEngine, open_library
from omnilive.engine.ort_session import open_session, tensors

if TYPE_CHECKING:
    from omnilive.backends.cuda_lanes import DeviceLanes
    from omnilive.engine.backends import Backend


def describe() -> tuple[str, tuple[str, ...]]:
    """See ``Backend.describe``."""
    return str(ort.__version__), tuple(ort.get_available_providers())


def prepare(config: EngineConfig) -> None:
    """See ``Backend.prepare``."""
    if config.device != CUDA:
        open_library()


def load_engine(
    info: EngineInfo, folder: Path, config: EngineConfig, lanes: DeviceLanes | None = None
) -> Engine:
    """See ``Backend.load_engine``.

    Raises:
        SetupError: ``config.device`` is not there, or onnxruntime's library.
        EngineError: onnxruntime cannot load the graph.
        PackError: the graph's IO is not what the manifest records.
    """
    if config.device == CUDA:
        return _on_cuda().load_engine(info, folder, config, lanes)
    return OrtEngine(info, folder, config)


def load_decoder(
    info: EngineInfo, folder: Path, config: EngineConfig, lanes: DeviceLanes | None = None
) -> Decoder:
    """See ``Backend.load_decoder``. Raises what ``load_engine`` raises."""
    if config.device == CUDA:
        return _on_cuda().load_decoder(info, folder, config, lanes)
    session = open_session(info, folder, config)
    inputs, outputs = tensors(session.get_inputs()), tensors(session.get_outputs())
    check_io(info, folder, INPUT, inputs, (*info.inputs, *kv_inputs(info)))
    check_io(info, folder, OUTPUT, outputs, (*info.outputs, *kv_outputs(info)))
    return OrtDecoder(info, session)


def _on_cuda() -> Backend:
    """The same backend on the GPU; whoever made the device's lanes has CUDA's Python package."""
    return cast("Backend", importlib.import_module("omnilive.backends.ort_cuda"))
