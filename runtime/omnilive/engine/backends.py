"""Which inference backends this runtime has, and how each loads an engine.

A backend's package is imported only when an engine of it is loaded or its state is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from omnilive.engine.config import EngineConfig
from omnilive.engine.interface import Decoder, Engine
from omnilive.engine.manifest import EngineInfo
from omnilive.errors import PackError, SetupError
from omnilive.scheduling.jobs import Lane
from omnilive.scheduling.threads import PRIORITY

if TYPE_CHECKING:
    from omnilive.backends.cuda_lanes import DeviceLanes

BACKEND_MODULES = {
    "ort": "omnilive.engine.ort_backend",
    "tensorrt": "omnilive.backends.tensorrt_backend",
}
"""Module of each backend this runtime has."""

BACKEND_PACKAGES = {"ort": "onnxruntime", "tensorrt": "tensorrt cuda-python"}
"""What pip installs for it."""


class Backend(Protocol):
    """What a backend module offers."""

    def load_engine(
        self, info: EngineInfo, folder: Path, config: EngineConfig, lanes: DeviceLanes | None
    ) -> Engine:
        """Load a stateless engine of the pack at ``folder``.

        ``lanes``: streams of the device, for an engine that runs there (``runs_on_device``).
        """
        ...

    def load_decoder(
        self, info: EngineInfo, folder: Path, config: EngineConfig, lanes: DeviceLanes | None
    ) -> Decoder:
        """Load a decoder of the pack at ``folder``; ``lanes`` as for ``load_engine``."""
        ...

    def describe(self) -> tuple[str, tuple[str, ...]]:
        """Its version and the devices or providers it offers."""
        ...

    def prepare(self, config: EngineConfig) -> None:
        """Load the libraries that engines of ``config`` run on. Raises SetupError without them."""
        ...


@dataclass(frozen=True)
class BackendState:
    """One backend on this machine.

    Attributes:
        devices: devices or providers it offers.
        why, mend: where it is not available, what happened when it was loaded, and how to get it.
    """

    name: str
    available: bool
    version: str
    devices: tuple[str, ...]
    why: str = ""
    mend: str = ""


def backend(name: str) -> Backend:
    """The backend called ``name``.

    Raises:
        PackError: this runtime has no such backend.
        SetupError: its package is not installed or does not load.
    """
    module = BACKEND_MODULES.get(name)
    if module is None:
        raise PackError(
            f"needs the backend {name!r}, this runtime has {', '.join(BACKEND_MODULES)}",
            where="engine pack",
            mend="Rebuild it with --backend ort.",
        )
    try:
        return cast("Backend", importlib.import_module(module))
    except (ImportError, OSError) as e:  # OSError: a library that the package opens itself
        raise SetupError(
            f"cannot be loaded ({e})",
            where=f"backend {name}",
            mend=f"Install it: pip install {BACKEND_PACKAGES[name]}",
        ) from e


def device_lanes(config: EngineConfig, ranks: Mapping[Lane, int] = PRIORITY) -> DeviceLanes:
    """The streams that a pack's engines on the device share; whoever asks closes them.

    Args:
        config: of the engines.
        ranks: importance of each lane, 0 the most.

    Raises:
        SetupError: CUDA's Python package is not installed or does not load.
    """
    try:
        module = importlib.import_module("omnilive.backends.cuda_lanes")
    except ImportError as e:
        raise SetupError(
            f"cannot be used ({e})",
            where="engine.device = cuda",
            mend="Install it: pip install onnxruntime-gpu cuda-python",
        ) from e
    return cast("DeviceLanes", module.DeviceLanes(config, ranks))


def backend_states() -> tuple[BackendState, ...]:
    """Every backend this runtime knows, available here or not."""
    states = []
    for name in BACKEND_MODULES:
        try:
            version, devices = backend(name).describe()
            states.append(BackendState(name, True, version, devices))
        except SetupError as e:
            states.append(BackendState(name, False, "", (), e.what, e.mend))
    return tuple(states)
