"""CLIP vision towers: uint8 RGB squares in, 2×2-mixed patch tokens out.

Normalization lies inside the graph. It never resizes: the caller gives squares of the right side.
"""

from __future__ import annotations

import numpy as np

from omnilive_export.graphs.builder import GraphBuilder, PlannedGraph
from omnilive_export.graphs.dialect import DialectGraph, NewGraph
from omnilive_export.graphs.encoder_layer import EncoderShape, encoder_layer
from omnilive_export.graphs.mlp import mlp
from omnilive_export.graphs.ort_ops import OrtGraph
from omnilive_export.precision import LinearFormat
from omnilive_export.reading.row_source import F32, read_all
from omnilive_export.specs import ClipVitSpec, MlpSpec
from omnilive_export.weights import ClipVitWeights, MlpWeights

CHANNELS = 3
PIXEL_MAX = 255.0


def memory_vit_graph(
    name: str,
    spec: ClipVitSpec,
    weights: ClipVitWeights,
    fmt: LinearFormat,
    *,
    max_batch: int,
    new_graph: NewGraph = OrtGraph,
) -> PlannedGraph:
    """The compressor's tower (spec §2.1).

    Input ``frames`` uint8 [N, pixels, pixels, 3] RGB. Outputs ``features`` float32
    [N, grid², 4 * hidden], and ``cls`` float32 [N, hidden], the class token of the same hidden
    state.
    """
    b = new_graph(name)
    frames = b.pixels("frames", ("frames", spec.pixels, spec.pixels, CHANNELS))
    hidden = tower(b, frames, spec, weights, fmt)
    b.op("Gather", [hidden, b.constant("cls_index", np.array(0, dtype=np.int64))], "cls", axis=1)
    _mixed_patches(b, hidden, spec, "features")
    b.output("features", "float32", ("frames", spec.grid**2, spec.features))
    b.output("cls", "float32", ("frames", spec.hidden))
    return b.finish(profile={"frames": max_batch})


def reasoner_vit_graph(
    name: str,
    spec: ClipVitSpec,
    weights: ClipVitWeights,
    projector: MlpSpec,
    projector_weights: MlpWeights,
    fmt: LinearFormat,
    *,
    max_batch: int,
    new_graph: NewGraph = OrtGraph,
) -> PlannedGraph:
    """The reasoner's tower and ``vision_proj`` (spec §1.3).

    Input ``tiles`` uint8 [N, pixels, pixels, 3] RGB. Output ``embeds`` float32
    [N, grid², projector.outputs]. The separators between rows and views are a table, not here.
    """
    b = new_graph(name)
    tiles = b.pixels("tiles", ("tiles", spec.pixels, spec.pixels, CHANNELS))
    hidden = tower(b, tiles, spec, weights, fmt)
    mixed = _mixed_patches(b, hidden, spec, "mixed")
    mlp(b, mixed, projector_weights, fmt, "vision_proj", out="embeds")
    b.output("embeds", "float32", ("tiles", spec.grid**2, projector.outputs))
    return b.finish(profile={"tiles": max_batch})


def folded_patch_weights(
    patch: F32, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[F32, F32]:
    """The patch convolution with CLIP's normalization folded in.

    conv((x / 255 - mean) / std) = x · W' + b' for x in 0..255.

    Args:
        patch: float32 [hidden, 3, side, side].
        mean, std: per channel, of values in [0, 1].

    Returns:
        W' float32 [side * side * 3, hidden], its rows ordered row, column, channel, and
        b' float32 [hidden].
    """
    scale = 1.0 / (PIXEL_MAX * np.asarray(std, dtype=np.float64))
    shift = np.asarray(mean, dtype=np.float64) / np.asarray(std, dtype=np.float64)
    wide = patch.astype(np.float64)
    bias = -np.einsum("ocyx,c->o", wide, shift)
    scaled = wide * scale[None, :, None, None]
    rows = scaled.transpose(2, 3, 1, 0).reshape(-1, patch.shape[0])
    return rows.astype(np.float32), bias.astype(np.float32)


def tower(
    b: DialectGraph, pixels: str, spec: ClipVitSpec, weights: ClipVitWeights, fmt: LinearFormat
) -> str:
    """The selected hidden state [N, 1 + patches², hidden]."""
    patch, bias = folded_patch_weights(read_all(weights.patch), spec.mean, spec.std)
    positions = read_all(weights.positions)
    n, p = spec.patches, spec.patch
    # 2-D strips of one patch row are moved as bytes, before they are widened.
    if n * p != spec.pixels:
        crop = [b.ints("crop.start", [0, 0]), b.ints("crop.stop", [n * p, n * p])]
        pixels = b.op("Slice", [pixels, *crop, b.ints("crop.axes", [1, 2])], "cropped")
    cut = b.op("Reshape", [pixels, b.ints("cut.shape", [-1, n, p, n, p * CHANNELS])], "cut")
    moved = b.op("Transpose", [cut], "patches.bytes", perm=[0, 1, 3, 2, 4])
    flat = b.op("Reshape", [moved, b.ints("flat.shape", [-1, n * n, p * p * CHANNELS])], "flat")
    values = b.op("Cast", [flat], "patches", to=1)
    embedded = b.op("MatMul", [values, b.array("patch.weight", patch)], "patch_embeds")
    placed = b.op(
        "Add", [embedded, b.array("patch.positions", positions[1:] + bias)], "patch_tokens"
    )
    cls = (read_all(weights.class_token) + positions[0])[None, None, :]
    batch = b.op("Shape", [pixels], "batch", start=0, end=1)
    cls_shape = b.op("Concat", [batch, b.ints("cls.rest", [1, spec.hidden])], "cls.shape", axis=0)
    cls_tokens = b.op("Expand", [b.array("cls.token", cls), cls_shape], "cls_tokens")
    tokens = b.op("Concat", [cls_tokens, placed], "tokens", axis=1)
    x = b.layer_norm(tokens, weights.pre_norm, spec.eps, "pre_norm")

    shape = EncoderShape(spec.hidden, spec.heads, spec.activation, spec.eps, fmt)
    delta = ""
    for i in range(spec.layers):
        x, delta = encoder_layer(b, x, delta, shape, weights.layer(i), f"layers.{i}")
    return b.op("Add", [x, delta], "hidden_state") if delta else x


def _mixed_patches(b: GraphBuilder, hidden: str, spec: ClipVitSpec, out: str) -> str:
    """Patch tokens with each 2×2 block side by side (row, column, channel): [N, grid², 4·C]."""
    last = np.iinfo(np.int64).max
    axes = b.ints("patches.axes", [1])
    bounds = [b.ints("patches.start", [1]), b.ints("patches.stop", [last])]
    patches = b.op("Slice", [hidden, *bounds, axes], "patch_states")
    g, c = spec.grid, spec.hidden
    blocks = b.op("Reshape", [patches, b.ints("blocks.shape", [-1, g, 2, g, 2 * c])], "blocks")
    moved = b.op("Transpose", [blocks], "blocks.moved", perm=[0, 1, 3, 2, 4])
    return b.op("Reshape", [moved, b.ints("mixed.shape", [-1, g * g, 4 * c])], out)
