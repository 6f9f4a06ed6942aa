"""Qwen2-Audio's encoder from PCM to LM embeddings, of any length up to its window.

The output equals the reference's padded and masked result: frames beyond the sound are masked
there and absent here. It never decodes.
"""

from __future__ import annotations

import numpy as np

from omnilive_export.graphs.builder import PlannedGraph
from omnilive_export.graphs.dialect import DialectGraph, NewGraph
from omnilive_export.graphs.encoder_layer import EncoderShape, encoder_layer
from omnilive_export.graphs.linear import linear
from omnilive_export.graphs.log_mel import log_mel
from omnilive_export.graphs.ort_ops import OrtGraph
from omnilive_export.precision import LinearFormat
from omnilive_export.reading.row_source import read_all
from omnilive_export.specs import WhisperEncoderSpec
from omnilive_export.weights import LinearWeights, WhisperEncoderWeights


def audio_encoder_graph(
    name: str,
    spec: WhisperEncoderSpec,
    weights: WhisperEncoderWeights,
    fmt: LinearFormat,
    *,
    new_graph: NewGraph = OrtGraph,
) -> PlannedGraph:
    """The audio encoder with its front end and projector (spec §1.2, §3.3).

    Input ``pcm`` float32 [1, N], 16 kHz in [-1, 1], spec.min_samples ≤ N ≤ spec.mel.max_samples.
    Output ``embeds`` float32 [1, n, outputs] with L = ceil(N / hop) mel frames,
    a = (L - 1) // 2 + 1 positions and n = (a - 2) // 2 + 1 tokens.
    """
    if weights.projector is None:
        raise ValueError("an encoder that feeds an LM needs its projector")
    b = new_graph(name)
    pcm = b.input("pcm", "float32", (1, "samples"))
    mel, length = log_mel(b, pcm, spec.mel)
    x = conv(b, mel, weights.conv1, spec.activation, "conv1", stride=1)
    x = conv(b, x, weights.conv2, spec.activation, "conv2", stride=2)
    x = b.op("Transpose", [x], "positions_first", perm=[0, 2, 1])

    one = b.ints("one", [1])
    two = b.ints("two", [2])
    before_last = b.op("Sub", [length, one], "mel.last")
    halved = b.op("Div", [before_last, two], "position.last")
    count = b.op("Add", [halved, one], "position.count")
    zero = b.ints("zero", [0])
    x = b.op("Slice", [x, zero, count, one], "heard")
    table = b.array("positions", read_all(weights.positions))
    x = b.op("Add", [x, b.op("Slice", [table, zero, count, zero], "positions.used")], "placed")

    shape = EncoderShape(spec.hidden, spec.heads, spec.activation, spec.eps, fmt)
    delta = ""
    for i in range(spec.layers):
        x, delta = encoder_layer(b, x, delta, shape, weights.layer(i), f"layers.{i}")
    x = b.op("Add", [x, delta], "encoded")

    # Average of neighbours; an odd last position belongs to no token.
    pairs = b.op("Div", [count, two], "token.count")
    even = b.op("Mul", [pairs, two], "token.positions")
    kept = b.op("Slice", [x, zero, even, one], "paired")
    paired = b.op("Reshape", [kept, b.ints("pair.shape", [1, -1, 2, spec.hidden])], "pairs")
    pooled = b.op("ReduceMean", [paired, two], "pooled", keepdims=0)
    normed = b.layer_norm(pooled, weights.final_norm, spec.eps, "final_norm")
    linear(b, normed, weights.projector, fmt, "projector", out="embeds")
    b.output("embeds", "float32", (1, "tokens", spec.outputs))
    limits = {"samples": spec.mel.max_samples, "tokens": spec.positions // 2}
    return b.finish(profile=limits)


def conv(
    b: DialectGraph, x: str, weights: LinearWeights, kind: str, name: str, *, stride: int
) -> str:
    """Width-3 convolution over time with zero padding, then the activation: [1, C, L]."""
    kernel = b.array(f"{name}.weight", read_all(weights.weight))
    inputs = [x, kernel]
    if weights.bias is not None:
        inputs.append(b.array(f"{name}.bias", read_all(weights.bias)))
    width = int(np.asarray(weights.weight.shape[2]))
    pad = width // 2
    y = b.op("Conv", inputs, name, pads=[pad, pad], strides=[stride])
    return b.activation(y, kind, f"{name}.activation")
