"""A pack built for another machine: built again before it loads, or refused with what to do."""

from __future__ import annotations

import json
import logging
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export_checkpoints import micro_checkpoint
from fakes_pack import write_pack
from omnilive.engine import cache_key, rebuild
from omnilive.engine.cache_key import REBUILD
from omnilive.engine.config import EngineConfig
from omnilive.engine.manifest import MANIFEST_NAME
from omnilive.engine.manifest_file import read_manifest
from omnilive.engine.pack import CALIBRATION_NAME, open_pack
from omnilive.engine.rebuild_config import RebuildConfig
from omnilive.errors import ConfigError, PackError, SetupError
from omnilive.systemd import notify
from omnilive_export.cli import main as build_engines

ONE_THREAD = EngineConfig(threads=1)
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "micro"
    arguments = ["--checkpoint", str(micro_checkpoint()), "--out", str(out), "--block-size", "64"]
    assert build_engines(arguments) == 0
    return out


def edited(pack: Path, *edits: Edit) -> None:
    file = pack / MANIFEST_NAME
    raw = json.loads(file.read_text())
    for edit in edits:
        edit(raw)
    file.write_text(json.dumps(raw))


def older(raw: dict[str, Any]) -> None:
    raw["fingerprint"]["key"]["machine"]["backend_version"] = "0.1"


