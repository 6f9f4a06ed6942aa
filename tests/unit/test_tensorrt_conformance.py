"""Our use of TensorRT against the recorded interface of each version's binding, by mypy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import omnilive.backends
import omnilive_export.tensorrt
from tensorrt_bindings import CACHE, OLDEST, PACKAGES, STUB, record, recording
from tensorrt_signatures import parse, stub

pytest.importorskip("mypy", reason="mypy checks the use of TensorRT: run make lint once")

BUILDER = "engine_builder.py"
EXPORT = Path(omnilive_export.tensorrt.__file__).parent
RUNTIME = Path(omnilive.backends.__file__).parent
CHECKED = (
    EXPORT / BUILDER,
    EXPORT / "versions.py",
    RUNTIME / "tensorrt_runtime.py",
    RUNTIME / "tensorrt_backend.py",
)
"""Files that know the package: the rest of the backend goes through them."""


def faults_found(version: str, sources: Path, cache: Path) -> str:
    """What mypy says of a copy of our package against the stub of a version."""
    stubs = sources.parent / "stubs"
    stubs.mkdir(exist_ok=True)
    (stubs / "tensorrt.pyi").write_text(stub(recording(version)))
    command = (sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-version=3.10")
    found = subprocess.run(
        [*command, "--follow-imports=skip", f"--cache-dir={cache}", str(sources)],
        capture_output=True,
        text=True,
        env={"MYPYPATH": str(stubs), "PATH": ""},
    )
    # Modules that are not followed give Any; only what concerns TensorRT is judged here.
    lines = found.stdout.splitlines()
    return "\n".join(line for line in lines if "tensorrt" in line or "error" in line)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def copied(folder: Path) -> Path:
    sources = folder / "ours"
    sources.mkdir(parents=True)
    for path in CHECKED:
        shutil.copy(path, sources / path.name)
    return sources


@pytest.mark.parametrize("version", PACKAGES)
def test_everything_our_code_uses_is_there(version: str, tmp_path: Path, cache: Path) -> None:
    assert faults_found(version, copied(tmp_path), cache / version) == ""


PLANTED = {
    "parser.parse_from_file(": "parser.parse_from_fil(",
    "opt=shapes.best": "best=shapes.best",
    "MemoryPoolType.TACTIC_DRAM": "MemoryPoolType.TACTIC_MEMORY",
    "trt.HardwareCompatibilityLevel": "trt.HardwareLevel",
    "profile.extra_memory_target": "profile.extra_memory",
    "memoryview(cache.serialize())": "memoryview(cache)",
}


def test_what_is_planted_is_found(tmp_path: Path, cache: Path) -> None:
    sources = copied(tmp_path)
    text = (sources / BUILDER).read_text()
    lines = []
    for right, wrong in PLANTED.items():
        before, found, _ = text.partition(right)
        assert found, right
        lines.append(before.count("\n") + 1)
        text = text.replace(right, wrong, 1)
    (sources / BUILDER).write_text(text)
    found = faults_found(OLDEST, sources, cache / OLDEST)
    for line in lines:
        assert f"{BUILDER}:{line}: error" in found


def test_a_precision_flag_is_a_fault_from_11_on(tmp_path: Path, cache: Path) -> None:
    sources = copied(tmp_path)
    text = (sources / BUILDER).read_text()
    (sources / BUILDER).write_text(
        text.replace("BuilderFlag.VERSION_COMPATIBLE", "BuilderFlag.FP16")
    )
    assert faults_found(OLDEST, sources, cache / OLDEST) == ""
    newest = list(PACKAGES)[-1]
    assert '"type[BuilderFlag]" has no attribute "FP16"' in faults_found(
        newest, sources, cache / newest
    )


def test_lint_checks_our_code_with_the_stub_of_the_oldest_recording() -> None:
    assert STUB.read_text() == stub(recording(OLDEST))


@pytest.mark.parametrize("version", PACKAGES)
def test_the_recording_is_what_the_binding_says(version: str) -> None:
    if not (CACHE / version).is_dir():
        pytest.skip(f"TensorRT's bindings are not in {CACHE}: make tensorrt-bindings fetches them")
    assert json.dumps(record(version), sort_keys=True) == json.dumps(
        recording(version), sort_keys=True
    )


def test_a_signature_takes_its_arguments_by_name_and_refuses_others() -> None:
    signature = parse("(self: A, shapes: List[Dims], limit: int = <X.Y: 0>) -> bool")
    assert signature.returns == "bool"
    assert signature.bind(([],), {"limit": 2}) == {"shapes": [], "limit": 2}
    assert signature.bind((), {"shapes": []}) == {"shapes": []}
    for args, kwargs in (((), {}), (([],), {"limits": 2}), (([], 1, 2), {})):
        with pytest.raises(TypeError):
            signature.bind(args, kwargs)
