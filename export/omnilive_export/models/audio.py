"""``audio/``: Qwen2-Audio, a Whisper encoder and a Qwen2 decoder (spec §1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilive.engine.manifest import AudioSpec
from omnilive_export.graphs.ort_ops import ACTIVATIONS
from omnilive_export.models.clip import PREPROCESSOR_NAME
from omnilive_export.models.layers import linear_weights, norm_weights
from omnilive_export.models.qwen2 import QWEN2_DEFAULTS, qwen2_weights, read_qwen2_spec
from omnilive_export.reading.config_file import ConfigFile, read_config
from omnilive_export.reading.row_source import ArrayRows, RowSource, stacked
from omnilive_export.reading.tensor_store import TensorStore
from omnilive_export.specs import DecoderSpec, LogMelSpec, WhisperEncoderSpec
from omnilive_export.weights import (
    DecoderWeights,
    EncoderLayerWeights,
    LinearWeights,
    WhisperEncoderWeights,
)

ENCODER_DEFAULTS = {
    "num_mel_bins": 128,
    "encoder_layers": 32,
    "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "d_model": 1280,
    "activation_function": "gelu",
    "max_source_positions": 1500,
}
"""The reference library's defaults, which a nested audio_config leaves out (spec §1.2)."""

SAMPLE_RATE_HZ = 16_000
MAX_N_FFT = 16_384
CONV_WIDTH = 3
CONV_STRIDES = 2
"""Mel frames per position: the second convolution has stride 2."""

LAYER_NORM_EPS = 1e-5
"""Fixed in the encoder; not a configuration key."""


@dataclass(frozen=True)
class AudioModel:
    """The audio model: specs, weights, the text embedding and the ids that end a generation."""

    encoder: WhisperEncoderSpec
    encoder_weights: WhisperEncoderWeights
    lm: DecoderSpec
    lm_weights: DecoderWeights
    embedding: RowSource
    eos_ids: tuple[int, ...]
    trained: bool

    def manifest_spec(self) -> AudioSpec:
        """Its dimensions for the manifest."""
        return AudioSpec(
            max_samples=self.encoder.mel.max_samples,
            min_samples=self.encoder.min_samples,
            hop=self.encoder.mel.hop,
            hidden=self.lm.hidden,
            vocab=self.lm.vocab,
            max_positions=self.lm.max_positions,
            eos_ids=self.eos_ids,
        )


def read_audio_model(folder: Path, store: TensorStore) -> AudioModel:
    """Read ``audio/config.json`` and check it against the tensors.

    Raises:
        CheckpointError: a key or tensor is missing or odd.
    """
    config = read_config(folder / "config.json")
    text = config.section("text_config").with_defaults(QWEN2_DEFAULTS)
    lm = read_qwen2_spec(text)
    encoder = _encoder_spec(config, folder, lm)
    embedding = store.tensor(
        "language_model.model.embed_tokens.weight",
        (lm.vocab, lm.hidden),
        why="text_config.vocab_size, text_config.hidden_size",
    )
    return AudioModel(
        encoder=encoder,
        encoder_weights=_encoder_weights(store, encoder),
        lm=lm,
        lm_weights=qwen2_weights(
            store, "language_model.model.", lm, _head(store, config, text, lm, embedding)
        ),
        embedding=embedding,
        eos_ids=_eos_ids(config, text, folder),
        trained=config.boolean("omnilive_trained", True),
    )


def _encoder_spec(config: ConfigFile, folder: Path, lm: DecoderSpec) -> WhisperEncoderSpec:
    audio = config.section("audio_config").with_defaults(ENCODER_DEFAULTS)
    hidden = audio.integer("d_model")
    heads = audio.integer("encoder_attention_heads")
    if hidden % heads:
        raise audio.odd("encoder_attention_heads", f"a divisor of d_model {hidden}", heads)
    positions = audio.integer("max_source_positions")
    bins = audio.integer("num_mel_bins")

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
    kind = audio.text("activation_function")
    return WhisperEncoderSpec(
        mel=LogMelSpec(rate, n_fft, hop, bins, frames),
        hidden=hidden,
        layers=audio.integer("encoder_layers"),
        heads=heads,
        intermediate=audio.integer("encoder_ffn_dim"),
        positions=positions,
        activation=audio.require("activation_function", kind, ACTIVATIONS),
        eps=LAYER_NORM_EPS,
        outputs=lm.hidden,
    )


def _encoder_weights(store: TensorStore, spec: WhisperEncoderSpec) -> WhisperEncoderWeights:
    width, prefix = spec.hidden, "audio_tower."

    def conv(name: str, channels: int) -> LinearWeights:
        why = "audio_config.d_model, audio_config.num_mel_bins"
        return LinearWeights(
            store.tensor(f"{prefix}{name}.weight", (width, channels, CONV_WIDTH), why=why),
            store.tensor(f"{prefix}{name}.bias", (width,), why=why),
        )

    def layer(i: int) -> EncoderLayerWeights:
        at = f"{prefix}layers.{i}."

        def projection(part: str, rows: int, columns: int, *, bias: bool = True) -> LinearWeights:
            why = "audio_config.d_model, audio_config.encoder_ffn_dim"
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
            why="audio_config.max_source_positions, audio_config.d_model",
        ),
        layer=layer,
        final_norm=norm_weights(store, f"{prefix}layer_norm", width),
        projector=linear_weights(
            store,
            "multi_modal_projector.linear",
            spec.outputs,
            width,
            why="text_config.hidden_size, audio_config.d_model",
        ),
    )


def _head(
    store: TensorStore, config: ConfigFile, text: ConfigFile, lm: DecoderSpec, embedding: RowSource
) -> RowSource:
    """The output head: stored, or the embedding where the configuration ties the two."""
    name = "language_model.lm_head.weight"
    tied = config.boolean("tie_word_embeddings", False) or text.boolean(
        "tie_word_embeddings", False
    )
    if tied and name not in store:
        return embedding
    why = "vocab_size, hidden_size; absent only where tie_word_embeddings is true"
    return store.tensor(name, (lm.vocab, lm.hidden), why=why)


def _eos_ids(config: ConfigFile, text: ConfigFile, folder: Path) -> tuple[int, ...]:
    """Every id that the checkpoint says ends a generation, sorted."""
    ids = {*config.ids("eos_token_id"), *text.ids("eos_token_id")}
    generation = folder / "generation_config.json"
    if generation.is_file():
        ids.update(read_config(generation).ids("eos_token_id"))
    if not ids:
        raise text.odd("eos_token_id", "a token id or a list of them", None)
    return tuple(sorted(ids))
