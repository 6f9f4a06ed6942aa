"""Finds and loads the PyTorch references of a checkout; never downloads what is missing."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from omnilive.errors import SetupError

CHECKOUT = Path(__file__).resolve().parents[3]
REFERENCE_FOLDER = CHECKOUT / "tests" / "reference"
PACKAGE = "omnilive_reference"
REQUIRED = ("torch", "transformers")


@dataclass(frozen=True)
class References:
    """The modules of the reference package."""

    checkpoint: ModuleType
    clip_vision: ModuleType
    internlm2_plora: ModuleType
    ground_qwen: ModuleType
    qwen2_audio: ModuleType


def load_references(folder: Path = REFERENCE_FOLDER) -> References:
    """Import the reference package from ``folder``.

    Raises:
        SetupError: not a checkout, or torch or transformers are not installed.
    """
    if not (folder / "__init__.py").is_file():
        raise SetupError(
            "the reference implementations are not there",
            where=str(folder),
            mend="Verify from a checkout of the repository, not from an installed wheel.",
        )
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(
            f"{' and '.join(missing)} not installed",
            where="verification",
            mend="Run make install-test: it installs torch for the CPU and transformers.",
        )
    if PACKAGE not in sys.modules:
        _register(folder)
    return References(
        **{name: importlib.import_module(f"{PACKAGE}.{name}") for name in _module_names()}
    )


def _module_names() -> tuple[str, ...]:
    return tuple(References.__dataclass_fields__)


def _register(folder: Path) -> None:
    """Make ``folder`` importable under its own name, whatever else is called ``reference``."""
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)
