"""`build_engines.py --backend tensorrt` with a fake TensorRT in the children that build."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from export_checkpoints import micro_checkpoint
from omnilive.engine.files import check_files
from omnilive.engine.manifest_file import read_partial_manifest
from omnilive.errors import ConfigError
from omnilive_export.cli import main

VERSION = "10.13.3.9"
ENGINES = ("mem_vit", "mem_proj", "mem_lm")


@pytest.fixture(scope="module")
def memory_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the compressor alone: few engines, so few children."""
    folder = tmp_path_factory.mktemp("checkpoint")
    shutil.copytree(micro_checkpoint() / "memory", folder / "memory")
    return folder


def install(folder: Path, world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package ``tensorrt`` that is the fake, for this process and its children."""
    package = folder / "site" / "tensorrt"
    package.mkdir(parents=True)
    lines = (
        "import sys",
        "from tensorrt_fake import FakeTensorrt, World",
        f"sys.modules[__name__] = FakeTensorrt({VERSION!r}, World({world}))",
    )
    (package / "__init__.py").write_text("\n".join(lines))
    paths = (str(package.parent), str(Path(__file__).parent))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.syspath_prepend(package.parent)


def build(checkpoint: Path, out: Path, *more: str) -> int:
    options = ("--backend", "tensorrt", *more)
    return main(["--checkpoint", str(checkpoint), "--out", str(out), *options])


def test_a_pack_holds_plans_in_place_of_graphs_and_the_cache_is_kept(
    memory_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "", monkeypatch)
    out, cache = tmp_path / "pack", tmp_path / "cache"
    assert build(memory_only, out, "--timing-cache", str(cache), "--builder-memory", "1.5") == 0
    manifest = read_partial_manifest(out)
    assert tuple(manifest.engines) == tuple(sorted(ENGINES))
    for name, info in manifest.engines.items():
        assert [path.name for path in (out / name).iterdir()] == ["model.plan"]
        assert (info.backend, info.model) == ("tensorrt", f"{name}/model.plan")
    assert (out / "mem_lm/model.plan").read_text() == "plan of 2 profiles"
    assert manifest.engines["mem_lm"].precision == {"blocks": "int4"}
    assert manifest.engines["mem_vit"].precision == {"encoder": "fp16"}
    check_files(manifest.all_files(), out, verify_hashes=True)
    assert cache.read_bytes() == b"+measured" * len(ENGINES)


def test_a_build_that_tensorrt_ends_leaves_the_old_pack_and_says_why(
    memory_only: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "pack"
    assert build(memory_only, out, "--onnx-only") == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    install(tmp_path, "parser_errors=('no such operator',)", monkeypatch)
    assert build(memory_only, out) == 6
    assert "TensorRT does not read it: Add 'node': no such operator" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.glob(".pack*")] == []


def test_without_tensorrt_only_the_graphs_can_be_written(
    memory_only: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pack"
    assert build(memory_only, out) == 9
    assert "--onnx-only" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--verify",), "cannot be compared"),
        (("--asymmetric",), "no zero points"),
        (("--block-size", "32"), "64 or 128 values, not 32"),
        (("--builder-memory", "-1"), "no memory to build in"),
    ],
)
def test_what_tensorrt_cannot_do_is_refused_before_anything_is_read(
    more: tuple[str, ...],
    reason: str,
    memory_only: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert build(memory_only, tmp_path / "pack", *more) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    "given",
    [
        ("--builder-memory", "2"),
        ("--timing-cache", "kernels"),
        ("--hardware", "this-gpu"),
        ("--version-compatible",),
        ("--onnx-only",),
    ],
)
def test_an_option_of_tensorrt_is_refused_for_another_backend(
    tmp_path: Path, given: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pack"
    line = ["--checkpoint", str(tmp_path), "--out", str(out), "--backend", "ort", *given]
    assert main(line) == ConfigError.exit_code
    assert f"{given[0]}: does nothing without --backend tensorrt" in capsys.readouterr().err
    assert not out.exists()
