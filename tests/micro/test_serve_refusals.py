"""What ``omnilive serve`` refuses before it serves, and in which order it looks."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

from omnilive.cli.main import main
from omnilive.engine.manifest import MANIFEST_NAME
from omnilive.errors import FitError, PackError, SetupError


def settings(folder: Path, text: str) -> str:
    file = folder / "omnilive.toml"
    file.write_text(f'[service]\nstate = "{folder / "state"}"\n{text}', encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("files", [False, True])
def test_a_service_past_its_budget_is_refused_before_the_files_of_the_pack_are_looked_at(
    micro_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], files: bool
) -> None:
    pack = micro_pack
    if not files:
        pack = tmp_path / "bare"
        pack.mkdir()
        shutil.copy(micro_pack / MANIFEST_NAME, pack)
    tight = settings(tmp_path, '[memory_budget]\nhost = "100MiB"\n')
    assert main(["serve", "--config", tight, "--pack", str(pack)]) == FitError.exit_code
    assert "of host memory of 100.0 MiB (budget)" in capsys.readouterr().err


def test_a_bare_manifest_that_fits_is_refused_for_its_files(
    micro_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(micro_pack / MANIFEST_NAME, tmp_path)
    config = settings(tmp_path, "")
    assert main(["serve", "--config", config, "--pack", str(tmp_path)]) == PackError.exit_code
    assert "is missing" in capsys.readouterr().err


def test_a_pack_that_missed_its_accuracy_is_served_only_when_told_to(
    micro_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = tmp_path / "pack"
    shutil.copytree(micro_pack, pack, symlinks=True)
    manifest = json.loads((pack / MANIFEST_NAME).read_text(encoding="utf-8"))
    missed = {"passed": False, "cosine": 0.5, "tolerance": {"cosine": 0.9}, "top1": None}
    manifest["engines"]["vlm_lm"]["accuracy"] = missed
    (pack / MANIFEST_NAME).write_text(json.dumps(manifest), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:  # where a service that opened it fails
        command = ["serve", "--config", settings(tmp_path, ""), "--pack", str(pack)]
        command += ["--port", str(taken.getsockname()[1])]
        assert main(command) == PackError.exit_code
        assert "--allow-inaccurate" in capsys.readouterr().err
        assert main([*command, "--allow-inaccurate"]) == SetupError.exit_code
        assert "cannot be listened on" in capsys.readouterr().err
        told = settings(tmp_path, "allow_inaccurate = true\n")
        assert main([*command, "--config", told]) == SetupError.exit_code
