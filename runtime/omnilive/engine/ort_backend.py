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
from omnilive.engine.ort_native import OrtEngine
from omnilive.engine.ort_session import open_session, tensors
from omnilive.errors import SetupError

if TYPE_CHECKING:
    from omnilive.engine.backends import Backend


def describe() -> tuple[str, tuple[str, ...]]:
    """See ``Backend.describe``."""
    return str(ort.__version__), tuple(ort.get_available_providers())


def load_engine(info: EngineInfo, folder: Path, config: EngineConfig) -> Engine:
    """See ``Backend.load_engine``.

    Raises:
        SetupError: ``config.device`` is not there, or onnxruntime's library.
        EngineError: onnxruntime cannot load the graph.
        PackError: the graph's IO is not what the manifest records.
    """
    if config.device == CUDA:
        return _cuda_lane().load_engine(info, folder, config)
    return OrtEngine(info, folder, config)


def load_decoder(info: EngineInfo, folder: Path, config: EngineConfig) -> Decoder:
    """See ``Backend.load_decoder``. Raises what ``load_engine`` raises."""
    if config.device == CUDA:
        return _cuda_lane().load_decoder(info, folder, config)
    session = open_session(info, folder, config)
    inputs, outputs = tensors(session.get_inputs()), tensors(session.get_outputs())
    check_io(info, folder, INPUT, inputs, (*info.inputs, *kv_inputs(info)))
    check_io(info, folder, OUTPUT, outputs, (*info.outputs, *kv_outputs(info)))
    return OrtDecoder(info, session)


def _cuda_lane() -> Backend:
    """The same backend on the GPU. Raises SetupError without CUDA's Python package."""
    try:
        return cast("Backend", importlib.import_module("omnilive.backends.ort_cuda"))
    except ImportError as e:
        raise SetupError(
            f"cannot be used ({e})",
            where="engine.device = cuda",
            mend="Install it: pip install onnxruntime-gpu cuda-python",
        ) from e
