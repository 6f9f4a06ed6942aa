"""Reference of the audio model: transformers' own classes, padded to 30 s and masked.

It never takes a shorter window than the extractor's: what the engine saves by a dynamic length is
judged against the full computation.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import Qwen2AudioEncoderConfig, Qwen2ForCausalLM, WhisperFeatureExtractor
from transformers.models.qwen2_audio.modeling_qwen2_audio import Qwen2AudioEncoder

from .checkpoint import load_strict, qwen2_config, read_config, read_tensors

F32 = npt.NDArray[np.float32]


class AudioEncoder:
    """Whisper features, encoder, average pool and the linear projector (spec §1.2)."""

    def __init__(self, folder: Path) -> None:
        config = Qwen2AudioEncoderConfig(**read_config(folder)["audio_config"])
        config._attn_implementation = "sdpa"
        self.extractor = WhisperFeatureExtractor.from_pretrained(folder)
        self.encoder = Qwen2AudioEncoder(config)
        load_strict(self.encoder, read_tensors(folder, "audio_tower."))
        tensors = read_tensors(folder, "multi_modal_projector.linear.")
        outputs, inputs = tensors["weight"].shape
        self.projector = torch.nn.Linear(inputs, outputs)
        load_strict(self.projector, tensors)

    def __call__(self, pcm: F32) -> F32:
        """PCM float32 [N] at 16 kHz → embeds [n, H], n by spec §1.2's token count."""
        extracted = self.extractor(
            pcm, sampling_rate=16_000, return_attention_mask=True, return_tensors="pt"
        )
        frames = extracted["attention_mask"].sum(-1)
        conv_frames, tokens = self.encoder._get_feat_extract_output_lengths(frames)
        positions = self.encoder.config.max_source_positions
        padded = torch.arange(positions) >= conv_frames[:, None]
        mask = torch.zeros(1, 1, positions, positions)
        mask.masked_fill_(padded[:, None, None, :], torch.finfo(torch.float32).min)
        with torch.no_grad():
            states = self.encoder(extracted["input_features"], attention_mask=mask)
            return self.projector(states.last_hidden_state[0, : int(tokens)]).numpy()


class AudioLanguage:
    """transformers' Qwen2 with its tied head on input embeddings."""

    def __init__(self, folder: Path) -> None:
        config = read_config(folder)
        section = dict(config["text_config"])
        section.setdefault("tie_word_embeddings", config.get("tie_word_embeddings", False))
        self.config = qwen2_config(section)
        tensors = read_tensors(folder, "language_model.")
        if self.config.tie_word_embeddings:
            tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
        self.model = Qwen2ForCausalLM(copy.deepcopy(self.config))
        load_strict(self.model, tensors)

    def embed(self, ids: Sequence[int]) -> F32:
        """Embeddings [n, H] of token ids."""
        with torch.no_grad():
            return self.model.model.embed_tokens(torch.tensor(ids)).numpy()

    def logits(self, embeds: F32) -> F32:
        """Logits [S, vocab] of embeds [S, H], positions from 0."""
        with torch.no_grad():
            output = self.model(inputs_embeds=torch.from_numpy(embeds)[None], use_cache=False)
        return output.logits[0].numpy()
