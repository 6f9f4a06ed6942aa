"""A swapped tower is judged against itself, and the checkpoint's reference does not judge it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from plain_folders import audio_encoder, memory_tower, other_weights, reasoner_tower

from omnilive.engine.pack import open_pack
from omnilive.errors import ConfigError
from omnilive_export.cli import main
from omnilive_export.reading.row_source import F32
from omnilive_export.verify.measure import relative_error

pytestmark = pytest.mark.tiny

RECIPE = """
backend = "ort"
tables = "fp32"
decoder.kind = "fp32"
head.kind = "fp32"
plora.kind = "fp32"
encoder.kind = "fp32"
[tolerance.default]
relative_error = 1e-4
"""


def test_swapped_parts_are_measured_against_their_own_folders(
    checkpoint: Path, tmp_path: Path
) -> None:
    memory_tower(checkpoint, tmp_path / "memory", other_weights)
    reasoner_tower(checkpoint, tmp_path / "reasoner", other_weights)
    audio_encoder(checkpoint, tmp_path / "audio", other_weights)
    lines = 'memory_vit = "memory"\nreasoner_vit = "reasoner"\naudio_encoder = "audio"\n'
    assert _build(checkpoint, tmp_path, lines) == 0
    engines = json.loads((tmp_path / "pack" / "manifest.json").read_text())["engines"]
    for name in ("mem_vit", "vlm_vit", "aud_enc"):
        assert engines[name]["accuracy"]["passed"]
        assert engines[name]["accuracy"]["relative_error"] < 1e-4


def test_verification_is_refused_where_its_reference_has_other_weights(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory_tower(checkpoint, tmp_path / "tower")
    code = _build(checkpoint, tmp_path, 'memory_vit = "tower"\n', "--verify")
    assert code == ConfigError.exit_code
    assert "checkpoint's own memory_vit" in capsys.readouterr().err
    assert not (tmp_path / "pack").exists()


def test_a_tower_of_other_pixels_with_the_same_patches_takes_larger_pictures(
    checkpoint: Path, tmp_path: Path
) -> None:
    def doubled(config: dict[str, Any], tensors: dict[str, F32]) -> None:
        name = "vision_model.embeddings.patch_embedding.weight"
        tensors[name] = tensors[name].repeat(2, axis=2).repeat(2, axis=3) / np.float32(4)
        config.update(image_size=2 * config["image_size"], patch_size=2 * config["patch_size"])

    for name, bend in (("own", None), ("large", doubled)):
        memory_tower(checkpoint, tmp_path / name / "tower", bend)
        models = 'memory_vit = "tower"\n'
        assert _build(checkpoint, tmp_path / name, models, "--no-accuracy") == 0
    frames = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8)
    expected = _features(tmp_path / "own" / "pack", frames)
    found = _features(tmp_path / "large" / "pack", frames.repeat(2, axis=1).repeat(2, axis=2))
    assert relative_error(found, expected) < 1e-4


def _features(folder: Path, frames: npt.NDArray[np.uint8]) -> F32:
    pack = open_pack(folder)
    try:
        assert frames.shape[1] == pack.manifest.memory.pixels
        return np.array(pack.engine("mem_vit").run({"frames": frames})["features"])
    finally:
        pack.close()


def _build(checkpoint: Path, folder: Path, models: str, *flags: str) -> int:
    file = folder / "mine.toml"
    file.write_text(f"{RECIPE}[models]\n{models}")
    arguments = ["--checkpoint", str(checkpoint), "--out", str(folder / "pack")]
    return main([*arguments, "--recipe", str(file), *flags])
