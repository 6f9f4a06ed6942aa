"""Plain Hugging Face folders of one model: configuration and tensor names to spec and weights.

A user swaps a tower or a reasoner with one of these. It never knows the family's own layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnilive_export.models.clip import PREPROCESSOR_NAME, clip_weights, read_clip_spec
from omnilive_export.models.hf_decoder import (
    DecoderParts,
    hf_decoder_weights,
    read_rope,
    require_full_attention,
)
from omnilive_export.models.layers import norm_weights, output_head, read_decoder_spec
from omnilive_export.models.qwen2 import QWEN2_PARTS
from omnilive_export.models.whisper import read_whisper_spec, whisper_weights
from omnilive_export.reading.checkpoint import architecture
from omnilive_export.reading.config_file import ConfigFile, read_config
from omnilive_export.reading.row_source import RowSource
from omnilive_export.reading.tensor_store import Tensors
from omnilive_export.specs import ClipVitSpec, DecoderSpec, WhisperEncoderSpec
from omnilive_export.weights import (
    ClipVitWeights,
    DecoderWeights,
    NormWeights,
    WhisperEncoderWeights,
)

CLIP_ARCHITECTURES = ("CLIPVisionModel", "CLIPVisionModelWithProjection", "CLIPModel")
WHISPER_ARCHITECTURE = "WhisperForConditionalGeneration"
DECODER_ARCHITECTURES = ("Qwen2ForCausalLM", "Qwen3ForCausalLM", "LlamaForCausalLM")
ARCHITECTURES = (*CLIP_ARCHITECTURES, WHISPER_ARCHITECTURE, *DECODER_ARCHITECTURES)

CLIP_DEFAULTS: Mapping[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "projection_dim": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
"""The reference library's defaults, which a nested vision_config leaves out."""


@dataclass(frozen=True)
class ClipModel:
    """A vision tower; ``projection`` [projection_dim, hidden] is None where there is none."""

    spec: ClipVitSpec
    weights: ClipVitWeights
    post_norm: NormWeights
    projection: RowSource | None


@dataclass(frozen=True)
class WhisperModel:
    """The encoder of a Whisper model."""

    spec: WhisperEncoderSpec
    weights: WhisperEncoderWeights


@dataclass(frozen=True)
class DecoderModel:
    """A text decoder with its head, and its embedding [vocab, hidden]."""

    spec: DecoderSpec
    weights: DecoderWeights
    embedding: RowSource


def read_single_model(folder: Path, store: Tensors) -> ClipModel | WhisperModel | DecoderModel:
    """Read the model's config.json and check it against the tensors.

    Raises:
        CheckpointError: an architecture that is not known, or a key or tensor that is missing or
            odd.
    """
    config = read_config(folder / "config.json")
    kind = architecture(config)
    if kind in CLIP_ARCHITECTURES:
        return _read_clip(config, kind, store)
    if kind == WHISPER_ARCHITECTURE:
        spec = read_whisper_spec(config, folder)
        return WhisperModel(spec, whisper_weights(store, "model.encoder.", spec))
    if kind in DECODER_ARCHITECTURES:
        return _read_decoder(config, kind, store)
    raise config.odd("architectures", "one of " + ", ".join(ARCHITECTURES), kind)


def vision_config(config: ConfigFile) -> ConfigFile:
    """The tower's own part of a CLIP configuration, with what the reference library fills in."""
    own = config.section("vision_config") if "vision_config" in config else config
    return own.with_defaults(CLIP_DEFAULTS)


def tower_prefix(store: Tensors) -> str:
    """What the names of a CLIP tower's tensors begin with.

    Newer releases of the library save a tower alone without the name it has inside a model.
    """
    return "vision_model." if "vision_model.pre_layrnorm.weight" in store else ""


def _read_clip(config: ConfigFile, kind: str, store: Tensors) -> ClipModel:
    own = vision_config(config)
    processor = store.folder / PREPROCESSOR_NAME
    spec = read_clip_spec(own, select_layer=-1, layer_source=own, processor=processor, mixed=False)
    prefix = tower_prefix(store)
    projection = None
    if kind != "CLIPVisionModel":
        width = config.integer("projection_dim", own.integer("projection_dim"))
        why = "projection_dim, hidden_size"
        projection = store.tensor("visual_projection.weight", (width, spec.hidden), why=why)
    return ClipModel(
        spec=spec,
        weights=clip_weights(store, prefix, spec),
        post_norm=norm_weights(store, f"{prefix}post_layernorm", spec.hidden),
        projection=projection,
    )


def _read_decoder(config: ConfigFile, kind: str, store: Tensors) -> DecoderModel:
    heads = config.integer("num_attention_heads")
    spec = read_decoder_spec(config, read_rope(config), kv_heads=heads)
    require_full_attention(config, spec.max_positions)
    embedding = store.tensor(
        "model.embed_tokens.weight", (spec.vocab, spec.hidden), why="vocab_size, hidden_size"
    )
    tied = config.boolean("tie_word_embeddings", False)
    head = output_head(store, "lm_head.weight", spec, embedding, tied=tied)
    weights = hf_decoder_weights(store, "model.", spec, head, _parts(config, kind))
    return DecoderModel(spec, weights, embedding)


def _parts(config: ConfigFile, kind: str) -> DecoderParts:
    if kind == "Qwen2ForCausalLM":
        return QWEN2_PARTS
    bias = config.boolean("attention_bias", False)
    if kind == "Qwen3ForCausalLM":
        return DecoderParts(qkv_bias=bias, out_bias=bias, head_norms=True)
    return DecoderParts(qkv_bias=bias, out_bias=bias, mlp_bias=config.boolean("mlp_bias", False))
