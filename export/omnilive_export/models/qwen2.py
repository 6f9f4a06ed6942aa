"""Qwen2 decoders of a checkpoint: configuration and tensor names to spec and weights."""

from __future__ import annotations

from omnilive_export.models.layers import linear_weights, read_decoder_spec
from omnilive_export.reading.config_file import ConfigFile
from omnilive_export.reading.row_source import RowSource, stacked
from omnilive_export.reading.tensor_store import TensorStore
from omnilive_export.specs import DecoderSpec, RopeSpec
from omnilive_export.weights import DecoderLayerWeights, DecoderWeights, LinearWeights

DEFAULT_ROPE_THETA = 10_000.0
"""What the reference library takes when config.json has no rope_theta: the trap of spec §1.2."""

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


def read_qwen2_spec(config: ConfigFile) -> DecoderSpec:
    """A Qwen2 decoder.

    Raises:
        CheckpointError: a key is missing or odd, or asks for what this graph does not do:
            RoPE scaling or a sliding window.
    """
    spec = read_decoder_spec(config, _rope(config))
    if config.boolean("use_sliding_window", False):
        full, window = spec.max_positions, config.integer("sliding_window")
        if window < full:
            raise config.odd("sliding_window", f"at least {full} (full attention)", window)
    return spec


def qwen2_weights(
    store: TensorStore, prefix: str, spec: DecoderSpec, head: RowSource | None
) -> DecoderWeights:
    """The decoder's weights.

    Args:
        store: the checkpoint's tensors.
        prefix: up to and including ``model.``.
        spec: the decoder.
        head: the output head [vocab, hidden], or None for hidden states.

    Raises:
        CheckpointError: a tensor is missing or of another shape.
    """
    q, kv, width, middle = spec.q_width, spec.kv_width, spec.hidden, spec.intermediate
    heads_why = "num_attention_heads, num_key_value_heads, hidden_size"

    def layer(i: int) -> DecoderLayerWeights:
        at = f"{prefix}layers.{i}."

        def norm(part: str) -> RowSource:
            return store.tensor(f"{at}{part}.weight", (width,), why="hidden_size")

        def mlp(part: str, rows: int, columns: int) -> LinearWeights:
            why = "intermediate_size, hidden_size"
            return linear_weights(store, f"{at}mlp.{part}", rows, columns, why=why, bias=False)

        parts = [
            linear_weights(store, f"{at}self_attn.{part}_proj", rows, width, why=heads_why)
            for part, rows in (("q", q), ("k", kv), ("v", kv))
        ]
        biases = [part.bias for part in parts if part.bias is not None]
        return DecoderLayerWeights(
            attention_norm=norm("input_layernorm"),
            qkv=LinearWeights(stacked(*(p.weight for p in parts)), stacked(*biases)),
            attention_out=linear_weights(
                store, f"{at}self_attn.o_proj", width, q, why=heads_why, bias=False
            ),
            mlp_norm=norm("post_attention_layernorm"),
            gate=mlp("gate_proj", middle, width),
            up=mlp("up_proj", middle, width),
            down=mlp("down_proj", width, middle),
        )

    final = store.tensor(f"{prefix}norm.weight", (width,), why="hidden_size")
    return DecoderWeights(layer, final, head)


def _rope(config: ConfigFile) -> RopeSpec:
    """RoPE without scaling; newer files keep theta under ``rope_parameters``."""
    source = config.section("rope_parameters") if "rope_parameters" in config else config
    for key in ("rope_scaling", "rope_parameters"):
        if key in config:
            scaling = config.section(key)
            kind = "rope_type" if "rope_type" in scaling else "type"
            scaling.require(kind, scaling.text(kind, "default"), ["default"])
    return RopeSpec(source.number("rope_theta", DEFAULT_ROPE_THETA))
