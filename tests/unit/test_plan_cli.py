"""``omnilive plan``: what it prints, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes_pack import write_pack
from omnilive.cli.main import main
from omnilive.engine.manifest import ENGINE_NAMES
from omnilive.errors import ConfigError, FitError, PackError


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    write_pack(folder)
    return folder


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A configured rate, so that nothing is measured; a context that leaves room for a prompt."""
    file = tmp_path / "quick.toml"
    file.write_text("[memory_budget]\ngflops = 100.0\n[reasoning]\ncontext_tokens = 60\n")
    return file


def plan(pack: Path, config: Path, *options: str) -> int:
    return main(["plan", "--pack", str(pack), "--config", str(config), *options])


def test_a_pack_that_fits_gives_a_table_a_verdict_and_exit_code_0(
    pack: Path, quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(pack, quick, "--budget", "64GiB") == 0
    printed = capsys.readouterr().out
    for name in ENGINE_NAMES:
        assert f"\n{name}" in printed
    assert "\nFits.\nNext cheaper: " in printed
    assert " 64.0 GiB (budget)" in printed
    assert "at 100 GFLOPS" in printed
    assert max(len(line) for line in printed.splitlines()) <= 100


def test_a_pack_that_does_not_fit_gives_its_own_exit_code_and_what_is_cheaper(
    pack: Path, quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(pack, quick, "--budget", "1MiB") == FitError.exit_code != 0
    printed = capsys.readouterr().out
    assert "Does not fit: needs " in printed
    assert "store.max_short_term_clips = " in printed
    assert "It does not fit with all of them" in printed


def test_json_holds_the_same_plan_for_programs(
    pack: Path, quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(pack, quick, "--budget", "1MiB", "--json") == FitError.exit_code
    data = json.loads(capsys.readouterr().out)
    assert data["fits"] is False
    assert data["host"]["limit_bytes"] == 2**20
    engines = sum(row["total_bytes"] for row in data["engines"])
    stores = sum(row["bytes"] for row in data["stores"])
    assert data["host"]["needed_bytes"] == engines + stores + data["host"]["process_bytes"]
    assert {row["engine"] for row in data["engines"]} == set(ENGINE_NAMES)
    assert data["answer"]["gflops"] == 100.0
    assert data["cheaper"][-1]["host"] < data["host"]["needed_bytes"]


def test_planning_reads_the_manifest_alone(
    tmp_path: Path, quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pack(tmp_path / "pack")
    for file in (tmp_path / "pack").rglob("*.*"):
        if file.name != "manifest.json":
            file.unlink()
    assert plan(tmp_path / "pack", quick, "--budget", "64GiB") == 0
    assert "Fits." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--frame", "big"], ConfigError),
        (["--frame", "0x10"], ConfigError),
        (["--budget", "lots"], ConfigError),
        (["--device-budget", "lots"], ConfigError),
    ],
)
def test_an_argument_that_cannot_be_used_is_one_line(
    pack: Path,
    quick: Path,
    options: list[str],
    error: type[ConfigError],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert plan(pack, quick, *options) == error.exit_code
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_that_is_no_pack_is_one_line(
    tmp_path: Path, quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(tmp_path, quick) == PackError.exit_code
    assert "no engine pack" in capsys.readouterr().err
