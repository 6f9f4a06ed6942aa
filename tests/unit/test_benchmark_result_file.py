"""What a benchmark found is kept, or it is said in one line why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from result_file import keep_result


def test_a_result_is_written_into_a_folder_that_is_made_for_it(tmp_path: Path) -> None:
    file = tmp_path / "new" / "found.json"
    assert keep_result("lanes.py", file, {"p50": 1.5}) == 0
    assert json.loads(file.read_text(encoding="utf-8")) == {"p50": 1.5}


def test_a_place_that_cannot_be_written_is_one_line_and_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keep_result("lanes.py", tmp_path, {}) == 8
    error = capsys.readouterr().err
    assert error.startswith(f"lanes.py: {tmp_path}: ")
    assert error.count("\n") == 1
