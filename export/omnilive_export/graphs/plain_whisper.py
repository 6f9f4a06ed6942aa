"""Whisper's own encoder from PCM to hidden states, over its whole window as it was trained.

Whisper attends to the silence after the sound, so unlike Qwen2-Audio's encoder it never runs
shorter than the window.
"""

from __future__ import annotations

from omnilive_export.graphs.builder import PlannedGraph
from omnilive_export.graphs.dialect import NewGraph
from omnilive_export.graphs.encoder_layer import EncoderShape, encoder_layer
from omnilive_export.graphs.log_mel import log_mel
from omnilive_export.graphs.ort_ops import OrtGraph
from omnilive_export.graphs.whisper_encoder import conv
from omnilive_export.precision import LinearFormat
from omnilive_export.reading.row_source import read_all
from omnilive_export.specs import WhisperEncoderSpec
from omnilive_export.weights import WhisperEncoderWeights


def plain_whisper_graph(
    name: str,
    spec: WhisperEncoderSpec,
    weights: WhisperEncoderWeights,
    fmt: LinearFormat,
    *,
    new_graph: NewGraph = OrtGraph,
) -> PlannedGraph:
    """The encoder with its front end.

    Input ``pcm`` float32 [1, N], 16 kHz in [-1, 1], 1 ≤ N ≤ spec.mel.max_samples. Output
    ``hidden`` float32 [1, positions, hidden], after the final norm.
    """
    b = new_graph(name)
    pcm = b.input("pcm", "float32", (1, "samples"))
    mel, _ = log_mel(b, pcm, spec.mel, whole=True)
    x = conv(b, mel, weights.conv1, spec.activation, "conv1", stride=1)
    x = conv(b, x, weights.conv2, spec.activation, "conv2", stride=2)
    x = b.op("Transpose", [x], "positions_first", perm=[0, 2, 1])
    x = b.op("Add", [x, b.array("positions", read_all(weights.positions))], "placed")
    shape = EncoderShape(spec.hidden, spec.heads, spec.activation, spec.eps, fmt)
    delta = ""
    for i in range(spec.layers):
        x, delta = encoder_layer(b, x, delta, shape, weights.layer(i), f"layers.{i}")
    if delta:
        x = b.op("Add", [x, delta], "encoded")
    b.layer_norm(x, weights.final_norm, spec.eps, "hidden")
    b.output("hidden", "float32", (1, spec.positions, spec.hidden))
    return b.finish(profile={"samples": spec.mel.max_samples})
