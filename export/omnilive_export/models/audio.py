"""``audio/``: Qwen2-Audio, a Whisper encoder and a Qwen2 decoder (spec §1.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from omnilive.engine.manifest import AudioSpec
from omnilive_export.models.layers import linear_weights, output_head
from omnilive_export.models.qwen2 import QWEN2_DEFAULTS, qwen2_weights, read_qwen2_spec
from omnilive_export.models.whisper import read_whisper_spec, whisper_weights
from omnilive_export.reading.config_file import ConfigFile, read_config
from omnilive_export.reading.row_source import RowSource
from omnilive_export.reading.tensor_store import Tensors
from omnilive_export.specs import DecoderSpec, WhisperEncoderSpec
from omnilive_export.weights import DecoderWeights, WhisperEncoderWeights

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


def read_audio_model(folder: Path, store: Tensors) -> AudioModel:
    """Read ``audio/config.json`` and check it against the tensors.

    Raises:
        CheckpointError: a key or tensor is missing or odd.
    """
    config = read_config(folder / "config.json")
    text = config.section("text_config").with_defaults(QWEN2_DEFAULTS)
    lm = read_qwen2_spec(text)
    audio = config.section("audio_config").with_defaults(ENCODER_DEFAULTS)
    encoder = read_whisper_spec(audio, folder, outputs=lm.hidden)
    encoder_weights = whisper_weights(store, "audio_tower.", encoder)
    projector = linear_weights(
        store,
        "multi_modal_projector.linear",
        lm.hidden,
        encoder.hidden,
        why="text_config.hidden_size, audio_config.d_model",
    )
    embedding = store.tensor(
        "language_model.model.embed_tokens.weight",
        (lm.vocab, lm.hidden),
        why="text_config.vocab_size, text_config.hidden_size",
    )
    tied = any(c.boolean("tie_word_embeddings", False) for c in (config, text))
    return AudioModel(
        encoder=encoder,
        encoder_weights=replace(encoder_weights, projector=projector),
        lm=lm,
        lm_weights=qwen2_weights(
            store,
            "language_model.model.",
            lm,
            output_head(store, "language_model.lm_head.weight", lm, embedding, tied=tied),
        ),
        embedding=embedding,
        eos_ids=_eos_ids(config, text, folder),
        trained=config.boolean("omnilive_trained", True),
    )


def _eos_ids(config: ConfigFile, text: ConfigFile, folder: Path) -> tuple[int, ...]:
    """Every id that the checkpoint says ends a generation, sorted."""
    ids = {*config.ids("eos_token_id"), *text.ids("eos_token_id")}
    generation = folder / "generation_config.json"
    if generation.is_file():
        ids.update(read_config(generation).ids("eos_token_id"))
    if not ids:
        raise text.odd("eos_token_id", "a token id or a list of them", None)
    return tuple(sorted(ids))
