from __future__ import annotations

import dataclasses
import errno
import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export_checkpoints import checkpoint_with, micro_checkpoint
from omnilive.engine.manifest import MANIFEST_NAME, Manifest, from_json
from omnilive.engine.pack import open_pack
from omnilive.errors import BuildError, CheckpointError, SetupError
from omnilive_export import build as building
from omnilive_export.build import BuildRequest, build_pack, check_accuracy, write_in_child
from omnilive_export.cli import main
from omnilive_export.disk import check_space
from omnilive_export.graphs.weight_file import HashedFile
from omnilive_export.pack import partial_pack
from omnilive_export.precision import pack_precision
from omnilive_export.progress import PlainView

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(ROOT / "export" / "build_engines.py")]


def request(checkpoint: Path, out: Path, precision: str = "int4") -> BuildRequest:
    return BuildRequest(
        checkpoint=checkpoint,
        out=out,
        precision=pack_precision(precision, block=32),
        backend="ort",
        verify=False,
        allow_inaccurate=False,
    )


def build(out: Path, checkpoint: Path | None = None) -> Manifest:
    return build_pack(request(checkpoint or micro_checkpoint(), out), PlainView(io.StringIO()))


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "micro"
    build(out)
    return out


def read(pack: Path) -> Manifest:
    return from_json((pack / MANIFEST_NAME).read_text(), pack=pack)


def test_a_built_pack_opens_with_every_hash_checked(pack: Path) -> None:
    opened = open_pack(pack, threads=1)
    assert opened.manifest.trained is False
    opened.close()


def test_a_manifest_records_what_was_read_and_what_it_cost(pack: Path) -> None:
    manifest = read(pack)
    assert {"memory/config.json", "audio/merges.txt", "base/tokenizer.model"} <= set(
        manifest.source
    )
    assert all(len(digest) == 64 for digest in manifest.source.values())
    assert manifest.build["block_size"] == 32
    assert 0 < manifest.build["peak_rss_bytes"] < 1 << 30
    assert manifest.fingerprint["backends"]["onnxruntime"]
    assert {e.precision["blocks"] for e in manifest.engines.values() if e.kv} == {"int4"}


def test_two_builds_of_one_checkpoint_are_the_same_bytes(pack: Path, tmp_path: Path) -> None:
    again = build(tmp_path / "micro")
    first = read(pack)
    assert again.all_files() == first.all_files()
    timeless = [
        dataclasses.replace(
            m,
            build={},
            engines={n: dataclasses.replace(e, build_seconds=0) for n, e in m.engines.items()},
        )
        for m in (first, from_json((tmp_path / "micro" / MANIFEST_NAME).read_text(), pack=pack))
    ]
    assert timeless[0] == timeless[1]


NO_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""


