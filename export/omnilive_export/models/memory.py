"""``memory/``: the compressor, GroundQwen with a CLIP tower and a pool projector (spec §1.7)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from omnilive.engine.manifest import MemorySpec
from omnilive_export.models.clip import PREPROCESSOR_NAME, clip_weights, read_clip_spec
from omnilive_export.models.layers import linear_weights
from omnilive_export.models.qwen2 import qwen2_weights, read_qwen2_spec
from omnilive_export.reading.config_file import ConfigFile, read_config
from omnilive_export.reading.row_source import RowSource
from omnilive_export.reading.tensor_store import Tensors
from omnilive_export.specs import ClipVitSpec, DecoderSpec, PoolProjectorSpec
from omnilive_export.weights import ClipVitWeights, DecoderWeights, MlpWeights

TOWER_PREFIX = "model.vision_tower.vision_tower.vision_model."

_CLIP_LARGE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "num_channels": 3,
    "patch_size": 14,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
NAMED_TOWERS = {
    "clip-vit-large-patch14": {**_CLIP_LARGE, "image_size": 224},
    "clip-vit-large-patch14-336": {**_CLIP_LARGE, "image_size": 336},
}
"""Public towers that a LLaVA config.json only names (spec §1.7); tensor shapes must agree."""


@dataclass(frozen=True)
class MemoryModel:
    """The compressor: specs, weights, and the text embedding [vocab, hidden]."""

    vit: ClipVitSpec
    vit_weights: ClipVitWeights
    projector: PoolProjectorSpec
    projector_weights: MlpWeights
    lm: DecoderSpec
    lm_weights: DecoderWeights
    embedding: RowSource
    trained: bool

    def manifest_spec(self) -> MemorySpec:
        """Its dimensions for the manifest."""
        return MemorySpec(
            pixels=self.vit.pixels,
            grid=self.vit.grid,
            features=self.vit.features,
            cls=self.vit.hidden,
            slots=self.projector.slots,
            hidden=self.lm.hidden,
            vocab=self.lm.vocab,
            max_positions=self.lm.max_positions,
        )


def read_memory_model(folder: Path, store: Tensors) -> MemoryModel:
    """Read ``memory/config.json`` and check it against the tensors.

    Raises:
        CheckpointError: a key or tensor is missing or odd.
    """
    config = read_config(folder / "config.json")
    feature = config.text("mm_vision_select_feature", "patch")
    config.require("mm_vision_select_feature", feature, ["patch"])
    config.require("mm_projector_type", config.text("mm_projector_type"), ["pool"])
    vit = read_clip_spec(
        _tower_config(config, folder),
        select_layer=config.index("mm_vision_select_layer"),
        layer_source=config,
        processor=folder / PREPROCESSOR_NAME,
    )
    lm = read_qwen2_spec(config)
    projector = _projector_spec(config, vit, lm)
    return MemoryModel(
        vit=vit,
        vit_weights=clip_weights(store, TOWER_PREFIX, vit),
        projector=projector,
        projector_weights=_projector_weights(store, projector),
        lm=lm,
        lm_weights=qwen2_weights(store, "model.", lm, None),
        embedding=store.tensor(
            "model.embed_tokens.weight", (lm.vocab, lm.hidden), why="vocab_size, hidden_size"
        ),
        trained=config.boolean("omnilive_trained", True),
    )


def _tower_config(config: ConfigFile, folder: Path) -> ConfigFile:
    """The tower's own configuration: inside config.json, in a folder beside it, or by name."""
    if "vision_config" in config:
        return config.section("vision_config")
    name = config.text("mm_vision_tower")
    base = name.rstrip("/").rsplit("/", 1)[-1]
    beside = folder / base / "config.json"
    if beside.is_file():
        own = read_config(beside)
        return own.section("vision_config") if "vision_config" in own else own
    if base in NAMED_TOWERS:
        return ConfigFile(config.path, NAMED_TOWERS[base], f"mm_vision_tower {base}: ")
    known = ", ".join(sorted(NAMED_TOWERS))
    raise config.odd("mm_vision_tower", f"one of {known}, or a folder {base}/ beside it", name)


def _projector_spec(config: ConfigFile, vit: ClipVitSpec, lm: DecoderSpec) -> PoolProjectorSpec:
    slots = config.integer("pool_num", 1)
    side = math.isqrt(slots)
    if side * side != slots or vit.grid % side:
        raise config.odd("pool_num", f"a square whose root divides {vit.grid}", slots)
    config.require("resolution", config.integer("resolution"), [vit.grid**2])
    config.require("mm_hidden_size", config.integer("mm_hidden_size"), [vit.hidden])
    return PoolProjectorSpec(vit.grid, vit.features, side, lm.hidden)


def _projector_weights(store: Tensors, spec: PoolProjectorSpec) -> MlpWeights:
    name = "model.mm_projector.mlp"
    why = "4 * the tower's hidden_size, hidden_size"
    return MlpWeights(
        linear_weights(store, f"{name}.0", spec.hidden, spec.features, why=why),
        linear_weights(store, f"{name}.2", spec.hidden, spec.hidden, why=why),
    )
