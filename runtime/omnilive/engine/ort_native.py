"""Engines of the ``ort`` backend as the native core runs them: no interpreter between two of them.

The core calls the library that the onnxruntime package ships; nothing of that package runs.
"""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort

from omnilive._native import OrtLibrary, OrtModel
from omnilive.engine.config import EngineConfig
from omnilive.engine.manifest import REBUILD, EngineInfo
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
            f"onnxruntime {library.version} cannot load it ({e})",
            where=f"engine {info.name} ({folder / info.model})",
            mend=REBUILD.format(pack=folder),
        ) from e