def test_the_command_builds_where_torch_is_not_installed(tmp_path: Path) -> None:
    # Every process of the build starts by reading this file.
    (tmp_path / "sitecustomize.py").write_text(NO_TORCH)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    out = tmp_path / "micro"
    blocked = subprocess.run([sys.executable, "-c", "import torch"], env=environment, check=False)
    assert blocked.returncode != 0
    done = subprocess.run(
        [*COMMAND, "--checkpoint", str(micro_checkpoint()), "--out", str(out)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(read(out).engines) == 8
    assert "8 engines" in done.stdout
    assert "vlm_lm (" in done.stderr


KILLED = """
import os, signal, sys
from pathlib import Path
import omnilive_export.build, omnilive_export.pack

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def after(function):
    def wrapped(*args, **kwargs):
        function(*args, **kwargs)
        die()
    return wrapped

where = sys.argv.pop(1)
if where == "before writing":
    omnilive_export.build.run_in_child = die
elif where == "after writing":
    omnilive_export.build.run_in_child = after(omnilive_export.build.run_in_child)
elif where == "before renaming":
    omnilive_export.pack._exchange = die
elif where == "after renaming":
    omnilive_export.pack._exchange = after(omnilive_export.pack._exchange)
if __name__ == "__main__":
    from omnilive_export.cli import main
    sys.exit(main())
"""


@pytest.mark.parametrize(
    "where", ("before writing", "after writing", "before renaming", "after renaming")
)
def test_a_killed_build_leaves_a_whole_pack_and_the_next_one_cleans_up(
    tmp_path: Path, pack: Path, where: str
) -> None:
    out = tmp_path / "micro"
    shutil.copytree(pack, out)
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    arguments = ["--checkpoint", str(micro_checkpoint()), "--out", str(out), "--precision", "fp32"]
    paths = os.pathsep.join((str(ROOT / "runtime"), str(ROOT / "export")))
    done = subprocess.run(
        [sys.executable, str(script), where, *arguments],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    left = open_pack(out, threads=1)
    assert left.manifest.precision == ("fp32" if where == "after renaming" else "int4")
    left.close()
    with partial_pack(out, waiting=lambda: None):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["killed.py", "micro"]


def test_a_disk_that_fills_up_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = HashedFile.write

    def full(self: HashedFile, data: bytes | memoryview) -> None:
        if self.size > 100_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, data)

    monkeypatch.setattr(HashedFile, "write", full)
    folder = tmp_path / "partial"
    folder.mkdir()
    with pytest.raises(BuildError, match="not enough disk space") as raised:
        write_in_child(
            lambda kind, content: None, request(micro_checkpoint(), tmp_path / "out"), folder
        )
    assert raised.value.where == str(tmp_path / "out")


def test_a_pack_that_cannot_fit_is_refused_before_it_is_begun(tmp_path: Path) -> None:
    check_space(1, tmp_path, tmp_path / "out")
    with pytest.raises(BuildError, match=r"[\d.]+ GiB are needed, [\d.]+ GiB are free"):
        check_space(1 << 60, tmp_path, tmp_path / "out")


def test_an_error_in_the_child_arrives_whole_and_leaves_nothing(tmp_path: Path) -> None:
    bent = checkpoint_with(tmp_path, "memory/config.json", lambda c: c.pop("hidden_size"))
    out = tmp_path / "packs" / "micro"
    with pytest.raises(CheckpointError, match="'hidden_size' is missing") as raised:
        build(out, bent)
    assert raised.value.where == str(bent / "memory" / "config.json")
    assert list(out.parent.iterdir()) == []


def test_an_odd_tokenizer_is_found_before_any_weight_is_written(tmp_path: Path) -> None:
    bent = checkpoint_with(tmp_path, "memory/config.json", lambda c: None)
    (bent / "audio" / "merges.txt").unlink()
    folder = tmp_path / "partial"
    folder.mkdir()
    stages = []
    with pytest.raises(CheckpointError, match=r"merges\.txt: is missing"):
        write_in_child(
            lambda kind, content: stages.append(content) if kind == "stage" else None,
            request(bent, tmp_path / "out"),
            folder,
        )
    assert stages == ["tokenizers"]


def test_verification_without_its_extra_is_refused_before_building(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "REQUIRED", ("no_such_module_anywhere",))
    asked = dataclasses.replace(request(micro_checkpoint(), tmp_path / "out"), verify=True)
    with pytest.raises(SetupError, match="no_such_module_anywhere not installed"):
        build_pack(asked, PlainView(io.StringIO()))
    assert list(tmp_path.iterdir()) == []


def test_a_missed_tolerance_fails_the_build_with_its_figures() -> None:
    good = {"passed": True, "cosine": 1.0, "tolerance": {"cosine": 0.99}}
    bad = {"passed": False, "cosine": 0.5, "tolerance": {"cosine": 0.99}}
    check_accuracy({"mem_vit": good}, Path("out"))
    with pytest.raises(
        BuildError, match=r"engine mem_lm missed its tolerance: cosine 0\.5 \(tolerance 0\.99\)"
    ):
        check_accuracy({"mem_vit": good, "mem_lm": bad}, Path("out"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--checkpoint", "nowhere", "--out", "x"], 5, "nowhere: is not a folder"),
        (["--out", "x"], 2, "--checkpoint"),
        (["--checkpoint", "nowhere", "--out", "x", "--precision", "int3"], 2, "int3"),
        (
            ["--checkpoint", "nowhere", "--out", "x", "--precision", "int8", "--asymmetric"],
            2,
            "--asymmetric goes with --precision int4",
        ),
    ],
)
def test_bad_arguments_end_in_one_line_and_a_code(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
