"""Builds that are killed or refused by the disk: what was there before is whole afterwards."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export_checkpoints import micro_checkpoint
from omnilive.engine.files import check_files
from omnilive.engine.manifest_file import read_partial_manifest
from omnilive.engine.pack import open_parts
from omnilive.errors import BuildError
from omnilive_export.cli import main

ROOT = Path(__file__).resolve().parents[2]

COUNTING = """
import mmap, os, signal, struct, sys

if "BUILD_CALLS" in os.environ:
    counter = mmap.mmap(os.open(os.environ["BUILD_CALLS"], os.O_RDWR), 8)
    limit = int(os.environ["BUILD_LIMIT"])
    victims = os.environ["BUILD_VICTIMS"]

    def count(frame, event, argument):
        if event == "call" and "omnilive_export" in frame.f_code.co_filename:
            calls = struct.unpack("q", counter)[0] + 1
            counter[:] = struct.pack("q", calls)
            if calls == limit:
                if victims == "all":
                    os.killpg(0, signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
"""
"""Imported by every process of a build when it starts: counts the exporter's calls in all of them,
and at the chosen one ends the process that makes it, or all of them, as ``kill -9`` does."""

MOMENTS = 20


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "micro"
    assert main(["--checkpoint", str(micro_checkpoint()), "--out", str(out)]) == 0
    return out


def arguments(out: Path, checkpoint: Path | None = None) -> list[str]:
    source = checkpoint or micro_checkpoint()
    return ["--checkpoint", str(source), "--out", str(out), "--precision", "int8"]


def whole(out: Path) -> str:
    """The precision of a pack whose every file has its hash."""
    manifest = read_partial_manifest(out)
    check_files(manifest.all_files(), out, verify_hashes=True)
    open_parts(out).close()
    return manifest.precision


@dataclasses.dataclass(frozen=True)
class CountedBuilds:
    """Runs builds whose calls are counted across their processes.

    Attributes:
        folder: for the counter and what every process imports.
        checkpoint: the one built from.
    """

    folder: Path
    checkpoint: Path

    def run(self, out: Path, limit: int, victims: str) -> tuple[int, int]:
        """(exit code, calls made). It returns when no process of the build is left."""
        counter = self.folder / "calls"
        counter.write_bytes(bytes(8))
        (self.folder / "sitecustomize.py").write_text(COUNTING)
        paths = (self.folder, ROOT / "runtime", ROOT / "export")
        done = subprocess.run(
            [sys.executable, "-m", "omnilive_export.cli", *arguments(out, self.checkpoint)],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(map(str, paths)),
                "BUILD_CALLS": str(counter),
                "BUILD_LIMIT": str(limit),
                "BUILD_VICTIMS": victims,
            },
            stdout=subprocess.PIPE,  # held by every process: read to its end, all have ended
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
        )
        return done.returncode, int.from_bytes(counter.read_bytes(), sys.byteorder)


def test_a_build_killed_at_any_moment_never_leaves_a_half_pack(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(micro_checkpoint() / "memory", checkpoint / "memory")
    builds = CountedBuilds(tmp_path, checkpoint)
    old, new = tmp_path / "packs" / "old", tmp_path / "packs" / "new"
    assert main(["--checkpoint", str(checkpoint), "--out", str(old)]) == 0
    code, calls = builds.run(tmp_path / "counted" / "pack", 0, "none")
    assert code == 0
    choose = random.Random(0)
    codes, over_old, over_nothing = set(), set(), set()
    for i in range(MOMENTS):
        # One in each twentieth of the build: of planning, of every engine's weights, of the end.
        moment = choose.randrange(1 + i * calls // MOMENTS, 1 + (i + 1) * calls // MOMENTS)
        victims, out = choose.choice(("one", "all")), choose.choice((old, new))
        codes.add(builds.run(out, moment, victims)[0])
        if out == old:
            over_old.add(whole(old))
        elif new.exists():
            over_nothing.add(whole(new))
            shutil.rmtree(new)
    # Killed, or the parent says that its child was; near the end it may have been done already.
    assert codes <= {0, BuildError.exit_code, -signal.SIGKILL}
    assert {BuildError.exit_code, -signal.SIGKILL} <= codes
    assert over_old <= {"int4", "int8"} and "int4" in over_old
    assert over_nothing <= {"int8"}
    assert builds.run(new, 0, "none")[0] == builds.run(old, 0, "none")[0] == 0
    assert whole(new) == whole(old) == "int8"
    assert sorted(p.name for p in old.parent.iterdir()) == ["new", "old"]


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


FULL_DISK = """
mount -t tmpfs -o size=256m,nr_inodes="$3" none "$1" || exit 77
cp -r "$2" "$1/micro"
shift 3
"$@"
echo "code $?"
"""


def test_a_disk_that_is_full_leaves_the_old_pack_whole_and_says_what_to_do(
    tmp_path: Path, pack: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    out = disk / "micro"
    # Bytes are left, which is looked at before a build begins; files are not: as full, but later.
    room = len(list(pack.rglob("*"))) + 12
    look = (
        f"from test_export_killed import whole; from pathlib import Path; out = Path({str(out)!r});"
        "print(whole(out), sorted(p.name for p in out.parent.iterdir()))"
    )
    build = [sys.executable, str(ROOT / "export" / "build_engines.py"), *arguments(out)]
    script = FULL_DISK + f'exec {sys.executable} -c "$LOOK"'
    paths = (ROOT / "runtime", ROOT / "export", ROOT / "tests" / "unit")
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", script, "full", str(disk), str(pack), str(room), *build],
        env={**os.environ, "LOOK": look, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this system lets nobody mount a small disk")
    assert "the disk became full while writing" in done.stderr, done.stderr
    assert "a pack that was there is untouched" in done.stderr
    code, left = done.stdout.splitlines()[-2:]
    assert (code, left) == ("code 6", "int4 ['micro']")
