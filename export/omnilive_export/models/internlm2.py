"""InternLM2 with Partial-LoRA (spec §1.3): configuration and tensor names to spec and weights."""

from __future__ import annotations

from omnilive_export.models.layers import read_decoder_spec
from omnilive_export.reading.config_file import ConfigFile
from omnilive_export.reading.row_source import PickedRows, RowRange, RowSource
from omnilive_export.reading.tensor_store import Tensors
from omnilive_export.specs import DecoderSpec, RopeSpec
from omnilive_export.weights import (
    DecoderLayerWeights,
    DecoderWeights,
    LinearWeights,
    PloraWeights,
)

DEFAULT_ROPE_THETA = 10_000.0
"""The configuration class's default."""


def read_internlm2_spec(config: ConfigFile) -> DecoderSpec:
    """An InternLM2 decoder.

    With dynamic NTK scaling the frequencies change once a sequence is longer than
    max_position_embeddings; up to there they are the plain ones, and the decoder is bounded to it.

    Raises:
        CheckpointError: a key is missing or odd.
    """
    divisor, dynamic_from = 1.0, None
    if "rope_scaling" in config:
        scaling = config.section("rope_scaling")
        kind = scaling.require("type", scaling.text("type"), ["dynamic", "linear"])
        if kind == "linear":
            divisor = scaling.number("factor")
        else:
            dynamic_from = config.integer("max_position_embeddings")
    rope = RopeSpec(
        config.number("rope_theta", DEFAULT_ROPE_THETA),
        position_divisor=divisor,
        dynamic_from=dynamic_from,
    )
    return read_decoder_spec(config, rope, kv_heads=config.integer("num_attention_heads"))


def internlm2_weights(
    store: Tensors, prefix: str, spec: DecoderSpec, head: RowSource, *, bias: bool
) -> DecoderWeights:
    """The decoder's weights, the fused grouped ``wqkv`` split into queries, keys and values.

    Args:
        store: the checkpoint's tensors.
        prefix: up to and including ``model.``.
        spec: the decoder.
        head: the output head [vocab, hidden].
        bias: whether ``wqkv`` and ``wo`` have biases.

    Raises:
        CheckpointError: a tensor is missing or of another shape.
    """
    width, middle = spec.hidden, spec.intermediate

    def layer(i: int) -> DecoderLayerWeights:
        at = f"{prefix}layers.{i}."

        def norm(part: str) -> RowSource:
            return store.tensor(f"{at}{part}.weight", (width,), why="hidden_size")

        def mlp(part: str, rows: int, columns: int) -> LinearWeights:
            return _plora_linear(store, f"{at}feed_forward.{part}", rows, columns, bias=False)

        fused = _plora_linear(store, f"{at}attention.wqkv", spec.qkv_width, width, bias=bias)
        return DecoderLayerWeights(
            attention_norm=norm("attention_norm"),
            qkv=_ungrouped(fused, spec),
            attention_out=_plora_linear(store, f"{at}attention.wo", width, spec.q_width, bias=bias),
            mlp_norm=norm("ffn_norm"),
            gate=mlp("w1", middle, width),
            up=mlp("w3", middle, width),
            down=mlp("w2", width, middle),
        )

    final = store.tensor(f"{prefix}norm.weight", (width,), why="hidden_size")
    return DecoderWeights(layer, final, head)


def ungrouped_rows(source: RowSource, spec: DecoderSpec) -> PickedRows:
    """Rows of a fused ``wqkv`` in the order all queries, all keys, all values.

    The fused rows lie in one group per KV head: its query heads, its key, its value.
    """
    dim = spec.head_dim
    per_group = spec.heads // spec.kv_heads
    group = (per_group + 2) * dim
    starts = [g * group for g in range(spec.kv_heads)]
    queries = [RowRange(source, s, s + per_group * dim) for s in starts]
    keys = [RowRange(source, s + per_group * dim, s + (per_group + 1) * dim) for s in starts]
    values = [RowRange(source, s + (per_group + 1) * dim, s + group) for s in starts]
    return PickedRows((*queries, *keys, *values))


def _ungrouped(fused: LinearWeights, spec: DecoderSpec) -> LinearWeights:
    bias = None if fused.bias is None else ungrouped_rows(fused.bias, spec)
    plora = None
    if fused.plora is not None:
        plora = PloraWeights(fused.plora.a, ungrouped_rows(fused.plora.b, spec))
    return LinearWeights(ungrouped_rows(fused.weight, spec), bias, plora)


def _plora_linear(
    store: Tensors, name: str, rows: int, columns: int, *, bias: bool
) -> LinearWeights:
    why = "hidden_size, intermediate_size, num_attention_heads, num_key_value_heads"
    a = store.tensor(f"{name}.Plora_A.weight", (None, columns), why=why)
    rank = a.shape[0]
    return LinearWeights(
        weight=store.tensor(f"{name}.weight", (rows, columns), why=why),
        bias=store.tensor(f"{name}.bias", (rows,), why="bias") if bias else None,
        plora=PloraWeights(
            a, store.tensor(f"{name}.Plora_B.weight", (rows, rank), why="the rank of Plora_A")
        ),
    )
