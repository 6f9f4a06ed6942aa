"""Qwen2 decoders of a checkpoint: configuration and tensor names to spec and weights."""

from __future__ import annotations

from omnilive_export.models.hf_decoder import (
    DecoderParts,
    hf_decoder_weights,
    read_rope,
    require_full_attention,
)
from omnilive_export.models.layers import read_decoder_spec
from omnilive_export.reading.config_file import ConfigFile
from omnilive_export.reading.row_source import RowSource
from omnilive_export.reading.tensor_store import Tensors
from omnilive_export.specs import DecoderSpec
from omnilive_export.weights import DecoderWeights

QWEN2_DEFAULTS = {
    "vocab_size": 151936,
    "hidden_size": 4096,
    "intermediate_size": 22016,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
}
"""The reference library's defaults, which a nested text_config leaves out."""

QWEN2_PARTS = DecoderParts(qkv_bias=True)


def read_qwen2_spec(config: ConfigFile) -> DecoderSpec:
    """A Qwen2 decoder.

    Raises:
        CheckpointError: a key is missing or odd, or asks for what this graph does not do:
            a scaling of positions it does not know, or a sliding window.
    """
    spec = read_decoder_spec(config, read_rope(config))
    require_full_attention(config, spec.max_positions)
    return spec


def qwen2_weights(
    store: Tensors, prefix: str, spec: DecoderSpec, head: RowSource | None
) -> DecoderWeights:
    """The decoder's weights; see ``hf_decoder_weights``. Raises CheckpointError."""
    return hf_decoder_weights(store, prefix, spec, head, QWEN2_PARTS)
