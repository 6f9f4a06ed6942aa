"""Builds are skipped exactly where their key is that of the pack in place."""

from __future__ import annotations

import dataclasses
import fcntl
import io
import json
import shutil
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from export_checkpoints import checkpoint_with, micro_checkpoint
from omnilive.engine.accuracy import OWN_SOURCE
from omnilive.engine.manifest import MANIFEST_NAME
from omnilive.engine.manifest_file import read_manifest
from omnilive.engine.pack import open_pack
from omnilive_export import fingerprint
from omnilive_export.build import BuildRequest, build_pack
from omnilive_export.cli import main
from omnilive_export.engine_size import engine_size
from omnilive_export.fingerprint import (
    BORNE_BY_HARDWARE,
    borne_changes,
    builder_digest,
    is_current,
    recipe_of,
    recorded_arguments,
    recording_digest,
)
from omnilive_export.precision import pack_precision
from omnilive_export.progress import PlainView
from omnilive_export.tensorrt.options import HARDWARE, BuildOptions


def build(out: Path, *options: str, checkpoint: Path | None = None) -> int:
    return main(
        ["--checkpoint", str(checkpoint or micro_checkpoint()), "--out", str(out), *options]
    )


def file_ids(pack: Path) -> dict[str, int]:
    """Which file lies at each path: building again replaces every one."""
    return {str(p.relative_to(pack)): p.stat().st_ino for p in pack.rglob("*.onnx")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "micro"
    assert build(out, "--block-size", "64") == 0
    return out


@pytest.fixture
def pack(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "micro"))


