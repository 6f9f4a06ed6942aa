"""Packs of one model: built, described, and run engine by engine."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from export_checkpoints import micro_checkpoint
from omnilive.engine.config import EngineConfig
from omnilive.engine.files import check_files
from omnilive.engine.manifest import Manifest, to_json
from omnilive.engine.manifest_file import read_partial_manifest
from omnilive.engine.pack import open_pack, open_parts
from omnilive.errors import CheckpointError, ConfigError, EngineError, PackError
from omnilive_export.build import BuildRequest, build_pack
from omnilive_export.cli import main, summary
from omnilive_export.precision import pack_precision
from omnilive_export.progress import PlainView


@pytest.fixture(scope="module")
def memory_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("partial")
    shutil.copytree(micro_checkpoint() / "memory", root / "checkpoint" / "memory")
    out = root / "memory-pack"
    assert main(["--checkpoint", str(root / "checkpoint"), "--out", str(out)]) == 0
    return out


def request(checkpoint: Path, out: Path) -> BuildRequest:
    return BuildRequest(
        checkpoint=checkpoint,
        out=out,
        precision=pack_precision("int4", block=32),
        backend="ort",
        verify=True,
        allow_inaccurate=False,
    )


def test_a_pack_of_one_model_holds_that_model_whole(memory_pack: Path) -> None:
    manifest = read_partial_manifest(memory_pack)
    assert not isinstance(manifest, Manifest)
    assert set(manifest.engines) == {"mem_vit", "mem_proj", "mem_lm"}
    assert set(manifest.tables) == {"mem_embed"} and set(manifest.tokenizers) == {"memory"}
    assert manifest.memory is not None and manifest.audio is None and manifest.reasoner is None
    check_files(manifest.all_files(), memory_pack, verify_hashes=True)
    on_disk = {p.relative_to(memory_pack).as_posix() for p in memory_pack.rglob("*") if p.is_file()}
    assert on_disk == {"manifest.json", *(f.path for f in manifest.all_files())}
    assert "partial pack of 3 engines" in summary(manifest, memory_pack)
    assert "audio/ and base/ not found" in manifest.build["warnings"][0]


def test_the_parts_of_a_partial_pack_run_and_those_it_lacks_are_refused(memory_pack: Path) -> None:
    pack = open_parts(memory_pack, EngineConfig(threads=1))
    decoder = pack.decoder("mem_lm")
    embeds = np.random.default_rng(0).standard_normal((5, 256)).astype(np.float32)
    hidden = decoder.hidden(decoder.new_arena(8), embeds)
    assert hidden.shape == (5, 256) and np.isfinite(hidden).all()
    for ask, name in (
        (pack.decoder, "vlm_lm"),
        (pack.table, "vlm_embed"),
        (pack.engine, "aud_enc"),
    ):
        with pytest.raises(EngineError, match=f"has no .*'{name}'"):
            ask(name)
    pack.close()


def test_parts_whose_files_were_cut_short_are_refused(tmp_path: Path, memory_pack: Path) -> None:
    pack = Path(shutil.copytree(memory_pack, tmp_path / "pack"))
    file = next(pack.rglob("*mem_embed*"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(PackError, match="bytes, the manifest records"):
        open_parts(pack)


def test_a_session_refuses_a_partial_pack(memory_pack: Path) -> None:
    with pytest.raises(PackError, match="audio expected an object, found None"):
        open_pack(memory_pack)


def test_a_partial_manifest_reads_back_as_it_was_written(memory_pack: Path) -> None:
    text = (memory_pack / "manifest.json").read_text()
    assert to_json(read_partial_manifest(memory_pack)) == text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"engines": 5}, "engines expected an object"),
        ({"format_version": 99}, "format version 99"),
        ({"family": "another"}, "of family 'another'"),
    ],
)
def test_an_odd_partial_manifest_is_refused(
    tmp_path: Path, memory_pack: Path, change: dict[str, object], said: str
) -> None:
    values = json.loads((memory_pack / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**values, **change}))
    with pytest.raises(PackError, match=said):
        read_partial_manifest(tmp_path)


def test_a_manifest_that_is_missing_or_no_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"has no manifest\.json"):
        read_partial_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(PackError, match="is not JSON"):
        read_partial_manifest(tmp_path)


def test_verification_is_refused_before_building_where_its_reference_cannot_read(
    tmp_path: Path,
) -> None:
    root = tmp_path / "checkpoint"
    shutil.copytree(micro_checkpoint() / "base", root / "base")
    (root / "adapter").mkdir()
    view = PlainView(io.StringIO())
    with pytest.raises(ConfigError, match="does not merge adapter/"):
        build_pack(request(root, tmp_path / "out"), view)
    (root / "adapter").rmdir()
    for shard in (root / "base").glob("*.safetensors"):
        shard.unlink()
    with pytest.raises(ConfigError, match="reads safetensors only"):
        build_pack(request(root, tmp_path / "out"), view)
    assert not (tmp_path / "out").exists()


def test_an_adapter_without_its_files_is_one_clear_error(tmp_path: Path) -> None:
    root = tmp_path / "checkpoint"
    shutil.copytree(micro_checkpoint() / "base", root / "base")
    (root / "adapter").mkdir()
    asked = request(root, tmp_path / "packs" / "out")
    with pytest.raises(CheckpointError, match=r"adapter_config\.json: cannot be read"):
        build_pack(BuildRequest(**{**vars(asked), "verify": False}), PlainView(io.StringIO()))
