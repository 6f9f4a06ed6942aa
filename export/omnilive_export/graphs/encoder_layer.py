"""The pre-norm bidirectional encoder layer that CLIP and Whisper share.

It never sees pixels, sound, or positions.
"""

from __future__ import annotations

from dataclasses import dataclass

from omnilive_export.graphs.dialect import DialectGraph
from omnilive_export.graphs.linear import linear
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
    b: DialectGraph,
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
        normed, x = b.add_layer_norm(
            x, delta, weights.attention_norm, shape.eps, f"{name}.attention_norm"
        )
    else:
        normed = b.layer_norm(x, weights.attention_norm, shape.eps, f"{name}.attention_norm")
    qkv = b.matmul(normed, weights.qkv.weight, shape.format, f"{name}.qkv.weight")
    attended = b.attention(qkv, shape.heads, shape.hidden, weights.qkv, f"{name}.attention")
    delta = linear(b, attended, weights.attention_out, shape.format, f"{name}.attention_out")
    normed, x = b.add_layer_norm(x, delta, weights.mlp_norm, shape.eps, f"{name}.mlp_norm")
    middle = linear(b, normed, weights.fc1, shape.format, f"{name}.fc1")
    active = b.activation(middle, shape.activation, f"{name}.activation")
    return x, linear(b, active, weights.fc2, shape.format, f"{name}.fc2")
