"""The projectors around the compressor: clip tokens in (pool), memory tokens out (to reasoner).

Means are taken in float32 before the MLP, as the reference does. It never runs an LM.
"""

from __future__ import annotations

from omnilive_export.graphs.builder import PlannedGraph
from omnilive_export.graphs.dialect import NewGraph
from omnilive_export.graphs.mlp import mlp
from omnilive_export.graphs.ort_ops import OrtGraph
from omnilive_export.precision import LinearFormat
from omnilive_export.specs import MlpSpec, PoolProjectorSpec
from omnilive_export.weights import MlpWeights


def pool_projector_graph(
    name: str,
    spec: PoolProjectorSpec,
    weights: MlpWeights,
    fmt: LinearFormat,
    *,
    max_frames: int,
    new_graph: NewGraph = OrtGraph,
) -> PlannedGraph:
    """The tokens of one clip (spec §2.2).

    Input ``features`` float32 [T, grid², features]. Output ``clip_embeds`` float32
    [T * grid² + slots * T + 1, hidden]: every token, then the slots (frame by frame, row by row),
    then the mean of all.
    """
    b = new_graph(name)
    features = b.input("features", "float32", ("frames", spec.grid**2, spec.features))
    cell = spec.grid // spec.side
    maps = b.op(
        "Reshape",
        [features, b.ints("maps.shape", [-1, spec.side, cell, spec.side, cell, spec.features])],
        "maps",
    )
    slots = b.op("ReduceMean", [maps, b.ints("cell.axes", [2, 4])], "slots", keepdims=0)
    rows = b.ints("rows.shape", [-1, spec.features])
    tokens = b.op("Reshape", [features, rows], "tokens")
    slot_tokens = b.op("Reshape", [slots, rows], "slot_tokens")
    whole = b.op("ReduceMean", [tokens, b.ints("token.axes", [0])], "global_token", keepdims=1)
    joined = b.op("Concat", [tokens, slot_tokens, whole], "joined", axis=0)
    mlp(b, joined, weights, fmt, "mlp", out="clip_embeds")
    b.output("clip_embeds", "float32", ("clip_tokens", spec.hidden))
    per_frame = spec.grid**2 + spec.slots
    profile = {"frames": max_frames, "clip_tokens": max_frames * per_frame + 1}
    return b.finish(profile=profile)


def memory_projector_graph(
    name: str,
    spec: MlpSpec,
    weights: MlpWeights,
    fmt: LinearFormat,
    *,
    max_tokens: int,
    new_graph: NewGraph = OrtGraph,
) -> PlannedGraph:
    """``video_mem_proj`` (spec §1.3): ``memory`` float32 [n, inputs] → ``embeds`` [n, outputs]."""
    b = new_graph(name)
    memory = b.input("memory", "float32", ("tokens", spec.inputs))
    mlp(b, memory, weights, fmt, "video_mem_proj", out="embeds")
    b.output("embeds", "float32", ("tokens", spec.outputs))
    return b.finish(profile={"tokens": max_tokens})
