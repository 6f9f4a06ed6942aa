"""Decoders with the Hugging Face names of Qwen2, Qwen3 and Llama: spec and weights.

They differ only in biases, in norms of the heads, and in how rotary frequencies are scaled.
"""

from __future__ import annotations

from dataclasses import dataclass

from omnilive_export.models.layers import linear_weights
from omnilive_export.reading.config_file import ConfigFile
from omnilive_export.reading.row_source import RowSource, stacked
from omnilive_export.reading.tensor_store import Tensors
from omnilive_export.specs import DecoderSpec, Llama3Scaling, RopeSpec
from omnilive_export.weights import (
    DecoderLayerWeights,
    DecoderWeights,
    HeadNorms,
    LinearWeights,
)

DEFAULT_ROPE_THETA = 10_000.0
"""What the reference library takes when config.json has no rope_theta: the trap of spec §1.2."""

ROPE_KINDS = ("default", "linear", "dynamic", "llama3")


@dataclass(frozen=True)
class DecoderParts:
    """Which of the optional parts every layer of a decoder has."""

    qkv_bias: bool
    out_bias: bool = False
    mlp_bias: bool = False
    head_norms: bool = False


def read_rope(config: ConfigFile) -> RopeSpec:
    """Rotary positions and their scaling; newer files keep all of it under ``rope_parameters``.

    Raises:
        CheckpointError: a key is odd, or asks for a scaling that changes more than frequencies.
    """
    key = "rope_parameters" if "rope_parameters" in config else "rope_scaling"
    scaling = config.section(key) if key in config else ConfigFile(config.path, {}, config.prefix)
    theta = config.number("rope_theta", DEFAULT_ROPE_THETA)
    theta = scaling.number("rope_theta", theta)
    for source in (config, scaling):
        share = source.number("partial_rotary_factor", 1.0)
        source.require("partial_rotary_factor", share, [1.0])
    name = "rope_type" if "rope_type" in scaling else "type"
    kind = scaling.require(name, scaling.text(name, "default"), ROPE_KINDS)
    if kind == "linear":
        return RopeSpec(theta, frequency_divisor=scaling.number("factor"))
    if kind == "dynamic":
        return RopeSpec(theta, dynamic_from=config.integer("max_position_embeddings"))
    if kind == "llama3":
        return RopeSpec(theta, llama3=_llama3(scaling))
    return RopeSpec(theta)


def hf_decoder_weights(
    store: Tensors, prefix: str, spec: DecoderSpec, head: RowSource | None, parts: DecoderParts
) -> DecoderWeights:
    """The decoder's weights.

    Args:
        store: the checkpoint's tensors.
        prefix: up to and including ``model.``.
        spec: the decoder.
        head: the output head [vocab, hidden], or None for hidden states.
        parts: what its layers have.

    Raises:
        CheckpointError: a tensor is missing or of another shape.
    """
    q, kv, width, middle = spec.q_width, spec.kv_width, spec.hidden, spec.intermediate
    heads_why = "num_attention_heads, num_key_value_heads, hidden_size"

    def layer(i: int) -> DecoderLayerWeights:
        at = f"{prefix}layers.{i}."

        def norm(part: str, length: int = width) -> RowSource:
            return store.tensor(f"{at}{part}.weight", (length,), why="hidden_size, head_dim")

        def mlp(part: str, rows: int, columns: int) -> LinearWeights:
            name, why = f"{at}mlp.{part}", "intermediate_size, hidden_size"
            return linear_weights(store, name, rows, columns, why=why, bias=parts.mlp_bias)

        def attention(part: str, rows: int, columns: int, *, bias: bool) -> LinearWeights:
            name = f"{at}self_attn.{part}_proj"
            return linear_weights(store, name, rows, columns, why=heads_why, bias=bias)

        qkv = [
            attention(part, rows, width, bias=parts.qkv_bias)
            for part, rows in (("q", q), ("k", kv), ("v", kv))
        ]
        biases = [part.bias for part in qkv if part.bias is not None]
        norms = None
        if parts.head_norms:
            query, key = (norm(f"self_attn.{p}_norm", spec.head_dim) for p in ("q", "k"))
            norms = HeadNorms(query, key)
        return DecoderLayerWeights(
            attention_norm=norm("input_layernorm"),
            qkv=LinearWeights(
                stacked(*(p.weight for p in qkv)), stacked(*biases) if biases else None
            ),
            attention_out=attention("o", width, q, bias=parts.out_bias),
            mlp_norm=norm("post_attention_layernorm"),
            gate=mlp("gate_proj", middle, width),
            up=mlp("up_proj", middle, width),
            down=mlp("down_proj", width, middle),
            head_norms=norms,
        )

    final = store.tensor(f"{prefix}norm.weight", (width,), why="hidden_size")
    return DecoderWeights(layer, final, head)


def require_full_attention(config: ConfigFile, max_positions: int) -> None:
    """Refuse a sliding window shorter than the context. Raises CheckpointError."""
    if config.boolean("use_sliding_window", False):
        window = config.integer("sliding_window")
        if window < max_positions:
            expected = f"at least {max_positions} (full attention)"
            raise config.odd("sliding_window", expected, window)


def _llama3(scaling: ConfigFile) -> Llama3Scaling:
    low, high = scaling.number("low_freq_factor"), scaling.number("high_freq_factor")
    if high <= low:
        raise scaling.odd("high_freq_factor", f"more than low_freq_factor {low:g}", high)
    positions = scaling.integer("original_max_position_embeddings")
    return Llama3Scaling(scaling.number("factor"), low, high, positions)
