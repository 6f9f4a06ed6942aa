"""The pre-norm bidirectional encoder layer that CLIP and Whisper share.

It never sees pixels, sound, or positions.
"""

from __future__ import annotations

from dataclasses import dataclass

from omnilive_export.graphs.builder import GraphBuilder
from omnilive_export.graphs.linear import linear, matmul
from omnilive_export.graphs.ort_ops import activation, add_layer_norm, attention, layer_norm
from omnilive_export.precision import LinearFormat
from omnilive_export.weights import EncoderLayerWeights


@dataclass(frozen=True)
class EncoderShape:
    """What the layers of one encoder have in common."""

    hidden: int
    heads: int
    activation: str
    eps: float
    format: LinearFormat


def encoder_layer(
    b: GraphBuilder,
    x: str,
    delta: str,
    shape: EncoderShape,
    weights: EncoderLayerWeights,
    name: str,
) -> tuple[str, str]:
    """One layer over [N, S, hidden].

    The residual stream is ``x`` + ``delta`` ("" for none), so that each addition is fused with
    the norm after it; what is returned is the stream after the layer, in the same two parts.
    """
    if delta:
        normed, x = add_layer_norm(
            b, x, delta, weights.attention_norm, shape.eps, f"{name}.attention_norm"
        )
    else:
        normed = layer_norm(b, x, weights.attention_norm, shape.eps, f"{name}.attention_norm")
    qkv = matmul(b, normed, weights.qkv.weight, shape.format, f"{name}.qkv.weight")
    attended = attention(b, qkv, shape.heads, shape.hidden, weights.qkv, f"{name}.attention")
    delta = linear(b, attended, weights.attention_out, shape.format, f"{name}.attention_out")
    normed, x = add_layer_norm(b, x, delta, weights.mlp_norm, shape.eps, f"{name}.mlp_norm")
    middle = linear(b, normed, weights.fc1, shape.format, f"{name}.fc1")
    active = activation(b, middle, shape.activation, f"{name}.activation")
    return x, linear(b, active, weights.fc2, shape.format, f"{name}.fc2")
