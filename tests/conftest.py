"""What all layers share: each test's marker from its folder, and where the built packs are.

It never builds anything: `make packs` does.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("unit", "tiny", "micro", "full", "gpu")

# No test judges by the wall clock, so hypothesis mustn't either: a busy machine is no failure.
settings.register_profile("omnilive", parent=settings(), deadline=None)
settings.load_profile("omnilive")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with the layer whose folder it is in; skip ``gpu`` where there is none."""
    for item in items:
        layer = item.path.relative_to(ROOT / "tests").parts[0]
        if layer in LAYERS:
            item.add_marker(layer)
    of_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if of_gpu and not _has_cuda():
        for item in of_gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device for onnxruntime here"))


def _has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@pytest.fixture(scope="session")
def micro_checkpoint() -> Path:
    """The micro checkpoint that `make packs` wrote."""
    return _built(ROOT / "checkpoints" / "micro", "base/config.json")


@pytest.fixture(scope="session")
def micro_pack() -> Path:
    """The int4 pack of the micro checkpoint."""
    return _built(ROOT / "engines" / "micro", "manifest.json")


@pytest.fixture(scope="session")
def micro_fp32_pack() -> Path:
    """The fp32 pack of the micro checkpoint, for tests of equality."""
    return _built(ROOT / "engines" / "micro-fp32", "manifest.json")


def _built(folder: Path, marker: str) -> Path:
    if not (folder / marker).is_file():
        pytest.fail(f"{folder.relative_to(ROOT)} is not built. Run: make packs", pytrace=False)
    return folder
