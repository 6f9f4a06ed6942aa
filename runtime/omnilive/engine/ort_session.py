"""Opens onnxruntime sessions and holds each graph against the manifest that describes it.

It never runs a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from omnilive.engine.architecture import shape_fits
from omnilive.engine.config import EngineConfig
from omnilive.engine.manifest import REBUILD, EngineInfo, TensorInfo
from omnilive.errors import EngineError, PackError

PROVIDERS = ("CPUExecutionProvider",)
NUMPY_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}
_LOG_ERRORS_ONLY = 3


def open_session(info: EngineInfo, folder: Path, config: EngineConfig) -> ort.InferenceSession:
    """A CPU session of ``info``'s graph; external weights are mapped from beside it.

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
    try:
        return ort.InferenceSession(
            str(folder / info.model), sess_options=options, providers=list(PROVIDERS)
        )
    # onnxruntime's errors share no base class below Exception.
    except Exception as e:
        raise EngineError(
            f"onnxruntime {ort.__version__} cannot load it ({first_line(e)})",
            where=f"engine {info.name} ({folder / info.model})",
            mend=REBUILD.format(pack=folder),
        ) from e


def check_io(
    info: EngineInfo,
    folder: Path,
    side: str,
    graph: Sequence[Any],
    recorded: Sequence[TensorInfo],
) -> None:
    """Hold the graph's ``graph`` NodeArgs against the manifest's ``recorded`` tensors.

    Raises:
        PackError: a name, dtype or fixed size differs.
    """
    have = {
        arg.name: TensorInfo(
            arg.name,
            NUMPY_DTYPES.get(arg.type, arg.type),
            tuple(size if isinstance(size, int) else str(size) for size in arg.shape),
        )
        for arg in graph
    }
    want = {tensor.name: tensor for tensor in recorded}
    for name in sorted(have.keys() | want.keys()):
        graph_side, manifest_side = have.get(name), want.get(name)
        if graph_side is None:
            what = f"its graph lacks the {side} {name} that the manifest records"
        elif manifest_side is None:
            what = f"its graph has an {side} {name} that the manifest does not record"
        elif graph_side.dtype != manifest_side.dtype or not shape_fits(
            manifest_side.shape, graph_side.shape
        ):
            what = (
                f"its graph's {side} {name} is {graph_side.dtype}{list(graph_side.shape)}, "
                f"the manifest records {manifest_side.dtype}{list(manifest_side.shape)}"
            )
        else:
            continue
        raise PackError(
            what,
            where=f"engine {info.name} ({folder / info.model})",
            mend=REBUILD.format(pack=folder),
        )


def run_error(name: str, cause: Exception) -> EngineError:
    """The error of a failed run."""
    return EngineError(
        f"failed to run ({first_line(cause)})",
        where=f"engine {name}",
        mend="Check the input against the manifest's shapes and limits, or rebuild the pack.",
    )


def first_line(cause: Exception) -> str:
    """onnxruntime's messages carry a stack; the first line says what happened."""
    return str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
