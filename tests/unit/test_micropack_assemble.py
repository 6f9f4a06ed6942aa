"""A whole checkpoint is put together of trained folders and, where there is none, seeded ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnilive_micropack import train
from omnilive_micropack.assemble import main
from omnilive_micropack.checkpoint import FOLDERS
from omnilive_micropack.seeds import TEST_SEEDS


def _is_trained(folder: Path) -> bool:
    return bool(json.loads((folder / "config.json").read_text())["omnilive_trained"])


def test_trained_folders_are_taken_whole_and_the_others_are_seeded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio = tmp_path / "trained" / "audio"
    audio.mkdir(parents=True)
    (audio / "config.json").write_text('{"omnilive_trained": true}')
    (audio / "weights").write_bytes(b"learned")
    out = tmp_path / "out"
    assert main(["--trained", str(tmp_path / "trained"), "--out", str(out)]) == 0
    assert {name: _is_trained(out / name) for name in FOLDERS} == {
        "base": False,
        "memory": False,
        "audio": True,
    }
    assert sorted(f.name for f in (out / "audio").iterdir()) == ["config.json", "weights"]
    assert "trained audio, seeded base, memory" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    assert main(["--trained", str(tmp_path), "--out", str(blocker)]) == 8
    assert "--out" in capsys.readouterr().err


def test_training_refuses_seeds_that_measurements_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.main(["--stage", "asr", "--out", "nowhere", "--seed", str(TEST_SEEDS.start)])
    assert "training seeds" in capsys.readouterr().err
