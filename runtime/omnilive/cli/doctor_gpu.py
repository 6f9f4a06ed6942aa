"""Whether what a pack or a configuration asks of a GPU is there: nothing may fall to the CPU.

Part of ``omnilive doctor``; it loads one engine at most, and changes nothing.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path

from omnilive.engine.backends import BACKEND_PACKAGES, BackendState
from omnilive.engine.cache_key import GPU_BACKENDS
from omnilive.engine.config import CUDA, EngineConfig
from omnilive.engine.manifest import Manifest
from omnilive.engine.pack import open_pack
from omnilive.errors import OmniLiveError

CUDA_PROVIDER = "CUDAExecutionProvider"


def asked_of_gpu(manifest: Manifest | None, config: EngineConfig | None) -> dict[str, str]:
    """Backends that must run on a GPU, and what asks for it, in words.

    Args:
        manifest: the pack's; None without one.
        config: of its engines; None where none is given.
    """
    asked = {}
    if config is not None and config.device == CUDA:
        asked["ort"] = "engine.device = cuda"
    if manifest is not None:
        backends = {engine.backend for engine in manifest.engines.values()}
        asked |= {name: f"pack {manifest.name}" for name in GPU_BACKENDS if name in backends}
        if "ort" in backends and _built_for_cuda(manifest):
            asked.setdefault("ort", f"pack {manifest.name}, built with --device cuda,")
    return asked


def lacking(asked: str, state: BackendState) -> tuple[str, str] | None:
    """What ``state`` lacks to run on a GPU as ``asked``, and how to mend it; None if nothing."""
    name = state.name
    if not state.available:
        return f"{asked} asks for {name} on a GPU, which cannot be loaded ({state.why})", state.mend
    if name == "ort" and CUDA_PROVIDER not in state.devices:
        return (
            f"{asked} asks for a GPU, but this onnxruntime runs on the CPU only",
            "pip uninstall onnxruntime && pip install onnxruntime-gpu cuda-python",
        )
    if name in GPU_BACKENDS and not state.devices:
        return (
            f"{asked} asks for {name}, but there is no device for it",
            f"Check the driver and that this user may open the GPU; {BACKEND_PACKAGES[name]} "
            "must fit the driver.",
        )
    return None


def silent_fallbacks(
    manifest: Manifest | None, config: EngineConfig | None, states: Sequence[BackendState]
) -> list[tuple[str, str]]:
    """Everything that would run on the CPU, or not at all, against what is asked."""
    asked = asked_of_gpu(manifest, config)
    found = [lacking(asked[state.name], state) for state in states if state.name in asked]
    if "ort" in asked and config is not None and config.device != CUDA:
        fact = f"{asked['ort']} asks for a GPU, but engine.device is {config.device}"
        found.append((fact, 'Set [engine] device = "cuda".'))
    return [lack for lack in found if lack is not None]


def trial(path: Path, manifest: Manifest) -> tuple[str, str] | None:
    """Load the smallest engine on the GPU, as a run does: what went wrong, and how to mend it.

    A provider may be listed and yet not start, for want of a library.
    """
    stateless = [engine for engine in manifest.engines.values() if engine.kv is None]
    smallest = min(stateless, key=lambda engine: sum(file.bytes for file in engine.files))
    config = EngineConfig(device=CUDA)
    try:
        with contextlib.closing(open_pack(path, verify_hashes=False, config=config)) as pack:
            pack.engine(smallest.name)
    except OmniLiveError as e:
        return f"{e.where}: {e.what}", e.mend
    return None


def _built_for_cuda(manifest: Manifest) -> bool:
    arguments = [str(argument) for argument in manifest.build.get("arguments", ())]
    return ("--device", CUDA) in itertools.pairwise(arguments)
