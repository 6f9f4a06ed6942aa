"""A picture's tokens: engine, separators table and runtime order against the reference at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omnilive.engine.pack import EnginePack
from omnilive.reasoning.image_tokens import arrange, token_count
from omnilive_export.models.reasoner import TOWER_FOLDER
from omnilive_export.verify.inputs import structured_frames
from omnilive_export.verify.measure import FP32_RELATIVE_ERROR, relative_error
from omnilive_export.verify.reference import References

pytestmark = pytest.mark.tiny


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 2), (3, 2)])
def test_picture_tokens_equal_the_reference(
    fp32_pack: EnginePack, checkpoint: Path, references: References, rows: int, columns: int
) -> None:
    base = checkpoint / "base"
    reference = references.internlm2_plora.PictureEncoder(base, base / TOWER_FOLDER)
    spec = fp32_pack.manifest.reasoner
    tiles = structured_frames(np.random.default_rng(5), 1 + rows * columns, spec.pixels)
    embeds = fp32_pack.engine("vlm_vit").run({"tiles": tiles})["embeds"]
    separators = fp32_pack.table("vlm_separators").rows([0, 1])
    actual = arrange(embeds, separators, rows, columns)
    assert len(actual) == token_count(rows, columns, spec.grid)
    expected = reference.picture(tiles, rows, columns)
    assert relative_error(actual, expected) <= FP32_RELATIVE_ERROR
