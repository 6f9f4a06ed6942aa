"""The onnxruntime backend: what ``backends`` loads engines of a pack with.

Wraps checked sessions; it never interprets what an engine computes.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from omnilive.engine.config import CUDA, EngineConfig
from omnilive.engine.graph_io import INPUT, OUTPUT, check_io
from omnilive.engine.interface import Decoder, Engine
from omnilive.engine.manifest import EngineInfo
from omnilive.engine.ort_decoder import OrtDecoder, kv_inputs, kv_outputs
from omnilive.engine.ort_session import open_session, run_error, tensors

if TYPE_CHECKING:
    from omnilive.backends.cuda_lanes import DeviceLanes
    from omnilive.engine.backends import Backend


def describe() -> tuple[str, tuple[str, ...]]:
    """See ``Backend.describe``."""
    return str(ort.__version__), tuple(ort.get_available_providers())


def load_engine(
    info: EngineInfo, folder: Path, config: EngineConfig, lanes: DeviceLanes | None = None
) -> Engine:
    """See ``Backend.load_engine``.

    Raises:
        SetupError: ``config.device`` is not there.
        EngineError: onnxruntime cannot load the graph.
        PackError: the graph's IO is not what the manifest records.
    """
    if config.device == CUDA:
        return _on_cuda().load_engine(info, folder, config, lanes)
    session = open_session(info, folder, config)
    check_io(info, folder, INPUT, tensors(session.get_inputs()), info.inputs)
    check_io(info, folder, OUTPUT, tensors(session.get_outputs()), info.outputs)
    return OrtEngine(info, session)


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


class OrtEngine:
    """A stateless engine; may be run from several threads at once."""

    def __init__(self, info: EngineInfo, session: ort.InferenceSession) -> None:
        """Wrap a loaded and checked session."""
        self._name = info.name
        self._session = session
        self._outputs = [t.name for t in info.outputs]

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """See ``Engine.run``. Raises EngineError when a feed is not what the graph takes."""
        try:
            values = self._session.run(self._outputs, dict(feeds))
        except Exception as e:
            raise run_error(self._name, e) from e
        return {name: np.asarray(value) for name, value in zip(self._outputs, values, strict=True)}
