"""CLIP vision towers of a checkpoint: configuration and tensor names to spec and weights.

It reads no pixels and no weights' values.
"""

from __future__ import annotations

from pathlib import Path

from omnilive_export.graphs.dialect import ACTIVATIONS
from omnilive_export.models.layers import linear_weights, norm_weights
from omnilive_export.reading.config_file import ConfigFile, read_config
from omnilive_export.reading.row_source import stacked
from omnilive_export.reading.tensor_store import Tensors
from omnilive_export.specs import ClipVitSpec
from omnilive_export.weights import (
    ClipVitWeights,
    EncoderLayerWeights,
    LinearWeights,
    NormWeights,
)

PREPROCESSOR_NAME = "preprocessor_config.json"

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""CLIP's normalization (spec §1.4), for towers that come without a preprocessor_config.json."""


def read_clip_spec(
    config: ConfigFile,
    *,
    select_layer: int,
    layer_source: ConfigFile,
    processor: Path,
    mixed: bool = True,
) -> ClipVitSpec:
    """The tower run as far as hidden state ``select_layer``.

    Hidden state 0 is the input of the first layer; -1 is the output of the last, before the final
    norm (spec §1.3); -2 leaves out the last layer.

    Args:
        config: the tower's own configuration.
        select_layer: index into its hidden states.
        layer_source: the configuration that gives ``select_layer``, for the error.
        processor: preprocessor_config.json with the normalization; need not exist.
        mixed: whether 2×2 patches become one token, which takes an even number per side.

    Raises:
        CheckpointError: a key is missing or odd.
    """
    total = config.integer("num_hidden_layers")
    layers = select_layer if select_layer >= 0 else total + 1 + select_layer
    if not 0 <= layers <= total:
        raise layer_source.odd(
            "mm_vision_select_layer", f"a hidden state of {total} layers", select_layer
        )
    hidden = config.integer("hidden_size")
    heads = config.integer("num_attention_heads")
    if hidden % heads:
        raise config.odd("num_attention_heads", f"a divisor of hidden_size {hidden}", heads)
    pixels = config.integer("image_size")
    patch = config.integer("patch_size")
    if mixed and pixels // patch % 2:
        raise config.odd("image_size", f"an even number of patches of {patch} pixels", pixels)
    config.require("num_channels", config.integer("num_channels", 3), [3])
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    if processor.is_file():
        given = read_config(processor)
        mean = given.numbers("image_mean", 3)
        std = given.numbers("image_std", 3)
        if min(std) <= 0:
            raise given.odd("image_std", "three positive numbers", list(std))
    kind = config.text("hidden_act", "quick_gelu")
    return ClipVitSpec(
        pixels=pixels,
        patch=patch,
        hidden=hidden,
        heads=heads,
        intermediate=config.integer("intermediate_size"),
        layers=layers,
        activation=config.require("hidden_act", kind, ACTIVATIONS),
        eps=config.number("layer_norm_eps", 1e-5),
        mean=mean,
        std=std,
    )


def clip_weights(store: Tensors, prefix: str, spec: ClipVitSpec) -> ClipVitWeights:
    """The tower's weights.

    Args:
        store: the checkpoint's tensors.
        prefix: up to and including ``vision_model.``.
        spec: the tower.

    Raises:
        CheckpointError: a tensor is missing or of another shape.
    """
    width = spec.hidden

    def norm(name: str) -> NormWeights:
        return norm_weights(store, prefix + name, width)

    def layer(i: int) -> EncoderLayerWeights:
        at = f"{prefix}encoder.layers.{i}."

        def projection(part: str, rows: int, columns: int) -> LinearWeights:
            return linear_weights(
                store, at + part, rows, columns, why="hidden_size, intermediate_size"
            )

        parts = [projection(f"self_attn.{p}_proj", width, width) for p in ("q", "k", "v")]
        biases = [p.bias for p in parts if p.bias is not None]
        qkv = LinearWeights(stacked(*(p.weight for p in parts)), stacked(*biases))
        return EncoderLayerWeights(
            attention_norm=norm(f"encoder.layers.{i}.layer_norm1"),
            qkv=qkv,
            attention_out=projection("self_attn.out_proj", width, width),
            mlp_norm=norm(f"encoder.layers.{i}.layer_norm2"),
            fc1=projection("mlp.fc1", spec.intermediate, width),
            fc2=projection("mlp.fc2", width, spec.intermediate),
        )

    return ClipVitWeights(
        patch=store.tensor(
            f"{prefix}embeddings.patch_embedding.weight",
            (width, 3, spec.patch, spec.patch),
            why="hidden_size, num_channels, patch_size",
        ),
        class_token=store.tensor(
            f"{prefix}embeddings.class_embedding", (width,), why="hidden_size"
        ),
        positions=store.tensor(
            f"{prefix}embeddings.position_embedding.weight",
            (1 + spec.patches**2, width),
            why="1 + (image_size / patch_size)², hidden_size",
        ),
        pre_norm=norm("pre_layrnorm"),
        layer=layer,
    )
