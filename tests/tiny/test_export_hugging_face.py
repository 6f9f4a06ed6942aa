"""Plain Hugging Face folders: each exported engine against transformers on the same inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hugging_face_parity import (
    ENGINE,
    TOLERANCE,
    clip_errors,
    exported,
    logits_error,
    randomized,
    relative_error,
    speech,
    whisper_error,
)
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from omnilive.engine.ort_backend import load_decoder, load_engine
from omnilive.engine.tables import MappedTable
from omnilive_export.cli import main as build_engines

pytestmark = pytest.mark.tiny

LM: dict[str, Any] = {
    "vocab_size": 120,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


DECODERS = {
    "Qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**LM, rope_theta=1e6)),
    "Qwen2 tied": lambda: Qwen2ForCausalLM(Qwen2Config(**LM, tie_word_embeddings=True)),
    "Qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**LM, head_dim=32, rope_theta=1e6)),
    "Qwen3 with biases": lambda: Qwen3ForCausalLM(Qwen3Config(**LM, attention_bias=True)),
    "Llama": lambda: LlamaForCausalLM(LlamaConfig(**LM)),
    "Llama 3.1": lambda: LlamaForCausalLM(LlamaConfig(**LM, rope_parameters=LLAMA3)),
    "Llama linear": lambda: LlamaForCausalLM(
        LlamaConfig(**LM, rope_parameters={**LLAMA3, "rope_type": "linear"})
    ),
    "Llama with biases": lambda: LlamaForCausalLM(
        LlamaConfig(**LM, attention_bias=True, mlp_bias=True)
    ),
}


@pytest.mark.parametrize("kind", DECODERS)
def test_a_decoder_gives_the_logits_of_its_source(kind: str, tmp_path: Path) -> None:
    model = randomized(DECODERS[kind]())
    model.save_pretrained(tmp_path / "model", max_shard_size="100KB")
    assert (tmp_path / "model" / "model.safetensors.index.json").is_file()
    assert logits_error(tmp_path / "model", model, tmp_path / "pack") < TOLERANCE


def test_a_decoder_is_read_from_the_files_torch_saves(tmp_path: Path) -> None:
    model = randomized(Qwen2ForCausalLM(Qwen2Config(**LM, rope_theta=1e6)))
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    state = model.state_dict()
    names = sorted(state)
    shards = {"one.bin": names[::2], "two.bin": names[1::2]}
    for shard, part in shards.items():
        # As trainers leave it: parameters in one shard, plain tensors in the other.
        wrap = nn.Parameter if shard == "one.bin" else torch.Tensor.clone
        torch.save({name: wrap(state[name]) for name in part}, folder / shard)
    index = {"weight_map": {name: shard for shard, part in shards.items() for name in part}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert logits_error(folder, model, tmp_path / "pack") < TOLERANCE


def test_half_precision_files_of_torch_hold_what_safetensors_hold(tmp_path: Path) -> None:
    model = randomized(Qwen3ForCausalLM(Qwen3Config(**LM))).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "safe")
    model.save_pretrained(tmp_path / "bin")
    (tmp_path / "bin" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "bin" / "pytorch_model.bin")
    packs = [exported(tmp_path / name, tmp_path / f"{name}-pack") for name in ("safe", "bin")]
    assert packs[0].all_files() == packs[1].all_files()


def test_rope_theta_is_ten_thousand_where_the_file_gives_none(tmp_path: Path) -> None:
    model = randomized(Qwen2ForCausalLM(Qwen2Config(**LM, rope_theta=1e4)))
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    for key in ("rope_theta", "rope_parameters", "rope_scaling"):
        config.pop(key, None)
    (folder / "config.json").write_text(json.dumps(config))
    assert logits_error(folder, model, tmp_path / "pack") < TOLERANCE


def clip_config(**changes: Any) -> CLIPVisionConfig:
    sizes = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 42,
        "patch_size": 14,
        "projection_dim": 24,
    }
    return CLIPVisionConfig(**{**sizes, **changes})


@pytest.mark.parametrize("kind", [CLIPVisionModel, CLIPVisionModelWithProjection])
def test_a_clip_tower_gives_the_states_of_its_source(kind: type, tmp_path: Path) -> None:
    errors = clip_errors(randomized(kind(clip_config())), tmp_path)
    projected = kind is CLIPVisionModelWithProjection
    assert set(errors) == {"hidden", "pooled", *(["embeds"] if projected else [])}
    assert max(errors.values()) < TOLERANCE


WHISPER: dict[str, Any] = {
    "vocab_size": 60,
    "d_model": 64,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 96,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 96,
    "num_mel_bins": 80,
    "max_source_positions": 100,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
"""A window of two seconds."""


@pytest.mark.parametrize("samples", [1, 7_777, 32_000])
def test_a_whisper_encoder_gives_the_states_of_its_source(samples: int, tmp_path: Path) -> None:
    model = randomized(WhisperForConditionalGeneration(WhisperConfig(**WHISPER)))
    assert whisper_error(model, samples, tmp_path) < TOLERANCE


def test_a_plain_qwen2_audio_folder_is_the_audio_part_of_a_pack(tmp_path: Path) -> None:
    names = ("encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "num_mel_bins")
    audio = {name: WHISPER[name] for name in (*names, "d_model", "max_source_positions")}
    config = Qwen2AudioConfig(
        audio_config={"model_type": "qwen2_audio_encoder", **audio},
        text_config={"model_type": "qwen2", **LM, "eos_token_id": 2, "bos_token_id": 1},
        audio_token_index=119,
    )
    model = randomized(Qwen2AudioForConditionalGeneration(config))
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=2)
    extractor.save_pretrained(folder)
    write_tokenizer(folder)
    manifest = exported(folder, tmp_path / "pack")
    assert set(manifest.engines) == {"aud_enc", "aud_lm"} and manifest.audio is not None
    ids = list(range(40))
    table = MappedTable(manifest.tables["aud_embed"], tmp_path / "pack").rows(ids)
    decoder = load_decoder(manifest.engines["aud_lm"], tmp_path / "pack", ENGINE)
    actual = decoder.logits(decoder.new_arena(40), table, rows=np.arange(40))
    expected = model(input_ids=torch.tensor([ids])).logits[0]
    assert relative_error(actual, expected) < TOLERANCE
    pcm = speech(32_000)  # the whole window: there is nothing to mask
    encoder = load_engine(manifest.engines["aud_enc"], tmp_path / "pack", ENGINE)
    mel = extractor(pcm, sampling_rate=16_000, return_tensors="pt").input_features
    heard = model.model.audio_tower(mel).last_hidden_state
    embeds = encoder.run({"pcm": pcm[None]})["embeds"]
    assert relative_error(embeds, model.model.multi_modal_projector(heard)) < TOLERANCE


def write_tokenizer(folder: Path) -> None:
    """Byte-level files that the audio model's tokenizer is built from."""
    vocabulary = {letter: i for i, letter in enumerate(sorted(ByteLevel.alphabet()))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "added_tokens.json").write_text(json.dumps({"<|im_end|>": len(vocabulary)}))


def test_an_unknown_architecture_is_refused_with_those_that_are_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = randomized(Qwen2ForCausalLM(Qwen2Config(**LM)))
    model.save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(path.read_text().replace("Qwen2ForCausalLM", "GemmaForCausalLM"))
    code = build_engines(["--checkpoint", str(tmp_path / "model"), "--out", str(tmp_path / "out")])
    assert code == 5
    said = capsys.readouterr().err
    assert "expected one of CLIPVisionModel" in said and "found 'GemmaForCausalLM'" in said
