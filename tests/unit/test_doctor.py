"""``omnilive doctor``: every finding on a line, and a mend for what is missing."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from fakes_pack import with_engine, write_pack
from omnilive._native import instruction_sets
from omnilive.cli import doctor, main
from omnilive.engine.backends import BackendState
from omnilive.engine.config import EngineConfig
from omnilive.engine.manifest import Manifest
from omnilive.errors import EngineError, SetupError


def test_a_pipe_gets_one_whole_line_for_each_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.doctor(None) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.split()[0] in ("ok", "note", "missing") for line in lines)
    assert not any(line.endswith(" ") for line in lines)
    topics = [line[8:26].strip() for line in lines]
    for topic in ("omnilive", "memory", "native core", "backend ort", "voice", "codecs"):
        assert topic in topics
    core = lines[topics.index("native core")]
    assert f"kernels for {instruction_sets()[0]}" in core


def test_a_pack_that_is_none_is_named_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SetupError, match="lacks pack"):
        doctor.doctor(str(tmp_path / "none"))
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("missing"))
    assert str(tmp_path / "none") in line
    assert "is not a folder" in line
    assert "→ Name the folder of an engine pack, or build one: python export/" in line


def test_a_library_that_is_not_installed_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = importlib.metadata.version

    def without_soxr(package: str) -> str:
        if package == "soxr":
            raise importlib.metadata.PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(importlib.metadata, "version", without_soxr)
    with pytest.raises(SetupError, match="lacks soxr"):
        doctor.doctor(None)
    out = capsys.readouterr().out
    assert "not installed: resampling → pip install soxr" in out


def test_a_terminal_that_cannot_show_a_character_gets_a_question_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert main.main(["doctor", "--pack", str(tmp_path)]) == SetupError.exit_code
    sys.stdout.flush()
    assert b"? Name the folder of an engine pack" in raw.getvalue()


def lines_about(topic: str, out: str) -> list[str]:
    return [line for line in out.splitlines() if line[8:26].strip() == topic]


def test_a_backend_is_ok_only_where_it_loads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "10.3" if name == "tensorrt" else version(name)
    )
    assert doctor.doctor(None) == 0
    (line,) = lines_about("backend tensorrt", capsys.readouterr().out)
    assert line.startswith("note")
    assert "cannot be loaded (" in line
    assert "pip install tensorrt cuda-python" in line


def test_a_backend_without_a_device_is_no_backend_to_run_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    states = (
        BackendState("ort", True, "1.2", ("CPUExecutionProvider", "AzureExecutionProvider")),
        BackendState("tensorrt", True, "10.3.0", ()),
    )
    monkeypatch.setattr(doctor, "backend_states", lambda: states)
    assert doctor.doctor(None) == 0
    out = capsys.readouterr().out
    assert lines_about("backend ort", out) == ["ok      backend ort       1.2 runs on CPU"]
    (line,) = lines_about("backend tensorrt", out)
    assert line.startswith("note") and "10.3.0 loads, but there is no device for it" in line


ON_CPU = BackendState("ort", True, "1.2", ("CPUExecutionProvider",))
ON_GPU = BackendState("ort", True, "1.2", ("CUDAExecutionProvider", "CPUExecutionProvider"))
NO_TENSORRT = BackendState("tensorrt", False, "", (), "no such library", "pip install tensorrt")
TENSORRT_ALONE = BackendState("tensorrt", True, "10.3.0", ())


def for_cuda(manifest: Manifest) -> Manifest:
    return dataclasses.replace(manifest, build={"arguments": ["--device", "cuda"]})


def for_tensorrt(manifest: Manifest) -> Manifest:
    return with_engine(manifest, "vlm_lm", backend="tensorrt")


@pytest.mark.parametrize(
    ("edit", "device", "states", "fact"),
    [
        (None, "cuda", (ON_CPU, NO_TENSORRT), "engine.device = cuda asks for a GPU, but this"),
        (for_cuda, "", (ON_CPU, NO_TENSORRT), "built with --device cuda, asks for a GPU, but this"),
        (for_cuda, "cpu", (ON_GPU, NO_TENSORRT), "asks for a GPU, but engine.device is cpu"),
        (for_tensorrt, "", (ON_CPU, NO_TENSORRT), "which cannot be loaded (no such library)"),
        (for_tensorrt, "", (ON_CPU, TENSORRT_ALONE), "asks for tensorrt, but there is no device"),
    ],
)
def test_a_gpu_that_is_asked_for_and_not_there_is_an_error(
    edit: Callable[[Manifest], Manifest] | None,
    device: str,
    states: tuple[BackendState, ...],
    fact: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["doctor"]
    if edit:
        (tmp_path / "pack").mkdir()
        write_pack(tmp_path / "pack", edit=edit)
        arguments += ["--pack", str(tmp_path / "pack")]
    if device:
        file = tmp_path / "omnilive.toml"
        file.write_text(f'[engine]\ndevice = "{device}"\n', encoding="utf-8")
        arguments += ["--config", str(file)]
    monkeypatch.setattr(doctor, "backend_states", lambda: states)
    assert main.main(arguments) == SetupError.exit_code
    (line,) = lines_about("gpu as asked", capsys.readouterr().out)
    assert line.startswith("missing") and fact in line and " → " in line


def test_a_provider_that_is_listed_and_does_not_start_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def not_started(config: EngineConfig, ranks: object) -> None:
        raise EngineError("took the CPU", where="engine mem_proj", mend="Check the driver.")

    monkeypatch.setitem(
        sys.modules, "omnilive.backends.cuda_lanes", SimpleNamespace(DeviceLanes=not_started)
    )
    write_pack(tmp_path, edit=for_cuda)
    monkeypatch.setattr(doctor, "backend_states", lambda: (ON_GPU, NO_TENSORRT))
    with pytest.raises(SetupError, match="lacks gpu as asked"):
        doctor.doctor(str(tmp_path))
    (line,) = lines_about("gpu as asked", capsys.readouterr().out)
    assert line.startswith("missing") and "engine mem_proj: took the CPU" in line


def test_nothing_is_said_of_a_gpu_that_nobody_asks_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pack(tmp_path)
    assert doctor.doctor(str(tmp_path)) == 0
    assert lines_about("gpu as asked", capsys.readouterr().out) == []
