"""Stateless engines of the ``ort`` backend, run by the native core: the interpreter can be busy.

The core calls the library that the onnxruntime package ships; nothing of that package runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from omnilive._native import NativeJob, OrtLibrary, OrtModel, OrtRun
from omnilive.engine.config import EngineConfig
from omnilive.engine.graph_io import INPUT, OUTPUT, check_io
from omnilive.engine.manifest import REBUILD, EngineInfo, TensorInfo
from omnilive.engine.ort_session import first_line, run_error
from omnilive.errors import EngineError, SetupError

_LIBRARY = "libonnxruntime.so*"


def open_library() -> OrtLibrary:
    """The library of the onnxruntime package.

    Raises:
        SetupError: the package ships none, or one with another C API.
    """
    folder = Path(ort.__file__).parent / "capi"
    found = sorted(folder.glob(_LIBRARY))
    if not found:
        raise SetupError(
            f"ships no {_LIBRARY} in {folder}",
            where=f"onnxruntime {ort.__version__}",
            mend="Install the wheel from PyPI: pip install --force-reinstall onnxruntime",
        )
    try:
        return OrtLibrary(str(found[-1]))
    except RuntimeError as e:
        raise SetupError(
            f"cannot be called natively ({e})",
            where=f"onnxruntime {ort.__version__}",
            mend="Install a version that this runtime is tested with (constraints/).",
        ) from e


def open_model(
    library: OrtLibrary, info: EngineInfo, folder: Path, config: EngineConfig
) -> OrtModel:
    """``info``'s graph of the pack at ``folder``, loaded by the native core.

    Raises:
        EngineError: the library cannot load it.
    """
    try:
        return OrtModel(
            library,
            str(folder / info.model),
            threads=config.threads,
            spinning=config.spinning,
            memory_arena=config.memory_arena,
            memory_pattern=config.memory_pattern,
            affinity=config.affinity,
        )
    except RuntimeError as e:
        raise EngineError(
            f"onnxruntime {library.version} cannot load it ({first_line(e)})",
            where=f"engine {info.name} ({folder / info.model})",
            mend=REBUILD.format(pack=folder),
        ) from e


class OrtEngine:
    """A stateless engine; may be run from several threads at once."""

    def __init__(self, info: EngineInfo, folder: Path, config: EngineConfig) -> None:
        """Load ``info``'s graph of the pack at ``folder``.

        Raises:
            SetupError: onnxruntime cannot be called natively.
            EngineError: it cannot load the graph.
            PackError: the graph's IO is not what the manifest records.
        """
        self._name = info.name
        self._outputs = [t.name for t in info.outputs]
        self._model = open_model(open_library(), info, folder, config)
        check_io(info, folder, INPUT, _tensors(self._model.inputs), info.inputs)
        check_io(info, folder, OUTPUT, _tensors(self._model.outputs), info.outputs)

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """See ``Engine.run``. Raises EngineError when a feed is not what the graph takes."""
        prepared = self.native_run(feeds)
        try:
            prepared.job.run()
        except RuntimeError as e:
            raise prepared.error(str(e)) from e
        return prepared.outputs()

    def native_run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> OrtEngineRun:
        """See ``NativeEngine.native_run``. Raises EngineError for a dtype no graph takes."""
        arrays = {name: np.asarray(feed, order="C") for name, feed in feeds.items()}
        try:
            return OrtEngineRun(self._name, self._outputs, self._model.run_of(arrays))
        except (ValueError, TypeError) as e:
            raise run_error(self._name, str(e)) from e


class OrtEngineRun:
    """See ``NativeRun``; made by ``OrtEngine.native_run``."""

    def __init__(self, name: str, outputs: Sequence[str], run: OrtRun) -> None:
        self._name = name
        self._outputs = outputs
        self._run = run

    @property
    def job(self) -> NativeJob:
        """See ``NativeRun.job``."""
        return self._run.job

    def error(self, cause: str) -> EngineError:
        """See ``NativeRun.error``."""
        return run_error(self._name, cause)

    def outputs(self) -> dict[str, npt.NDArray[Any]]:
        """See ``NativeRun.outputs``."""
        found = self._run.outputs
        return {name: found[name] for name in self._outputs}


def _tensors(specs: Sequence[tuple[str, str, tuple[int | str, ...]]]) -> list[TensorInfo]:
    """What a model says of its inputs or outputs, as a manifest would."""
    return [TensorInfo(name, dtype, shape) for name, dtype, shape in specs]