@pytest.fixture
def pack(built: Path, tmp_path: Path) -> Path:
    """A pack that another version of its backend was used for."""
    copy = Path(shutil.copytree(built, tmp_path / "micro"))
    edited(copy, older)
    return copy


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines of the one backend there is are taken to be compiled for its version."""
    policy = {**cache_key.POLICIES["ort"], "backend_version": REBUILD}
    monkeypatch.setattr(cache_key, "POLICIES", {"ort": policy})


def test_another_onnxruntime_is_noted_and_the_pack_loads_unchanged(
    pack: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = (pack / MANIFEST_NAME).read_bytes()
    with caplog.at_level(logging.WARNING):
        open_pack(pack, config=ONE_THREAD).close()
    (note,) = caplog.messages
    assert "version of the backend was 0.1, is " in note
    assert "it loads all the same" in note
    assert (pack / MANIFEST_NAME).read_bytes() == before


def test_a_pack_from_before_keys_loads_with_a_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_pack(tmp_path)
    with caplog.at_level(logging.WARNING):
        open_pack(tmp_path, config=ONE_THREAD).close()
    assert "was built before packs recorded what they depend on" in caplog.text


def test_a_pack_for_this_machine_loads_without_a_word(
    built: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        open_pack(built, config=ONE_THREAD).close()
    assert caplog.messages == []


@pytest.mark.usefixtures("compiled")
def test_a_stale_pack_is_built_again_with_progress_and_keeps_its_calibration(
    pack: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (pack / CALIBRATION_NAME).write_text('{"cut_cosine": 0.25}')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with caplog.at_level(logging.WARNING):
            opened = open_pack(pack, config=ONE_THREAD, rebuild=RebuildConfig())
        first = manager.recv(4096).decode()
    assert opened.calibration == {"cut_cosine": 0.25}
    opened.close()
    manifest = read_manifest(pack)
    assert manifest.fingerprint["key"]["machine"]["backend_version"] != "0.1"
    assert manifest.build["block_size"] == 64
    assert "version of the backend was 0.1" in caplog.messages[0]
    assert any("vlm_lm" in message for message in caplog.messages)
    assert first.startswith("STATUS=")
    assert "\nEXTEND_TIMEOUT_USEC=" in first


@pytest.mark.usefixtures("compiled")
def test_a_stale_pack_is_never_built_again_by_who_did_not_ask_for_it(pack: Path) -> None:
    before = (pack / MANIFEST_NAME).read_bytes()
    with pytest.raises(PackError, match=r"was 0\.1.*Build it again: .*-m omnilive_export\.cli"):
        open_pack(pack, config=ONE_THREAD)
    assert (pack / MANIFEST_NAME).read_bytes() == before


def forget(key: str) -> Edit:
    return lambda raw: raw["build"].pop(key)


def recorded(key: str, value: object) -> Edit:
    return lambda raw: raw["build"].update({key: value})


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    ("config", "edit", "what", "mend"),
    [
        (RebuildConfig("never"), lambda raw: None, "was 0.1", "-m omnilive_export.cli"),
        (RebuildConfig(), forget("arguments"), "was 0.1", "does not record how"),
        (RebuildConfig(), forget("checkpoint"), "(not recorded) is not here", "rebuild.checkpoint"),
        (RebuildConfig(), recorded("checkpoint", "/gone"), "/gone is not here", "copy a pack"),
        (RebuildConfig(checkpoint="/other"), lambda raw: None, "/other is not here", "copy a pack"),
        (RebuildConfig(), recorded("arguments", ["--precision", "int3"]), "exit code 2", "int3"),
    ],
)
def test_a_stale_pack_that_is_not_built_again_is_refused_and_left_as_it_was(
    pack: Path, config: RebuildConfig, edit: Edit, what: str, mend: str
) -> None:
    edited(pack, edit)
    before = (pack / MANIFEST_NAME).read_bytes()
    with pytest.raises(PackError) as caught:
        open_pack(pack, config=ONE_THREAD, rebuild=config)
    assert what in caught.value.what
    assert mend in caught.value.mend
    assert "\n" not in str(caught.value)
    assert (pack / MANIFEST_NAME).read_bytes() == before


@pytest.mark.usefixtures("compiled")
def test_a_checkpoint_that_moved_is_found_where_the_configuration_says(pack: Path) -> None:
    edited(pack, recorded("checkpoint", "/gone"))
    config = RebuildConfig(checkpoint=str(micro_checkpoint()))
    open_pack(pack, config=ONE_THREAD, rebuild=config).close()
    assert read_manifest(pack).build["checkpoint"] == str(micro_checkpoint().resolve())


@pytest.mark.usefixtures("compiled")
def test_a_pack_that_building_does_not_mend_is_refused_and_not_built_for_ever(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "EXPORTER", "json")  # a command that does nothing
    monkeypatch.setattr(rebuild, "rebuild_command", lambda *arguments: ["true"])
    with pytest.raises(PackError, match="was built again and is still not for this machine"):
        open_pack(pack, config=ONE_THREAD, rebuild=RebuildConfig())


@pytest.mark.usefixtures("compiled")
def test_where_the_exporter_is_not_installed_the_error_says_so(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "EXPORTER", "no_such_exporter")
    with pytest.raises(SetupError, match=r"no_such_exporter: is not installed.*omnilive-edge"):
        open_pack(pack, config=ONE_THREAD, rebuild=RebuildConfig())


@pytest.mark.usefixtures("compiled")
def test_a_pack_whose_backend_is_missing_is_refused_and_not_built_again(
    pack: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def of_another_backend(raw: dict[str, Any]) -> None:
        raw["engines"]["vlm_lm"]["backend"] = "abacus"

    edited(pack, of_another_backend)
    with pytest.raises(PackError, match="needs the backend 'abacus'"):
        open_pack(pack, config=ONE_THREAD, rebuild=RebuildConfig())
    assert caplog.messages == []


def test_another_choice_of_when_to_rebuild_is_named() -> None:
    with pytest.raises(ConfigError, match=r"rebuild\.when"):
        RebuildConfig("sometimes").validate()


def test_the_service_manager_gets_lines_through_either_kind_of_socket(tmp_path: Path) -> None:
    name = f"omnilive-test-{tmp_path.name}"
    for bound, named in ((str(tmp_path / "s"), str(tmp_path / "s")), (f"\0{name}", f"@{name}")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(bound)
            manager.settimeout(10)
            assert notify("STATUS=a\nb", "READY=1", environment={"NOTIFY_SOCKET": named})
            assert manager.recv(100) == b"STATUS=a b\nREADY=1"


@pytest.mark.parametrize("path", ["", "relative", "/no/such/socket"])
def test_without_a_service_manager_nothing_is_sent_and_nothing_fails(path: str) -> None:
    assert notify("READY=1", environment={"NOTIFY_SOCKET": path}) is False
