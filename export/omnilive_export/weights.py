"""Weights of each architecture under one set of names, still unread.

The models give these, the graphs take them; neither knows the other's names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from omnilive_export.reading.row_source import RowSource


@dataclass(frozen=True)
class PloraWeights:
    """Partial-LoRA of one linear (spec §1.3): y += B(A x) on chosen rows, scale 1.

    ``a`` is [rank, in], ``b`` is [out, rank].
    """

    a: RowSource
    b: RowSource


@dataclass(frozen=True)
class LinearWeights:
    """One linear layer: ``weight`` [out, in], ``bias`` [out] or None, Partial-LoRA or None."""

    weight: RowSource
    bias: RowSource | None = None
    plora: PloraWeights | None = None


@dataclass(frozen=True)
class NormWeights:
    """A layer norm: ``weight`` and ``bias`` [width]."""

    weight: RowSource
    bias: RowSource


@dataclass(frozen=True)
class EncoderLayerWeights:
    """A pre-norm bidirectional encoder layer (CLIP, Whisper).

    ``qkv`` is [3 * hidden, hidden]: queries, keys and values stacked.
    """

    attention_norm: NormWeights
    qkv: LinearWeights
    attention_out: LinearWeights
    mlp_norm: NormWeights
    fc1: LinearWeights
    fc2: LinearWeights


@dataclass(frozen=True)
class ClipVitWeights:
    """A CLIP vision tower.

    Attributes:
        patch: [hidden, 3, patch, patch], no bias.
        class_token: [hidden].
        positions: [1 + patches², hidden].
        pre_norm: norm before the first layer.
        layer: weights of layer i.
    """

    patch: RowSource
    class_token: RowSource
    positions: RowSource
    pre_norm: NormWeights
    layer: Callable[[int], EncoderLayerWeights]


@dataclass(frozen=True)
class MlpWeights:
    """Linear, GELU, Linear."""

    first: LinearWeights
    second: LinearWeights


@dataclass(frozen=True)
class HeadNorms:
    """RMS norms [head_dim] of each query head and of each key head, before they are rotated."""

    query: RowSource
    key: RowSource


@dataclass(frozen=True)
class DecoderLayerWeights:
    """One decoder layer.

    ``qkv`` is [q + k + v widths, hidden], all query heads first, then key, then value heads.
    ``head_norms`` are Qwen3's; None for decoders without.
    """

    attention_norm: RowSource
    qkv: LinearWeights
    attention_out: LinearWeights
    mlp_norm: RowSource
    gate: LinearWeights
    up: LinearWeights
    down: LinearWeights
    head_norms: HeadNorms | None = None


@dataclass(frozen=True)
class DecoderWeights:
    """A decoder; ``head`` [vocab, hidden] is None for one that gives hidden states."""

    layer: Callable[[int], DecoderLayerWeights]
    final_norm: RowSource
    head: RowSource | None


@dataclass(frozen=True)
class WhisperEncoderWeights:
    """Whisper's encoder: convs [out, in, 3] with bias [out].

    ``projector`` is Qwen2-Audio's; None for the encoder alone.
    """

    conv1: LinearWeights
    conv2: LinearWeights
    positions: RowSource
    layer: Callable[[int], EncoderLayerWeights]
    final_norm: NormWeights
    projector: LinearWeights | None
