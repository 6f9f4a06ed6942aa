from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from omnilive.errors import BuildError
from omnilive_export import pack
from omnilive_export.pack import check_target, partial_pack, publish


def fill(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(text)
    (folder / "mem_vit").mkdir(exist_ok=True)
    (folder / "mem_vit" / "model.onnx").write_text(text)


def content(folder: Path) -> set[str]:
    return {p.read_text() for p in folder.rglob("*") if p.is_file()}


def build(out: Path, text: str) -> None:
    with partial_pack(out, waiting=lambda: None) as folder:
        fill(folder, text)
        publish(folder, out)


def test_a_published_pack_replaces_the_old_one_and_leaves_nothing_beside_it(
    tmp_path: Path,
) -> None:
    out = tmp_path / "deep" / "micro"
    build(out, "old")
    (out / "calibration.json").write_text("old")
    build(out, "new")
    assert content(out) == {"new"}
    assert [p.name for p in out.parent.iterdir()] == ["micro"]


def test_it_replaces_in_two_steps_where_names_cannot_be_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "_exchange", lambda a, b: False)
    out = tmp_path / "micro"
    build(out, "old")
    build(out, "new")
    assert content(out) == {"new"}
    assert [p.name for p in tmp_path.iterdir()] == ["micro"]


def test_an_empty_folder_may_become_a_pack(tmp_path: Path) -> None:
    out = tmp_path / "micro"
    out.mkdir()
    check_target(out)
    build(out, "new")
    assert content(out) == {"new"}


@pytest.mark.parametrize("kind", ("file", "folder"))
def test_what_is_not_a_pack_is_not_replaced(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "mine"
    if kind == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "thesis.txt").write_text("mine")
    with pytest.raises(BuildError, match="exists and is not an engine pack"):
        check_target(out)


def test_a_failed_build_leaves_the_old_pack_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "micro"
    build(out, "old")
    with pytest.raises(RuntimeError), partial_pack(out, waiting=lambda: None) as folder:
        fill(folder, "half")
        raise RuntimeError
    assert content(out) == {"old"}
    assert [p.name for p in tmp_path.iterdir()] == ["micro"]


def test_what_a_dead_builder_left_is_removed_and_its_old_pack_put_back(tmp_path: Path) -> None:
    out = tmp_path / "micro"
    fill(tmp_path / ".micro.old", "old")
    fill(tmp_path / ".micro.partial-1", "half")
    fill(tmp_path / ".other.partial-1", "of another pack")
    with partial_pack(out, waiting=lambda: None):
        assert content(out) == {"old"}
        assert not (tmp_path / ".micro.partial-1").exists()
        assert (tmp_path / ".other.partial-1").exists()


def test_a_second_builder_of_a_pack_waits_for_the_first(tmp_path: Path) -> None:
    out = tmp_path / "micro"
    waits = threading.Event()
    seen: list[set[str]] = []

    def second() -> None:
        with partial_pack(out, waiting=waits.set):
            seen.append(content(out))

    with partial_pack(out, waiting=lambda: None) as folder:
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(timeout=10)
        fill(folder, "first")
        publish(folder, out)
    thread.join(timeout=10)
    assert seen == [{"first"}]
    assert [p.name for p in tmp_path.iterdir()] == ["micro"]


def test_the_lock_of_a_dead_builder_does_not_hold(tmp_path: Path) -> None:
    lock = tmp_path / ".micro.lock"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.close(descriptor)
    build(tmp_path / "micro", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["micro"]
