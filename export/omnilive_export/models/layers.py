"""What decoders and encoders of a checkpoint share: dimensions, linears and norms.

Shapes are checked; values are never read.
"""

from __future__ import annotations

from omnilive_export.reading.config_file import ConfigFile
from omnilive_export.reading.row_source import RowSource
from omnilive_export.reading.tensor_store import Tensors
from omnilive_export.specs import DecoderSpec, RopeSpec
from omnilive_export.weights import LinearWeights, NormWeights

HEAD_MULTIPLE = 16
"""GroupQueryAttention takes heads of a multiple of 16 values."""


def read_decoder_spec(
    config: ConfigFile, rope: RopeSpec, *, kv_heads: int | None = None
) -> DecoderSpec:
    """A decoder's dimensions, by the keys that Qwen2 and InternLM2 share.

    Args:
        config: of the decoder.
        rope: how its positions are turned.
        kv_heads: taken where there is no num_key_value_heads; None when it must be there.

    Raises:
        CheckpointError: a key is missing or odd.
    """
    hidden = config.integer("hidden_size")
    heads = config.integer("num_attention_heads")
    groups = config.integer("num_key_value_heads", kv_heads)
    if heads % groups:
        raise config.odd("num_key_value_heads", f"a divisor of {heads} heads", groups)
    config.require("hidden_act", config.text("hidden_act"), ["silu"])
    return DecoderSpec(
        hidden=hidden,
        layers=config.integer("num_hidden_layers"),
        heads=heads,
        kv_heads=groups,
        head_dim=_read_head_dim(config, hidden, heads),
        intermediate=config.integer("intermediate_size"),
        vocab=config.integer("vocab_size"),
        max_positions=config.integer("max_position_embeddings"),
        eps=config.number("rms_norm_eps"),
        rope=rope,
    )


def _read_head_dim(config: ConfigFile, hidden: int, heads: int) -> int:
    """Width of an attention head: ``head_dim``, or hidden_size shared out over the heads.

    One that fused attention does not take is refused.
    """
    if "head_dim" in config:
        head_dim = config.integer("head_dim")
    elif hidden % heads == 0:
        head_dim = hidden // heads
    else:
        raise config.odd("num_attention_heads", f"a divisor of hidden_size {hidden}", heads)
    if head_dim % HEAD_MULTIPLE:
        key = "head_dim" if "head_dim" in config else "num_attention_heads"
        raise config.odd(key, f"heads of a multiple of {HEAD_MULTIPLE} values", config.values[key])
    return head_dim


def output_head(
    store: Tensors, name: str, spec: DecoderSpec, embedding: RowSource, *, tied: bool
) -> RowSource:
    """The output head [vocab, hidden]: stored, or the embedding where the two are tied."""
    if tied and name not in store:
        return embedding
    why = "vocab_size, hidden_size; absent only where tie_word_embeddings is true"
    return store.tensor(name, (spec.vocab, spec.hidden), why=why)


def norm_weights(store: Tensors, name: str, width: int) -> NormWeights:
    """A layer norm ``name``.{weight,bias}."""
    return NormWeights(
        store.tensor(f"{name}.weight", (width,), why="the layer's width"),
        store.tensor(f"{name}.bias", (width,), why="the layer's width"),
    )


def linear_weights(
    store: Tensors,
    name: str,
    rows: int | None,
    columns: int | None,
    *,
    why: str,
    bias: bool = True,
) -> LinearWeights:
    """A linear ``name``.weight [rows, columns], with ``name``.bias [rows] if ``bias``."""
    weight = store.tensor(f"{name}.weight", (rows, columns), why=why)
    if not bias:
        return LinearWeights(weight)
    return LinearWeights(weight, store.tensor(f"{name}.bias", (weight.shape[0],), why=why))
