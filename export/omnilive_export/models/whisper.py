"""Whisper encoders of a checkpoint: configuration and tensor names to spec and weights.

It reads no sound and no weights' values.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from omnilive_export.graphs.dialect import ACTIVATIONS
from omnilive_export.models.clip import PREPROCESSOR_NAME
from omnilive_export.models.layers import linear_weights, norm_weights
from omnilive_export.reading.config_file import ConfigFile, read_config
from omnilive_export.reading.row_source import ArrayRows, stacked
from omnilive_export.reading.tensor_store import Tensors
from omnilive_export.specs import LogMelSpec, WhisperEncoderSpec
from omnilive_export.weights import EncoderLayerWeights, LinearWeights, WhisperEncoderWeights

SAMPLE_RATE_HZ = 16_000
MAX_N_FFT = 16_384
CONV_WIDTH = 3
CONV_STRIDES = 2
"""Mel frames per position: the second convolution has stride 2."""

LAYER_NORM_EPS = 1e-5
"""Fixed in the encoder; not a configuration key."""


def read_whisper_spec(
    config: ConfigFile, folder: Path, *, outputs: int | None = None
) -> WhisperEncoderSpec:
    """The encoder and its front end.

    Args:
        config: the encoder's configuration.
        folder: where its preprocessor_config.json lies.
        outputs: width of the LM it feeds; None for the encoder alone.

    Raises:
        CheckpointError: a key is missing or odd.
    """
    hidden = config.integer("d_model")
    heads = config.integer("encoder_attention_heads")
    if hidden % heads:
        raise config.odd("encoder_attention_heads", f"a divisor of d_model {hidden}", heads)
    positions = config.integer("max_source_positions")
    bins = config.integer("num_mel_bins")

    extractor = read_config(folder / PREPROCESSOR_NAME)
    extractor.require("feature_size", extractor.integer("feature_size"), [bins])
    rate = extractor.require("sampling_rate", extractor.integer("sampling_rate"), [SAMPLE_RATE_HZ])
    hop = extractor.integer("hop_length")
    n_fft = extractor.integer("n_fft")
    if n_fft % 2 or not hop <= n_fft <= MAX_N_FFT:
        raise extractor.odd("n_fft", f"an even number from {hop} to {MAX_N_FFT} samples", n_fft)
    frames = positions * CONV_STRIDES
    seconds = extractor.integer("chunk_length")
    if seconds * rate != frames * hop:
        raise extractor.odd(
            "chunk_length", f"{frames * hop / rate:g} s for {frames} frames", seconds
        )
    kind = config.text("activation_function")
    return WhisperEncoderSpec(
        mel=LogMelSpec(rate, n_fft, hop, bins, frames),
        hidden=hidden,
        layers=config.integer("encoder_layers"),
        heads=heads,
        intermediate=config.integer("encoder_ffn_dim"),
        positions=positions,
        activation=config.require("activation_function", kind, ACTIVATIONS),
        eps=LAYER_NORM_EPS,
        outputs=hidden if outputs is None else outputs,
    )


def whisper_weights(store: Tensors, prefix: str, spec: WhisperEncoderSpec) -> WhisperEncoderWeights:
    """The encoder's weights, without whatever follows it.

    Args:
        store: the checkpoint's tensors.
        prefix: up to and including the encoder's name and a full stop.
        spec: the encoder.

    Raises:
        CheckpointError: a tensor is missing or of another shape.
    """
    width, why = spec.hidden, "d_model, encoder_ffn_dim, num_mel_bins"

    def conv(name: str, channels: int) -> LinearWeights:
        return LinearWeights(
            store.tensor(f"{prefix}{name}.weight", (width, channels, CONV_WIDTH), why=why),
            store.tensor(f"{prefix}{name}.bias", (width,), why=why),
        )

    def layer(i: int) -> EncoderLayerWeights:
        at = f"{prefix}layers.{i}."

        def projection(part: str, rows: int, columns: int, *, bias: bool = True) -> LinearWeights:
            return linear_weights(store, at + part, rows, columns, why=why, bias=bias)

        q = projection("self_attn.q_proj", width, width)
        k = projection("self_attn.k_proj", width, width, bias=False)
        v = projection("self_attn.v_proj", width, width)
        no_bias = ArrayRows(np.zeros(width, dtype=np.float32))
        biases = [part.bias or no_bias for part in (q, k, v)]
        return EncoderLayerWeights(
            attention_norm=norm_weights(store, f"{at}self_attn_layer_norm", width),
            qkv=LinearWeights(stacked(q.weight, k.weight, v.weight), stacked(*biases)),
            attention_out=projection("self_attn.out_proj", width, width),
            mlp_norm=norm_weights(store, f"{at}final_layer_norm", width),
            fc1=projection("fc1", spec.intermediate, width),
            fc2=projection("fc2", width, spec.intermediate),
        )

    return WhisperEncoderWeights(
        conv1=conv("conv1", spec.mel.bins),
        conv2=conv("conv2", width),
        positions=store.tensor(
            f"{prefix}embed_positions.weight",
            (spec.positions, width),
            why="max_source_positions, d_model",
        ),
        layer=layer,
        final_norm=norm_weights(store, f"{prefix}layer_norm", width),
        projector=None,
    )
