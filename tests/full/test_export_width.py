"""Every architecture at its real width, with few layers and a small vocabulary, against torch.

What a narrow miniature can't show: sums over thousands of values, and shapes of the real ratios.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hugging_face_parity import TOLERANCE, clip_errors, logits_error, randomized, whisper_error
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from omnilive.engine.manifest_file import read_partial_manifest
from omnilive_export.cli import main as build_engines
from omnilive_export.verify.measure import FP32_RELATIVE_ERROR
from omnilive_micropack.checkpoint import write_checkpoint
from omnilive_micropack.dimensions import FULL, FamilyDims, LmDims, VisionDims

pytestmark = pytest.mark.full

LAYERS = 2
VOCAB = 2048


def shallow() -> FamilyDims:
    """The real family with two layers per model (three where the last is not run)."""

    def lm(dims: LmDims) -> LmDims:
        return replace(dims, layers=LAYERS, vocab=VOCAB)

    def tower(dims: VisionDims, layers: int) -> VisionDims:
        return replace(dims, layers=layers)

    return replace(
        FULL,
        memory_tower=tower(FULL.memory_tower, LAYERS + 1),
        memory_lm=lm(FULL.memory_lm),
        audio_encoder=replace(FULL.audio_encoder, layers=LAYERS),
        audio_lm=lm(FULL.audio_lm),
        reasoner_tower=tower(FULL.reasoner_tower, LAYERS),
        reasoner_lm=lm(FULL.reasoner_lm),
    )


@pytest.mark.parametrize("model", ["memory", "audio", "base"])
def test_a_model_of_the_family_equals_torch_at_its_real_width(model: str, tmp_path: Path) -> None:
    checkpoint, out = tmp_path / "checkpoint", tmp_path / "pack"
    write_checkpoint(checkpoint, shallow(), 0, folders=(model,))
    arguments = ["--checkpoint", str(checkpoint), "--out", str(out), "--precision", "fp32"]
    assert build_engines([*arguments, "--verify", "--allow-inaccurate"]) == 0
    engines = read_partial_manifest(out).engines
    errors = {name: (e.accuracy or {})["relative_error"] for name, e in engines.items()}
    assert max(errors.values()) <= FP32_RELATIVE_ERROR, errors


WIDTHS: dict[str, dict[str, Any]] = {
    "Qwen2.5-1.5B": {
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6,
    },
    "Qwen3-1.7B": {
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "rms_norm_eps": 1e-6,
    },
    "Llama-3.2-1B": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "rms_norm_eps": 1e-5,
    },
}
CLASSES: dict[str, tuple[type, type]] = {
    "Qwen2.5-1.5B": (Qwen2Config, Qwen2ForCausalLM),
    "Qwen3-1.7B": (Qwen3Config, Qwen3ForCausalLM),
    "Llama-3.2-1B": (LlamaConfig, LlamaForCausalLM),
}


@pytest.mark.parametrize("name", WIDTHS)
def test_a_plain_decoder_equals_torch_at_its_real_width(name: str, tmp_path: Path) -> None:
    config, kind = CLASSES[name]
    sizes = {**WIDTHS[name], "num_hidden_layers": LAYERS, "vocab_size": VOCAB}
    model = randomized(kind(config(**sizes, max_position_embeddings=4096, rope_theta=1e6)))
    model.save_pretrained(tmp_path / "model")
    assert logits_error(tmp_path / "model", model, tmp_path / "pack") < TOLERANCE


def test_a_plain_clip_tower_equals_torch_at_its_real_width(tmp_path: Path) -> None:
    config = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=LAYERS,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
        projection_dim=768,
    )
    errors = clip_errors(randomized(CLIPVisionModelWithProjection(config)), tmp_path)
    assert max(errors.values()) < TOLERANCE, errors


def test_a_plain_whisper_encoder_equals_torch_at_its_real_width(tmp_path: Path) -> None:
    config = WhisperConfig(
        vocab_size=60,
        d_model=1280,
        encoder_layers=LAYERS,
        encoder_attention_heads=20,
        encoder_ffn_dim=5120,
        decoder_layers=1,
        decoder_attention_heads=20,
        num_mel_bins=128,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    model = randomized(WhisperForConditionalGeneration(config))
    assert whisper_error(model, 100_000, tmp_path) < TOLERANCE
