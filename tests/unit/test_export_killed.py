"""Builds that are killed or refused by the disk: what was there before is whole afterwards."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export_checkpoints import micro_checkpoint
from omnilive.engine.pack import open_pack
from omnilive_export.cli import main
from omnilive_export.pack import partial_pack

ROOT = Path(__file__).resolve().parents[2]

KILLED_AT_A_CALL = """
import os, signal, sys

calls = limit = 0

def count(frame, event, argument):
    global calls
    if event == "call" and "omnilive_export" in frame.f_code.co_filename:
        calls += 1
        if calls == limit:
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    from omnilive_export.cli import main
    limit = int(sys.argv.pop(1))
    sys.setprofile(count)
    code = main()
    sys.setprofile(None)
    print(calls, file=sys.stderr)
    sys.exit(code)
"""


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "micro"
    assert main(["--checkpoint", str(micro_checkpoint()), "--out", str(out)]) == 0
    return out


def arguments(out: Path) -> list[str]:
    return ["--checkpoint", str(micro_checkpoint()), "--out", str(out), "--precision", "int8"]


def whole(out: Path) -> str:
    """The precision of a pack whose every file has its hash."""
    opened = open_pack(out, threads=1)
    opened.close()
    return opened.manifest.precision


def test_a_build_killed_at_any_moment_never_leaves_a_half_pack(tmp_path: Path, pack: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED_AT_A_CALL)
    paths = os.pathsep.join((str(ROOT / "runtime"), str(ROOT / "export")))

    def run(out: Path, limit: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(script), str(limit), *arguments(out)],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
        )

    done = run(tmp_path / "first" / "micro", 0)
    assert done.returncode == 0, done.stderr
    calls = int(done.stderr.split()[-1])
    out = tmp_path / "packs" / "micro"
    shutil.copytree(pack, out)
    codes = []
    for limit in random.Random(0).sample(range(1, calls + 1), 4):
        codes.append(run(out, limit).returncode)
        assert whole(out) in ("int4", "int8")
    assert set(codes) <= {0, -signal.SIGKILL}
    assert -signal.SIGKILL in codes
    with partial_pack(out, waiting=lambda: None):
        pass
    assert [p.name for p in out.parent.iterdir()] == ["micro"]


def test_a_disk_that_refuses_leaves_the_old_pack_whole_and_says_what_to_do(
    tmp_path: Path, pack: Path
) -> None:
    out = tmp_path / "packs" / "micro"
    shutil.copytree(pack, out)
    command = [sys.executable, str(ROOT / "export" / "build_engines.py"), *arguments(out)]
    # The kernel refuses files over 512 KiB to this process and its children.
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 512; exec "$@"', "limited", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6, done.stderr
    assert "cannot be built (File too large" in done.stderr
    assert "a pack that was there is untouched" in done.stderr
    assert whole(out) == "int4"
    assert [p.name for p in out.parent.iterdir()] == ["micro"]
