"""What a build can measure of its pack, and what it refuses to, at the command's door."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from export_checkpoints import micro_checkpoint
from omnilive.errors import ConfigError, SetupError
from omnilive_export import quality_table
from omnilive_export.cli import main


def build(out: Path, *flags: str) -> int:
    return main(["--checkpoint", str(micro_checkpoint()), "--out", str(out), *flags])


@pytest.mark.parametrize("flag", ["--accuracy", "--quality"])
def test_graphs_of_tensorrt_are_not_measured_and_the_flag_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    flags = ("--backend", "tensorrt", "--onnx-only", flag)
    assert build(tmp_path / "out", *flags) == ConfigError.exit_code
    assert flag in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_pack_of_tensorrt_graphs_says_why_it_has_no_record(tmp_path: Path) -> None:
    assert build(tmp_path / "out", "--recipe", "jetson-tensorrt", "--onnx-only") == 0
    told = json.loads((tmp_path / "out" / "manifest.json").read_text())["build"]["accuracy"]
    assert told["measured"] is False and "ort" in told["reason"]


@pytest.mark.parametrize("chosen", [("--backend", "tensorrt"), ("--recipe", "jetson-tensorrt")])
def test_a_device_of_onnxruntime_is_refused_where_tensorrt_is_built_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], chosen: tuple[str, str]
) -> None:
    flags = (*chosen, "--onnx-only", "--device", "cuda")
    assert build(tmp_path / "out", *flags) == ConfigError.exit_code
    assert "--device" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_noise_has_no_quality_to_measure_and_is_not_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(tmp_path / "out", "--quality") == ConfigError.exit_code
    assert "trained" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_a_checkout_a_quality_table_is_refused_before_the_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality_table, "BENCHMARK", tmp_path / "quality.py")
    assert build(tmp_path / "out", "--quality") == SetupError.exit_code
    assert "--quality" in capsys.readouterr().err
