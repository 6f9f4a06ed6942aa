"""The decoder graph of Qwen, Llama and InternLM2: a block of embeddings appended to a KV arena.

Keys and values lie in an arena outside the graph, so a prefix can be kept, truncated and
continued. The graph never embeds tokens and never samples.
"""

from __future__ import annotations

from omnilive.engine.manifest import KvInfo
from omnilive_export.graphs.builder import PlannedGraph
from omnilive_export.graphs.dialect import SILU, DialectGraph, KvArena, NewGraph, PloraRows
from omnilive_export.graphs.linear import linear, plora_rows
from omnilive_export.graphs.ort_ops import OrtGraph
from omnilive_export.precision import PackPrecision
from omnilive_export.specs import DecoderSpec
from omnilive_export.weights import DecoderLayerWeights, DecoderWeights, HeadNorms


def decoder_graph(
    name: str,
    spec: DecoderSpec,
    weights: DecoderWeights,
    precision: PackPrecision,
    *,
    plora: bool = False,
    new_graph: NewGraph = OrtGraph,
) -> PlannedGraph:
    """Plan a decoder.

    Inputs: ``inputs_embeds`` float32 [1, S, hidden]; with a head ``logit_rows`` int64 [Q], the
    rows of the block to give logits of; with Partial-LoRA ``plora_rows`` int64 [R], distinct rows
    of the block, possibly none; the inputs of the dialect's KV arena.
    Outputs: ``logits`` float32 [1, Q, vocab], or without a head ``hidden`` float32 [1, S, hidden]
    after the final norm; the outputs of the arena.

    Args:
        name: of the engine.
        spec: its dimensions.
        weights: its weights; ``weights.head`` decides between logits and hidden states.
        precision: formats of the pack.
        plora: whether the linears have Partial-LoRA.
        new_graph: the dialect.
    """
    b = new_graph(name)
    x = b.input("inputs_embeds", "float32", (1, "sequence", spec.hidden))
    rows = plora_rows(b, b.input("plora_rows", "int64", ("plora_rows",))) if plora else None
    logit_rows = "" if weights.head is None else b.input("logit_rows", "int64", ("logit_rows",))
    arena = b.kv_arena(spec)

    delta = ""
    for i in range(spec.layers):
        x, delta = _layer(b, i, x, delta, spec, weights.layer(i), precision, rows, arena)

    x = b.op("Add", [x, delta], "final_residual")
    if weights.head is None:
        b.rms_norm(x, weights.final_norm, spec.eps, "hidden")
        b.output("hidden", "float32", (1, "sequence", spec.hidden))
    else:
        picked = b.op("Gather", [x, logit_rows], "final_rows", axis=1)
        normed = b.rms_norm(picked, weights.final_norm, spec.eps, "final_norm")
        b.matmul(normed, weights.head, precision.head, "head.weight", out="logits")
        b.output("logits", "float32", (1, "logit_rows", spec.vocab))
    arena.declare_outputs()
    kv = KvInfo(spec.layers, spec.kv_heads, spec.head_dim, arena.dtype, spec.max_positions)
    limits = {"sequence": spec.max_positions, "capacity": spec.max_positions}
    return b.finish(kv=kv, profile=limits)


def _layer(
    b: DialectGraph,
    index: int,
    x: str,
    delta: str,
    spec: DecoderSpec,
    weights: DecoderLayerWeights,
    precision: PackPrecision,
    rows: PloraRows | None,
    arena: KvArena,
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
        normed, x = b.add_rms_norm(
            x, delta, weights.attention_norm, spec.eps, f"{name}.attention_norm"
        )
    else:
        normed = b.rms_norm(x, weights.attention_norm, spec.eps, f"{name}.attention_norm")
    qkv = project(normed, "qkv")
    if weights.head_norms is not None:
        qkv = _normed_heads(b, qkv, weights.head_norms, spec, name)
    attended = arena.attend(qkv, index, f"{name}.attention")
    delta = project(attended, "attention_out")
    normed, x = b.add_rms_norm(x, delta, weights.mlp_norm, spec.eps, f"{name}.mlp_norm")
    gate = project(normed, "gate")
    silu = b.activation(gate, SILU, f"{name}.silu")
    gated = b.op("Mul", [silu, project(normed, "up")], f"{name}.gated")
    return x, project(gated, "down")


def _normed_heads(b: DialectGraph, qkv: str, norms: HeadNorms, spec: DecoderSpec, name: str) -> str:
    """Packed qkv [1, S, q + k + v] with every query and key head normed by itself."""
    widths = (spec.q_width, spec.kv_width, spec.kv_width)
    parts = [f"{name}.qkv.{part}" for part in ("query", "key", "value")]
    b.op("Split", [qkv, b.ints("qkv.widths", widths)], f"{name}.qkv.parts", outputs=parts, axis=2)
    joined = []
    for part, weight, width in zip(parts, (norms.query, norms.key), widths, strict=False):
        heads = b.ints(f"heads.{width}", [1, -1, width // spec.head_dim, spec.head_dim])
        by_head = b.op("Reshape", [part, heads], f"{part}.heads")
        normed = b.rms_norm(by_head, weight, spec.eps, f"{part}.norm")
        joined.append(
            b.op("Reshape", [normed, b.ints(f"flat.{width}", [1, -1, width])], f"{part}.flat")
        )
    return b.op("Concat", [*joined, parts[2]], f"{name}.qkv.normed", axis=2)
