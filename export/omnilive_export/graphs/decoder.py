"""The decoder graph of Qwen2 and InternLM2: a block of embeddings appended to a KV arena.

Keys and values come in and go out in one buffer, bound in place by the runtime, so a prefix can
be kept, truncated and continued. The graph never embeds tokens and never samples.
"""

from __future__ import annotations

from omnilive.engine.manifest import KvInfo
from omnilive_export.graphs.builder import CONTRIB, GraphBuilder, PlannedGraph
from omnilive_export.graphs.linear import PloraRows, linear, matmul, plora_rows
from omnilive_export.graphs.ort_ops import add_rms_norm, rms_norm
from omnilive_export.graphs.rope import rope_tables
from omnilive_export.precision import PackPrecision
from omnilive_export.specs import DecoderSpec
from omnilive_export.weights import DecoderLayerWeights, DecoderWeights


def decoder_graph(
    name: str,
    spec: DecoderSpec,
    weights: DecoderWeights,
    precision: PackPrecision,
    *,
    plora: bool = False,
) -> PlannedGraph:
    """Plan a decoder.

    Inputs: ``inputs_embeds`` float32 [1, S, hidden]; with a head ``logit_rows`` int64 [Q], the
    rows of the block to give logits of; with Partial-LoRA ``plora_rows`` int64 [R], distinct rows
    of the block, possibly none; ``seqlens_k`` int32 [1] = tokens in the arena after this block,
    less one; ``total_sequence_length`` int32 [] = tokens in the arena after this block; the arena.
    Outputs: ``logits`` float32 [1, Q, vocab], or without a head ``hidden`` float32 [1, S, hidden]
    after the final norm; the arena.

    Args:
        name: of the engine.
        spec: its dimensions.
        weights: its weights; ``weights.head`` decides between logits and hidden states.
        precision: formats of the pack.
        plora: whether the linears have Partial-LoRA.
    """
    b = GraphBuilder(name)
    x = b.input("inputs_embeds", "float32", (1, "sequence", spec.hidden))
    rows = plora_rows(b, b.input("plora_rows", "int64", ("plora_rows",))) if plora else None
    logit_rows = "" if weights.head is None else b.input("logit_rows", "int64", ("logit_rows",))
    arena = _Arena(b, spec)

    delta = ""
    for i in range(spec.layers):
        x, delta = _layer(b, i, x, delta, spec, weights.layer(i), precision, rows, arena)

    x = b.op("Add", [x, delta], "final_residual")
    if weights.head is None:
        rms_norm(b, x, weights.final_norm, spec.eps, "hidden")
        b.output("hidden", "float32", (1, "sequence", spec.hidden))
    else:
        picked = b.op("Gather", [x, logit_rows], "final_rows", axis=1)
        normed = rms_norm(b, picked, weights.final_norm, spec.eps, "final_norm")
        matmul(b, normed, weights.head, precision.head, "head.weight", out="logits")
        b.output("logits", "float32", (1, "logit_rows", spec.vocab))
    arena.declare_outputs()
    kv = KvInfo(spec.layers, spec.kv_heads, spec.head_dim, "float32", spec.max_positions)
    limits = {"sequence": spec.max_positions, "capacity": spec.max_positions}
    return b.finish(kv=kv, profile=limits)


def past_name(layer: int, part: str) -> str:
    """Input name of the arena's ``key`` or ``value`` of a layer."""
    return f"past_key_values.{layer}.{part}"


def present_name(layer: int, part: str) -> str:
    """Output name of the arena's ``key`` or ``value`` of a layer."""
    return f"present.{layer}.{part}"


class _Arena:
    """The KV inputs and outputs of one graph and the position tables its layers share."""

    def __init__(self, b: GraphBuilder, spec: DecoderSpec) -> None:
        self._b = b
        self._spec = spec
        self._shape = (1, spec.kv_heads, "capacity", spec.head_dim)
        self._seqlens = b.input("seqlens_k", "int32", (1,))
        self._total = b.input("total_sequence_length", "int32", ())
        for i in range(spec.layers):
            for part in ("key", "value"):
                b.input(past_name(i, part), "float32", self._shape)
        cos, sin = rope_tables(spec.rope, head_dim=spec.head_dim, positions=spec.max_positions)
        self._cos = b.array("rope.cos", cos)
        self._sin = b.array("rope.sin", sin)

    def attend(self, qkv: str, layer: int, name: str) -> str:
        """Rotate, append to the arena and attend: qkv [1, S, q + k + v] → [1, S, q]."""
        past = [past_name(layer, part) for part in ("key", "value")]
        present = [present_name(layer, part) for part in ("key", "value")]
        return self._b.op(
            "GroupQueryAttention",
            [qkv, "", "", *past, self._seqlens, self._total, self._cos, self._sin],
            name,
            outputs=[name, *present],
            domain=CONTRIB,
            num_heads=self._spec.heads,
            kv_num_heads=self._spec.kv_heads,
            do_rotary=1,
        )

    def declare_outputs(self) -> None:
        """Declare the arena's outputs, after the graph's own."""
        for i in range(self._spec.layers):
            for part in ("key", "value"):
                self._b.output(present_name(i, part), "float32", self._shape)


def _layer(
    b: GraphBuilder,
    index: int,
    x: str,
    delta: str,
    spec: DecoderSpec,
    weights: DecoderLayerWeights,
    precision: PackPrecision,
    rows: PloraRows | None,
    arena: _Arena,
) -> tuple[str, str]:
    """One layer. The residual stream is ``x`` + ``delta`` ("" for none); so is what it returns."""
    name = f"layers.{index}"

    def project(value: str, part: str) -> str:
        return linear(
            b,
            value,
            getattr(weights, part),
            precision.blocks,
            f"{name}.{part}",
            plora=rows,
            plora_format=precision.plora,
        )

    if delta:
        normed, x = add_rms_norm(
            b, x, delta, weights.attention_norm, spec.eps, f"{name}.attention_norm"
        )
    else:
        normed = rms_norm(b, x, weights.attention_norm, spec.eps, f"{name}.attention_norm")
    attended = arena.attend(project(normed, "qkv"), index, f"{name}.attention")
    delta = project(attended, "attention_out")
    normed, x = add_rms_norm(b, x, delta, weights.mlp_norm, spec.eps, f"{name}.mlp_norm")
    gate = project(normed, "gate")
    silu = b.op("QuickGelu", [gate], f"{name}.silu", domain=CONTRIB, alpha=1.0)
    gated = b.op("Mul", [silu, project(normed, "up")], f"{name}.gated")
    return x, project(gated, "down")
