"""What runs here is told to nobody: onnxruntime keeps no id of the device and no events to send."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fakes_pack import write_pack

RUN_AN_ENGINE = """
import sys
from pathlib import Path
import {first}
from omnilive.engine.pack import open_pack
pack = open_pack(Path(sys.argv[1]), threads=1)
pack.warm_up()
pack.close()
"""

SUPPRESSING = (
    "CI",
    "TF_BUILD",
    "GITHUB_ACTIONS",
    "ORT_RUNNING_UNIT_TESTS",
    "ORT_DISABLE_TELEMETRY",
)
"""What in a test's own environment would hide that something is reported."""


@pytest.mark.parametrize("first", ["omnilive", "omnilive_export.quantizing.observing"])
def test_running_an_engine_leaves_nothing_in_the_users_folder(tmp_path: Path, first: str) -> None:
    home, pack = tmp_path / "home", tmp_path / "pack"
    home.mkdir()
    pack.mkdir()
    write_pack(pack)
    environment = {k: v for k, v in os.environ.items() if k not in SUPPRESSING}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    said = subprocess.run(
        [sys.executable, "-c", RUN_AN_ENGINE.format(first=first), str(pack)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.returncode == 0, said.stderr
    assert [str(path) for path in home.rglob("*") if path.is_file()] == []
