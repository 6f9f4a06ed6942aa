"""Opens onnxruntime sessions and says what their graphs take and give.

It never runs a graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import onnxruntime as ort

from omnilive.engine.config import EngineConfig
from omnilive.engine.manifest import REBUILD, EngineInfo, TensorInfo
from omnilive.errors import EngineError

PROVIDERS = ("CPUExecutionProvider",)
NUMPY_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}
_LOG_ERRORS_ONLY = 3
_NO_ENTRIES: Mapping[str, str] = MappingProxyType({})


def open_session(
    info: EngineInfo,
    folder: Path,
    config: EngineConfig,
    *,
    providers: Sequence[str | tuple[str, dict[str, str]]] = PROVIDERS,
    entries: Mapping[str, str] = _NO_ENTRIES,
) -> ort.InferenceSession:
    """A session of ``info``'s graph; external weights are mapped from beside it.

    Args:
        info: the engine.
        folder: its pack.
        config: threads and memory.
        providers: who runs it, the preferred one first; the CPU by default.
        entries: further entries of the session's configuration.

    Raises:
        EngineError: onnxruntime cannot load the graph.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = config.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = config.memory_arena
    options.enable_mem_pattern = config.memory_pattern
    options.log_severity_level = _LOG_ERRORS_ONLY
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "1" if config.spinning else "0"
    )
    if config.affinity:
        options.add_session_config_entry("session.intra_op_thread_affinities", config.affinity)
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    try:
        return ort.InferenceSession(
            str(folder / info.model), sess_options=options, providers=list(providers)
        )
    # onnxruntime's errors share no base class below Exception.
    except Exception as e:
        raise EngineError(
            f"onnxruntime {ort.__version__} cannot load it ({first_line(e)})",
            where=f"engine {info.name} ({folder / info.model})",
            mend=REBUILD.format(pack=folder),
        ) from e


def tensors(args: Sequence[Any]) -> list[TensorInfo]:
    """What ``session.get_inputs()`` or ``get_outputs()`` says, as a manifest would."""
    return [
        TensorInfo(
            arg.name,
            NUMPY_DTYPES.get(arg.type, arg.type),
            tuple(size if isinstance(size, int) else str(size) for size in arg.shape),
        )
        for arg in args
    ]


def run_error(name: str, cause: Exception | str) -> EngineError:
    """The error of a failed run."""
    return EngineError(
        f"failed to run ({first_line(cause)})",
        where=f"engine {name}",
        mend="Check the input against the manifest's shapes and limits, or rebuild the pack.",
    )


def first_line(cause: Exception | str) -> str:
    """onnxruntime's messages carry a stack; the first line says what happened."""
    return str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
