"""Opening a pack: a whole one serves every part, and each defect is one clear refusal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from fakes_graphs import VOCAB, WIDTH
from fakes_pack import with_engine, write_pack
from omnilive.engine.config import EngineConfig
from omnilive.engine.manifest import (
    ENGINE_NAMES,
    MANIFEST_NAME,
    TABLE_NAMES,
    TOKENIZER_NAMES,
    Manifest,
    TensorInfo,
)
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.errors import ConfigError, EngineError, PackError

ONE_THREAD = EngineConfig(threads=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_pack(folder)
    return folder


def refusal(folder: Path, **options: bool) -> PackError:
    with pytest.raises(PackError) as caught:
        open_pack(folder, config=ONE_THREAD, **options)
    error = caught.value
    assert "\n" not in str(error)
    assert str(folder) in str(error)
    return error


def test_a_whole_pack_serves_every_part_and_warms_up(whole: Path) -> None:
    pack = open_pack(whole, config=ONE_THREAD)
    pack.warm_up()
    for name in TABLE_NAMES:
        assert pack.table(name).rows([0, 1]).shape == (2, WIDTH)
    for name in TOKENIZER_NAMES:
        tokenizer = pack.tokenizer(name)
        assert tokenizer.decode(tokenizer.encode("What is 3.14?")) == "What is 3.14?"
    vit = pack.engine("vlm_vit").run({"tiles": np.zeros((3, 8, 8, 3), np.uint8)})
    assert vit["embeds"].shape == (3, 4, WIDTH)
    assert pack.decoder("vlm_lm").new_arena(8).capacity == 8
    assert pack.calibration == {}


def test_each_part_is_loaded_once(whole: Path) -> None:
    pack = open_pack(whole, config=ONE_THREAD)
    assert pack.engine("mem_vit") is pack.engine("mem_vit")
    assert pack.decoder("mem_lm") is pack.decoder("mem_lm")
    assert pack.tokenizer("audio") is pack.tokenizer("audio")


def test_a_closed_pack_serves_nothing(whole: Path) -> None:
    pack = open_pack(whole, config=ONE_THREAD)
    pack.engine("mem_vit")
    pack.close()
    with pytest.raises(EngineError, match="is closed"):
        pack.engine("mem_vit")


def test_a_feed_the_graph_does_not_take_is_one_engine_error(whole: Path) -> None:
    engine = open_pack(whole, config=ONE_THREAD).engine("mem_vit")
    for feeds in (
        {"frames": np.zeros((1, 9, 8, 3), np.uint8)},
        {"frames": np.zeros((1, 8, 8, 3), np.float32)},
        {},
    ):
        with pytest.raises(EngineError, match="engine mem_vit: failed to run") as caught:
            engine.run(feeds)
        assert "\n" not in str(caught.value)


def test_asking_for_a_part_by_a_wrong_name_or_kind_is_refused(whole: Path) -> None:
    pack = open_pack(whole, config=ONE_THREAD)
    for ask, name in (
        (pack.engine, "mem_lm"),
        (pack.decoder, "mem_vit"),
        (pack.table, "other"),
        (pack.tokenizer, "other"),
    ):
        with pytest.raises(EngineError, match=f"has no .* '{name}'"):
            ask(name)


def test_a_folder_without_a_manifest_is_no_pack(tmp_path: Path) -> None:
    assert "has no manifest.json" in refusal(tmp_path).what
    assert "is not a folder" in refusal(tmp_path / "absent").what
    file = tmp_path / "film.mp4"
    file.write_bytes(b"x")
    with pytest.raises(PackError):
        open_pack(file)


@pytest.mark.parametrize("name", [*ENGINE_NAMES, *TABLE_NAMES, *TOKENIZER_NAMES])
def test_a_missing_part_is_named(tmp_path: Path, name: str) -> None:
    def drop(manifest: Manifest) -> Manifest:
        kept = {
            field: {k: v for k, v in getattr(manifest, field).items() if k != name}
            for field in ("engines", "tables", "tokenizers")
        }
        return dataclasses.replace(manifest, **kept)

    write_pack(tmp_path, edit=drop)
    error = refusal(tmp_path)
    assert f" {name}" in error.where
    assert "missing" in error.what
    assert "export/build_engines.py" in error.mend


def test_an_absent_file_another_size_and_other_bytes_are_told_apart(tmp_path: Path) -> None:
    write_pack(tmp_path)
    file = tmp_path / "tables/mem_embed.bin"
    data = file.read_bytes()
    file.write_bytes(data[:-4] + b"\1\2\3\4")
    error = refusal(tmp_path)
    assert "sha256" in error.what
    assert error.where == str(file)
    open_pack(tmp_path, verify_hashes=False, config=ONE_THREAD).close()
    file.write_bytes(data[:-4])
    assert f"has {len(data) - 4} bytes" in refusal(tmp_path, verify_hashes=False).what
    file.unlink()
    assert "is missing" in refusal(tmp_path, verify_hashes=False).what


def test_a_pack_that_missed_its_accuracy_loads_only_when_told_to(tmp_path: Path) -> None:
    record = {"passed": False, "cosine": 0.5, "tolerance": {"cosine": 0.9}, "top1": None}
    write_pack(tmp_path, edit=lambda m: with_engine(m, "vlm_lm", accuracy=record))
    error = refusal(tmp_path)
    assert "engine vlm_lm" in error.where
    assert "cosine 0.5" in error.what
    open_pack(tmp_path, allow_inaccurate=True, config=ONE_THREAD).close()


def test_a_pack_that_kept_its_accuracy_loads(tmp_path: Path) -> None:
    record = {"passed": True, "relative_error": 1e-6}
    write_pack(tmp_path, edit=lambda m: with_engine(m, "vlm_lm", accuracy=record))
    open_pack(tmp_path, config=ONE_THREAD).close()


def test_a_pack_of_a_backend_this_runtime_lacks_is_refused(tmp_path: Path) -> None:
    write_pack(tmp_path, edit=lambda m: with_engine(m, "vlm_lm", backend="abacus"))
    with pytest.raises(PackError, match=r"'abacus'.*--backend ort"):
        open_pack(tmp_path)


def test_another_format_version_is_refused(tmp_path: Path) -> None:
    write_pack(tmp_path)
    file = tmp_path / MANIFEST_NAME
    file.write_text(json.dumps({**json.loads(file.read_text()), "format_version": 99}))
    assert "format version 99" in refusal(tmp_path).what


def spec(name: str, **changes: object) -> Callable[[Manifest], Manifest]:
    return lambda m: dataclasses.replace(
        m, **{name: dataclasses.replace(getattr(m, name), **changes)}
    )


def table(name: str, **changes: object) -> Callable[[Manifest], Manifest]:
    return lambda m: dataclasses.replace(
        m, tables={**m.tables, name: dataclasses.replace(m.tables[name], **changes)}
    )


def engine(name: str, **changes: object) -> Callable[[Manifest], Manifest]:
    return lambda m: with_engine(m, name, **changes)


@pytest.mark.parametrize(
    ("edit", "where", "what"),
    [
        (spec("memory", hidden=WIDTH + 8), "engine mem_proj", "clip_embeds"),
        (spec("memory", pixels=16), "engine mem_vit", "frames"),
        (spec("memory", grid=3), "engine mem_vit", "features"),
        (spec("reasoner", vocab=VOCAB + 1), "engine vlm_lm", "logits"),
        (spec("audio", max_positions=65), "engine aud_lm", "64 positions, its model 65"),
        (spec("audio", eos_ids=(VOCAB,)), "audio.eos_ids", "vocabulary"),
        (spec("reasoner", stop_ids=()), "reasoner.stop_ids", "vocabulary"),
        (table("aud_embed", rows=VOCAB - 1), "table aud_embed", "expected"),
        (table("mem_embed", dtype="bfloat16"), "table mem_embed", "bfloat16"),
        (table("mem_embed", dtype="float16"), "table mem_embed", "bytes"),
        (table("vlm_embed", scales=None), "table vlm_embed", "lacks scales"),
        (engine("mem_vit", inputs=()), "engine mem_vit", "has no input frames"),
        (
            engine("mem_to_vlm", outputs=(TensorInfo("embeds", "float16", ("n", WIDTH)),)),
            "engine mem_to_vlm",
            "float16",
        ),
        (engine("vlm_lm", kv=None), "engine vlm_lm", "without KV"),
        (engine("mem_vit", model="elsewhere.onnx"), "engine mem_vit", "not among its files"),
    ],
)
def test_a_pack_of_another_architecture_is_refused(
    tmp_path: Path, edit: Callable[[Manifest], Manifest], where: str, what: str
) -> None:
    write_pack(tmp_path, edit=edit)
    error = refusal(tmp_path)
    assert where in error.where
    assert what in error.what


@pytest.mark.parametrize("path", ["../outside.bin", "/etc/hostname", ""])
def test_a_file_outside_the_pack_is_refused(tmp_path: Path, path: str) -> None:
    def move(manifest: Manifest) -> Manifest:
        file = dataclasses.replace(manifest.tables["mem_embed"].file, path=path)
        return table("mem_embed", file=file)(manifest)

    write_pack(tmp_path, edit=move)
    assert "outside the pack" in refusal(tmp_path).what


def test_a_graph_with_other_io_than_recorded_is_refused_when_it_loads(tmp_path: Path) -> None:
    write_pack(tmp_path)
    file = tmp_path / "vlm_vit/model.onnx"
    model = onnx.load(file)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 9
    file.write_bytes(model.SerializeToString())
    pack = open_pack_unhashed(tmp_path)
    with pytest.raises(PackError, match=r"input tiles is uint8\['n', 9, 8, 3\]"):
        pack.engine("vlm_vit")


def test_a_graph_that_cannot_be_read_is_one_engine_error(tmp_path: Path) -> None:
    write_pack(tmp_path)
    file = tmp_path / "mem_lm/model.onnx"
    file.write_bytes(b"\0" * file.stat().st_size)
    pack = open_pack_unhashed(tmp_path)
    with pytest.raises(EngineError, match=r"engine mem_lm .*cannot load it") as caught:
        pack.decoder("mem_lm")
    assert "\n" not in str(caught.value)


def open_pack_unhashed(folder: Path) -> EnginePack:
    """Open a pack some of whose files a test has replaced: their sizes are recorded anew."""
    file = folder / MANIFEST_NAME
    raw = json.loads(file.read_text())
    for record in raw["engines"].values():
        for entry in record["files"]:
            entry["bytes"] = (folder / entry["path"]).stat().st_size
    file.write_text(json.dumps(raw))
    return open_pack(folder, verify_hashes=False, config=ONE_THREAD)


def test_calibration_is_read_when_it_is_there(tmp_path: Path) -> None:
    write_pack(tmp_path)
    (tmp_path / "calibration.json").write_text('{"cut_cosine": 0.97}')
    assert open_pack(tmp_path).calibration == {"cut_cosine": 0.97}


@pytest.mark.parametrize("text", ["{", "[]", '{"cut_cosine": "high"}', '{"cut_cosine": NaN}'])
def test_a_damaged_calibration_is_refused(tmp_path: Path, text: str) -> None:
    write_pack(tmp_path)
    (tmp_path / "calibration.json").write_text(text)
    assert "omnilive calibrate" in refusal(tmp_path).mend


@pytest.mark.parametrize("threads", [-1, 257])
def test_a_thread_count_out_of_range_is_a_config_error(whole: Path, threads: int) -> None:
    with pytest.raises(ConfigError, match=r"engine\.threads"):
        open_pack(whole, threads=threads)