def test_a_build_with_the_same_key_is_skipped_and_forced_when_told_to(
    pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file_ids(pack)
    assert build(pack, "--block-size", "64") == 0
    assert "up to date" in capsys.readouterr().err
    assert file_ids(pack) == before
    assert build(pack, "--block-size", "64", "--force") == 0
    assert "up to date" not in capsys.readouterr().err
    assert file_ids(pack) != before


def test_a_builder_that_waited_for_another_finds_the_pack_up_to_date(pack: Path) -> None:
    command = [sys.executable, "-m", "omnilive_export.cli", "--checkpoint", str(micro_checkpoint())]
    with pack.with_name(f".{pack.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = subprocess.Popen(
            [*command, "--out", str(pack), "--block-size", "64"], stderr=subprocess.PIPE, text=True
        )
        assert second.stderr is not None
        assert "another build of this pack is running; waiting" in second.stderr.readline()
    with second:
        said = second.stderr.read()
    assert second.returncode == 0
    assert "up to date" in said


def test_another_checkpoint_and_another_recipe_are_built(pack: Path, tmp_path: Path) -> None:
    before = file_ids(pack)
    assert build(pack, "--block-size", "32") == 0
    other_recipe = file_ids(pack)
    assert other_recipe != before
    bent = checkpoint_with(tmp_path, "base/generation_config.json", lambda c: c.update(top_k=7))
    assert build(pack, "--block-size", "32", checkpoint=bent) == 0
    assert file_ids(pack) != other_recipe


def test_the_manifest_says_what_the_pack_depended_on_and_how_to_build_it_again(
    built: Path,
) -> None:
    manifest = read_manifest(built)
    assert manifest.build["checkpoint"] == str(micro_checkpoint().resolve())
    arguments = manifest.build["arguments"]
    assert arguments[arguments.index("--block-size") + 1] == "64"
    assert not {"--checkpoint", "--out", "--force"} & set(arguments)
    key = manifest.fingerprint["key"]
    assert key["machine"]["backend_version"] == manifest.fingerprint["backends"]["onnxruntime"]
    assert len(key["source"]) == len(key["builder"]) == 64


def current(pack: Path, **asked: Any) -> bool:
    request = BuildRequest(
        checkpoint=micro_checkpoint(),
        out=pack,
        precision=pack_precision("int4", block=64),
        backend="ort",
        verify=False,
        allow_inaccurate=False,
    )
    source: Future[dict[str, str]] = Future()
    source.set_result(dict(read_manifest(pack).source))
    options = dict.fromkeys(("verify", "measure", "quality", "allow_inaccurate"), False) | asked
    return is_current(pack, recipe_of(request), "ort", source, stage=lambda _: None, **options)


def edited(pack: Path, change: Any) -> Path:
    file = pack / MANIFEST_NAME
    raw = json.loads(file.read_text())
    change(raw)
    file.write_text(json.dumps(raw))
    return pack


def test_a_pack_is_current_until_a_file_of_it_is_missing(pack: Path) -> None:
    assert current(pack)
    (pack / "mem_vit" / "model.onnx").unlink()
    assert not current(pack)


def test_a_pack_without_a_key_is_never_current(pack: Path) -> None:
    assert not current(edited(pack, lambda raw: raw["fingerprint"].pop("key")))


def test_a_pack_of_another_machine_is_not_current(pack: Path) -> None:
    def moved(raw: dict[str, Any]) -> None:
        raw["fingerprint"]["key"]["machine"]["device"] = "Another board"

    assert not current(edited(pack, moved))


def test_a_pack_of_another_exporter_is_not_current(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "builder_digest", lambda native: "0" * 64)
    assert not current(pack)


def test_an_unverified_pack_is_not_current_for_a_build_that_verifies(pack: Path) -> None:
    assert not current(pack, verify=True)


def test_a_pack_measured_without_the_reference_is_not_current_for_a_build_that_verifies(
    pack: Path,
) -> None:
    def measured(reference: str) -> Path:
        def record(raw: dict[str, Any]) -> None:
            for engine in raw["engines"].values():
                engine["accuracy"] = {"passed": True, "reference": reference}

        return edited(pack, record)

    assert not current(measured(OWN_SOURCE), verify=True)
    assert current(measured(OWN_SOURCE))
    assert current(measured("another implementation"), verify=True)


def test_a_pack_without_what_a_build_is_to_measure_is_not_current_for_it(pack: Path) -> None:
    assert not current(pack, measure=True)
    assert not current(pack, quality=True)
    edited(pack, lambda raw: raw["build"].update(accuracy={"measured": True}))
    (pack / "quality.json").write_text("{}")
    assert current(pack, measure=True, quality=True)


def test_a_pack_that_misses_its_tolerance_is_current_only_where_that_is_allowed(
    pack: Path,
) -> None:
    def missed(raw: dict[str, Any]) -> None:
        for engine in raw["engines"].values():
            engine["accuracy"] = {"passed": False}

    edited(pack, missed)
    assert not current(pack, verify=True)
    assert current(pack, verify=True, allow_inaccurate=True)


def test_every_field_of_a_request_is_in_its_recipe_but_those_that_make_no_difference() -> None:
    request = BuildRequest(
        Path("c"), Path("o"), pack_precision("int8", block=32), "ort", True, True
    )
    recipe = recipe_of(request)
    assert recipe == json.loads(json.dumps(recipe))
    elsewhere = dataclasses.replace(
        request, checkpoint=Path("d"), out=Path("p"), verify=False, force=True, arguments=("--x",)
    )
    assert recipe_of(elsewhere) == recipe
    finer = dataclasses.replace(request, precision=pack_precision("int8", block=64))
    assert recipe_of(finer) != recipe


def test_options_of_tensorrt_count_where_they_change_what_it_makes_and_only_there() -> None:
    plain = BuildRequest(
        Path("c"), Path("o"), pack_precision("fp32", block=64), "ort", False, False
    )
    cached = dataclasses.replace(plain, tensorrt=BuildOptions(timing_cache=Path("x")))
    later = dataclasses.replace(plain, tensorrt=BuildOptions(version_compatible=True))
    assert recipe_of(plain) == recipe_of(cached) == recipe_of(later)
    plain, cached, later = (
        dataclasses.replace(request, backend="tensorrt") for request in (plain, cached, later)
    )
    assert recipe_of(plain) == recipe_of(cached) != recipe_of(later)


def test_the_quantizer_and_the_content_of_its_statistics_are_in_the_key(tmp_path: Path) -> None:
    def key(method: str, statistics: Path | None = None) -> str:
        request = BuildRequest(
            *(Path("c"), Path("o"), pack_precision("int4", block=32, method=method)),
            *("ort", False, False),
            calibration=statistics,
        )
        return fingerprint.build_key(recipe_of(request), "ort", {}).digest

    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    for path, content in ((one, b"1"), (same, b"1"), (other, b"2")):
        path.write_bytes(content)
    assert key("calibrated", one) == key("calibrated", same)
    digests = [key("rtn"), key("hqq"), key("calibrated", one), key("calibrated", other)]
    assert len(set(digests)) == 4


def test_the_native_core_is_in_the_key_only_where_its_arithmetic_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(
        fingerprint, "builder_digest", lambda native: asked.append(native) or "0" * 64
    )
    for method in ("rtn", "hqq"):
        recipe = {"precision": {"blocks": {"method": method}}}
        fingerprint.build_key(recipe, "ort", {})
    assert asked == [False, True]
    assert builder_digest(native=True) != builder_digest(native=False)


def test_what_inputs_are_recorded_with_is_in_the_key_only_where_it_decides_scales(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def digests() -> dict[tuple[str, str], str]:
        recipes = {kv: {"precision": {}, "recipe": {"kv": kv}} for kv in ("float", "int8")}
        return {
            (kv, backend): fingerprint.build_key(recipe, backend, {}).digest
            for kv, recipe in recipes.items()
            for backend in ("ort", "tensorrt")
        }

    before = digests()
    monkeypatch.setattr(fingerprint, "recording_digest", lambda: "0" * 64)
    after = digests()
    assert {which for which in before if before[which] != after[which]} == {("int8", "ort")}


@pytest.mark.parametrize("changed", ["speech/espeak.py", "memory/compressor.py"])
def test_a_change_of_a_stage_or_a_package_changes_what_inputs_are_recorded_with(
    changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = recording_digest.__wrapped__()
    assert recording_digest.__wrapped__() == original

    real = fingerprint.file_sha256
    monkeypatch.setattr(
        fingerprint,
        "file_sha256",
        lambda path: "0" * 64 if str(path).endswith(f"omnilive/{changed}") else real(path),
    )
    assert recording_digest.__wrapped__() != original
    monkeypatch.undo()
    monkeypatch.setattr(fingerprint, "version", lambda name: "0")
    assert recording_digest.__wrapped__() != original


@pytest.mark.parametrize(
    ("options", "borne"),
    [
        (BuildOptions(), ()),
        (BuildOptions(hardware="SAME_COMPUTE_CAPABILITY"), ("device",)),
        (
            BuildOptions(hardware="AMPERE_PLUS", version_compatible=True),
            ("backend_version", "device", "compute_capability"),
        ),
    ],
)
def test_engines_bear_the_changes_they_are_compiled_for(
    options: BuildOptions, borne: tuple[str, ...]
) -> None:
    request = BuildRequest(
        *(Path("c"), Path("o"), pack_precision("int4", block=64), "tensorrt", False, False),
        tensorrt=options,
    )
    assert borne_changes(recipe_of(request), "tensorrt") == borne
    assert borne_changes(recipe_of(request), "ort") == ()
    assert set(BORNE_BY_HARDWARE) == set(HARDWARE.values())


def test_options_become_the_command_line_that_gives_them() -> None:
    options = {
        "checkpoint": Path("a"),
        "out": Path("b"),
        "force": True,
        "verify": True,
        "asymmetric": False,
        "block_size": 64,
        "recipe": None,
        "seeds": [1, 2],
    }
    assert recorded_arguments(options) == ("--block-size", "64", "--seeds", "1", "2", "--verify")


def test_sizes_in_the_manifest_are_those_of_the_checkpoint(built: Path) -> None:
    engines = read_manifest(built).engines
    base = json.loads((micro_checkpoint() / "base" / "config.json").read_text())
    size = engines["vlm_lm"].size
    assert size is not None
    assert size.layers == base["num_hidden_layers"]
    assert size.width == size.attention_width == base["hidden_size"]
    assert size.widest == base["intermediate_size"]
    assert size.parameters["head"] == base["hidden_size"] * base["vocab_size"]
    assert all(e.size is not None for e in engines.values())
    towers = engines["vlm_vit"].size
    assert towers is not None
    assert set(towers.parameters) == {"rows", "merged"}


def test_a_pack_with_a_key_opens(built: Path) -> None:
    open_pack(built, threads=1).close()


def test_a_graph_of_other_names_has_no_size(built: Path) -> None:
    from omnilive_export.graphs.builder import GraphBuilder

    b = GraphBuilder("other")
    b.input("x", "float32", (1, 8))
    assert engine_size(b.finish()) is None


def test_a_build_without_arguments_records_none(tmp_path: Path) -> None:
    request = BuildRequest(
        micro_checkpoint(), tmp_path / "m", pack_precision("int4", block=32), "ort", False, False
    )
    manifest = build_pack(request, PlainView(io.StringIO()))
    assert "arguments" not in manifest.build
