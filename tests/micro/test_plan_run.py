"""A run past its memory budget is refused before anything is loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from runs import Refused

from omnilive.cli.main import main
from omnilive.engine.manifest import MANIFEST_NAME
from omnilive.errors import FitError


@pytest.fixture
def tight(tmp_path: Path) -> Path:
    """A budget that no session keeps."""
    file = tmp_path / "tight.toml"
    file.write_text('[memory_budget]\nhost = "100MiB"\ngflops = 50.0\n')
    return file


def test_a_run_past_its_budget_is_refused_and_writes_nothing(
    refused: Refused, micro_pack: Path, tight: Path
) -> None:
    code, error = refused(micro_pack, "--config", str(tight))
    assert code == FitError.exit_code
    assert "of host memory of 100.0 MiB (budget)" in error
    assert "omnilive plan" in error or "[memory_budget]" in error


def test_a_run_past_its_budget_is_refused_before_the_files_of_the_pack_are_looked_at(
    refused: Refused, micro_pack: Path, tight: Path, tmp_path: Path
) -> None:
    (tmp_path / "bare").mkdir()
    shutil.copy(micro_pack / MANIFEST_NAME, tmp_path / "bare")
    code, error = refused(tmp_path / "bare", "--config", str(tight))
    assert code == FitError.exit_code, error


def test_the_plan_of_the_same_configuration_says_the_same(
    micro_pack: Path, tight: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["plan", "--pack", str(micro_pack), "--config", str(tight)])
    assert code == FitError.exit_code
    assert "Does not fit: needs " in capsys.readouterr().out
