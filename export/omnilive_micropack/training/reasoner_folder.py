"""Writes a trained reasoner as the checkpoint's ``base/`` folder: shards, index, configurations.

The tensors have exactly the layout's names and shapes. It trains nothing.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

from omnilive_micropack import configs, layout, text_tokenizers
from omnilive_micropack.checkpoint import REASONER_TOWER_FOLDER
from omnilive_micropack.dimensions import FamilyDims
from omnilive_micropack.training.common import write_tensors
from omnilive_micropack.training.reasoner_model import ReasonerNet
from omnilive_micropack.training.towers import ClipTower
from omnilive_micropack.training.vision import REASONER_PREFIX
from omnilive_micropack.weights import BF16_BYTES, split_shards


def write_folder(
    folder: Path, net: ReasonerNet, tower: ClipTower, tokenizer: bytes, dims: FamilyDims
) -> None:
    """Write ``folder`` whole: beside itself first, then in place of an older one.

    Raises:
        BuildError: a tensor is not what the layout says.
    """
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    picture = part / REASONER_TOWER_FOLDER
    picture.mkdir(parents=True)
    (part / "tokenizer.model").write_bytes(tokenizer)
    positions = dims.reasoner_lm.positions
    for path, value in (
        (picture / "config.json", configs.clip_vision(dims.reasoner_tower)),
        (picture / "preprocessor_config.json", configs.image_processor(dims.reasoner_tower)),
        (part / "config.json", configs.reasoner_config(dims, trained=True)),
        (part / "generation_config.json", configs.reasoner_generation_config(dims)),
        (part / "tokenizer_config.json", text_tokenizers.reasoner_tokenizer_config(positions)),
    ):
        _dump(path, value)
    _write_shards(part, tensors_of(net, tower), dims)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def tensors_of(net: ReasonerNet, tower: ClipTower) -> dict[str, Tensor]:
    """Every tensor of ``base/`` by its name."""
    tensors = {name: value for name, value in net.state_dict().items() if "_proj." not in name}
    for prefix, projector in (
        ("vision_proj", net.vision_proj),
        ("video_mem_proj", net.video_mem_proj),
    ):
        tensors.update({f"{prefix}.{name}": value for name, value in projector.tensors().items()})
    tensors.update({REASONER_PREFIX + name: value for name, value in tower.state_dict().items()})
    return tensors


def _write_shards(folder: Path, tensors: dict[str, Tensor], dims: FamilyDims) -> None:
    parts = split_shards(list(layout.reasoner_tensors(dims)), dims.reasoner_shards)
    weight_map: dict[str, str] = {}
    for i, specs in enumerate(parts, start=1):
        name = f"model-{i:05d}-of-{len(parts):05d}.safetensors"
        found = {spec.name: tensors[spec.name] for spec in specs if spec.name in tensors}
        write_tensors(folder / name, found, specs)
        weight_map.update({spec.name: name for spec in specs})
    total = sum(spec.elements for part in parts for spec in part) * BF16_BYTES
    _dump(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": weight_map},
    )


def _dump(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
