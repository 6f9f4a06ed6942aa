"""Recipes that put a plain Hugging Face folder in the place of a part of the checkpoint."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plain_folders import (
    PREPROCESSOR,
    Bend,
    audio_encoder,
    memory_tower,
    other_weights,
    reasoner_tower,
)

from export_checkpoints import checkpoint_with, micro_checkpoint
from omnilive.engine.manifest import Manifest
from omnilive.engine.manifest_file import read_manifest
from omnilive.errors import CheckpointError, ConfigError
from omnilive_export.cli import main
from omnilive_export.recipe import SWAPPABLE
from omnilive_export.recipe_file import load_recipe

RECIPE = """
backend = "ort"
[decoder]
kind = "int4"
block = 64
[head]
kind = "int8"
[plora]
kind = "int8"
[encoder]
kind = "int8"
"""

WRITERS: dict[str, Callable[..., Path]] = {
    "memory_vit": memory_tower,
    "reasoner_vit": reasoner_tower,
    "audio_encoder": audio_encoder,
}


def build(
    folder: Path, out: Path, *flags: str, checkpoint: Path | None = None, **models: str
) -> int:
    """Build by a recipe in ``folder`` with ``models``, which are written as they are given."""
    lines = [f"{part} = '{path}'" for part, path in models.items()]
    file = folder / "mine.toml"
    file.write_text("\n".join([RECIPE, "[models]", *lines]) if models else RECIPE)
    source = str(checkpoint or micro_checkpoint())
    arguments = ["--checkpoint", source, "--out", str(out), "--recipe", str(file)]
    return main([*arguments, "--no-accuracy", *flags])


def weights(pack: Path) -> dict[str, tuple[str, ...]]:
    """sha256 of the files of each engine."""
    engines = read_manifest(pack).engines.values()
    return {engine.name: tuple(file.sha256 for file in engine.files) for engine in engines}


def without_sources(manifest: Manifest) -> tuple[Any, ...]:
    """What the runtime goes by: dimensions, IO and tables."""
    engines = [dataclasses.replace(e, build_seconds=0.0) for e in manifest.engines.values()]
    return manifest.memory, manifest.audio, manifest.reasoner, engines, manifest.tables


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    assert build(folder, folder / "pack") == 0
    return folder / "pack"


def test_a_checkpoints_own_parts_saved_as_plain_folders_make_the_same_engines(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part, write in WRITERS.items():
        write(micro_checkpoint(), tmp_path / "towers" / part)
    relative = {part: f"towers/{part}" for part in WRITERS}
    assert build(tmp_path, tmp_path / "pack", **relative) == 0
    assert weights(tmp_path / "pack") == weights(original)
    manifest = read_manifest(tmp_path / "pack")
    assert without_sources(manifest) == without_sources(read_manifest(original))
    folders = {part: str(tmp_path / "towers" / part) for part in WRITERS}
    assert manifest.build["recipe"]["models"] == folders
    said = capsys.readouterr().out
    for part, folder in folders.items():
        assert f"models.{part}/model.safetensors" in manifest.source
        assert f"models.{part}/config.json" in manifest.source
        assert f"{SWAPPABLE[part]:<10} is of {folder}" in said


@pytest.mark.parametrize("part", WRITERS)
def test_other_weights_change_the_engine_of_their_part_alone(
    part: str, original: Path, tmp_path: Path
) -> None:
    tower = WRITERS[part](micro_checkpoint(), tmp_path / "tower", other_weights)
    assert build(tmp_path, tmp_path / "pack", **{part: str(tower)}) == 0
    found, before = weights(tmp_path / "pack"), weights(original)
    assert {name for name in before if found[name] != before[name]} == {SWAPPABLE[part]}


def test_a_pack_is_current_until_a_swapped_folder_changes_wherever_it_lies(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = Path(shutil.copytree(original, tmp_path / "pack"))
    memory_tower(micro_checkpoint(), tmp_path / "tower")

    def built(**models: str) -> bool:
        assert build(tmp_path, pack, **models) == 0
        return "up to date" not in capsys.readouterr().err

    assert not built()
    assert built(memory_vit="tower")
    assert not built(memory_vit="tower")
    (tmp_path / "tower").rename(tmp_path / "moved")
    assert not built(memory_vit="moved")
    shutil.rmtree(tmp_path / "moved")
    memory_tower(micro_checkpoint(), tmp_path / "moved", other_weights)
    assert built(memory_vit="moved")
    assert built()


def config_with(**values: Any) -> Bend:
    return lambda config, _: config.update(values)


@pytest.mark.parametrize(
    ("part", "bend", "says"),
    [
        ("memory_vit", config_with(hidden_size=64), "hidden_size expected 128, found 64"),
        ("reasoner_vit", config_with(hidden_size=64), "hidden_size expected 128, found 64"),
        ("memory_vit", config_with(image_size=168), "expected 8 patches per side, found 12"),
        ("reasoner_vit", config_with(image_size=112), "expected 12 patches per side, found 8"),
        ("memory_vit", config_with(image_size=126), "expected 8 patches per side, found 9"),
        ("audio_encoder", config_with(d_model=96), "d_model expected 192, found 96"),
        (
            "audio_encoder",
            config_with(architectures=["Qwen2ForCausalLM"]),
            "architectures expected WhisperForConditionalGeneration, found Qwen2ForCausalLM",
        ),
        (
            "memory_vit",
            config_with(architectures=["SiglipVisionModel"]),
            "architectures expected CLIPVisionModel or",
        ),
        ("memory_vit", config_with(intermediate_size=96), "expected [96, 128]"),
    ],
)
def test_a_folder_of_another_geometry_is_refused_before_anything_is_written(
    part: str, bend: Bend, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tower = WRITERS[part](micro_checkpoint(), tmp_path / "tower", bend)
    out = tmp_path / "packs" / "mine"
    assert build(tmp_path, out, **{part: "tower"}) == CheckpointError.exit_code
    told = capsys.readouterr().err
    assert says in told and str(tower) in told and "Traceback" not in told
    assert list(out.parent.iterdir()) == []


def test_an_encoder_of_other_mel_bands_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = audio_encoder(micro_checkpoint(), tmp_path / "tower", config_with(num_mel_bins=128))
    extractor = encoder / PREPROCESSOR
    extractor.write_text(json.dumps({**json.loads(extractor.read_text()), "feature_size": 128}))
    assert build(tmp_path, tmp_path / "pack", audio_encoder="tower") == CheckpointError.exit_code
    assert "num_mel_bins expected 80, found 128" in capsys.readouterr().err


def test_a_tower_without_the_hidden_state_that_is_read_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fourth_last(config: dict[str, Any]) -> None:
        config["mm_vision_select_layer"] = -4

    checkpoint = checkpoint_with(tmp_path, "memory/config.json", fourth_last)
    memory_tower(micro_checkpoint(), tmp_path / "tower", config_with(num_hidden_layers=2))
    models = {"memory_vit": "tower"}
    code = build(tmp_path, tmp_path / "pack", checkpoint=checkpoint, **models)
    assert code == CheckpointError.exit_code
    told = capsys.readouterr().err
    assert "num_hidden_layers expected at least 3, for hidden state -4, found 2" in told


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ({"memory_vit": "nowhere"}, "nowhere is not a folder with a config.json"),
        ({"reasoner": "qwen"}, "has no vision_proj and no video_mem_proj"),
        ({"memory_lm": "qwen"}, "Use one of memory_vit, reasoner_vit, audio_encoder"),
    ],
)
def test_a_folder_that_is_not_there_or_a_part_that_cannot_be_swapped_is_refused(
    models: dict[str, str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "packs" / "mine"
    assert build(tmp_path, out, **models) == ConfigError.exit_code
    told = capsys.readouterr().err
    assert says in told and f"models.{next(iter(models))}" in told and "Traceback" not in told
    assert not out.exists()


def test_a_part_of_a_model_that_the_checkpoint_lacks_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(micro_checkpoint() / "audio", tmp_path / "only" / "audio")
    memory_tower(micro_checkpoint(), tmp_path / "tower")
    file = tmp_path / "mine.toml"
    file.write_text(RECIPE + "[models]\nmemory_vit = 'tower'\n")
    arguments = ["--checkpoint", str(tmp_path / "only"), "--out", str(tmp_path / "pack")]
    assert main([*arguments, "--recipe", str(file)]) == ConfigError.exit_code
    assert "part of memory/, which" in capsys.readouterr().err


def test_a_path_in_a_recipe_begins_at_the_recipes_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mine.toml").write_text(RECIPE + "[models]\nmemory_vit = '../tower'\n")
    for here in (tmp_path, tmp_path / "deep"):
        monkeypatch.chdir(here)
        path = (tmp_path / "deep" / "mine.toml").relative_to(here)
        assert load_recipe(str(path)).models == {"memory_vit": str(tmp_path / "tower")}
