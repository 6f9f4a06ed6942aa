"""The full-size benchmark: what it measures of processes, its bars, and a run on the miniature."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import full_size
from export_checkpoints import micro_checkpoint
from sizing.bars import GIB, MODELS, Build, bars
from sizing.process_tree import run_measured

MIB = 1 << 20

HOLD = "import sys; held = bytearray(b'x') * (int(sys.argv[1]) << 20); {then}"
AND_A_CHILD = (
    "import subprocess as s; s.run([sys.executable, '-c', sys.argv[2], sys.argv[1]], check=True)"
)
A_MOMENT = "sum(range(10_000_000))"
"""Work that outlasts a sample or two."""


def test_the_peak_counts_every_process_of_a_command_while_it_lives() -> None:
    alone = run_measured([sys.executable, "-c", HOLD.format(then=A_MOMENT), "100"])
    assert alone.code == 0
    assert 100 * MIB <= alone.peak_bytes < 150 * MIB
    child = HOLD.format(then=A_MOMENT)
    both = run_measured([sys.executable, "-c", HOLD.format(then=AND_A_CHILD), "100", child])
    assert both.code == 0
    assert 200 * MIB <= both.peak_bytes < 300 * MIB


def test_memory_given_back_before_anybody_looked_still_counts() -> None:
    ran = run_measured([sys.executable, "-c", HOLD.format(then="del held; " + A_MOMENT), "100"])
    assert ran.peak_bytes >= 100 * MIB


def test_a_command_gives_its_code_and_its_output() -> None:
    ran = run_measured([sys.executable, "-c", "print('x' * 100_000); raise SystemExit(3)"])
    assert (ran.code, len(ran.output)) == (3, 100_001)
    assert ran.seconds > 0


@pytest.mark.parametrize(
    ("seconds", "gib", "met"), [(240, 3, True), (241, 3, False), (9, 3.1, False)]
)
def test_a_bar_is_met_up_to_its_limit(seconds: float, gib: float, met: bool) -> None:
    held = bars({"memory": Build(seconds, round(gib * GIB))})
    assert len(held) == 2
    assert all(bar.met for bar in held) is met


def test_the_bar_of_all_three_is_held_only_where_all_three_were_built() -> None:
    builds = {model: Build(201, GIB) for model in MODELS}
    (missed,) = [bar for bar in bars(builds) if not bar.met]
    assert (missed.name, missed.value, missed.limit) == ("all three: build seconds", 603, 600)
    del builds["audio"]
    assert all(bar.met for bar in bars(builds))


def test_every_model_of_a_checkpoint_is_built_used_measured_and_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--checkpoint", str(micro_checkpoint()), "--work", str(tmp_path / "work")]
    arguments += ["--threads", "1", "--check", "--json", str(tmp_path / "out.json")]
    assert full_size.main(arguments) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert list(result["models"]) == list(MODELS)
    for model in result["models"].values():
        assert 0 < model["pack_bytes"] < model["checkpoint_bytes"]
        assert model["build"]["peak_bytes"] > 40 * MIB < model["use"]["peak_bytes"]
    assert result["models"]["memory"]["use"]["memory_rows"] == 16 * 4
    base = result["models"]["base"]["use"]
    assert (base["prompt_tokens"], base["new_tokens"]) == (512, 32)
    assert base["tokens_per_s"] == pytest.approx(32 / base["decode_s"], rel=0.05)
    assert len(result["bars"]) == 5
    assert "all three: build seconds" in capsys.readouterr().out
    assert list((tmp_path / "work").iterdir()) == []
    assert (micro_checkpoint() / "base" / "config.json").is_file()


def test_a_build_that_fails_is_one_error_and_leaves_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "given" / "memory").mkdir(parents=True)
    arguments = ["--checkpoint", str(tmp_path / "given"), "--work", str(tmp_path / "work")]
    assert full_size.main([*arguments, "--only", "memory"]) == 6
    said = capfd.readouterr().err
    assert "build_engines: " in said
    assert "full_size.py: build of memory: failed (exit code 5)" in said
    assert list((tmp_path / "work").iterdir()) == []
    assert full_size.main([*arguments, "--only", "base"]) == 5
    assert "has no base/" in capfd.readouterr().err
