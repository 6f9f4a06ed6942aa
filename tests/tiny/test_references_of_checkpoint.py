"""The references on the miniature checkpoint: every tensor used, and transformers' own chain."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration

from omnilive_export.models.reasoner import TOWER_FOLDER
from omnilive_export.verify import inputs
from omnilive_export.verify.measure import relative_error
from omnilive_export.verify.reference import References

pytestmark = pytest.mark.tiny


def loaded(module: torch.nn.Module) -> int:
    """Values a reference holds, tied ones once."""
    return sum({p.data_ptr(): p.numel() for p in module.parameters()}.values())


def stored(references: References, folder: Path, unused: str = "-") -> int:
    tensors = references.checkpoint.read_tensors(folder, "")
    return sum(t.numel() for name, t in tensors.items() if not name.startswith(unused))


def test_references_hold_every_tensor_of_the_checkpoint(
    checkpoint: Path, references: References
) -> None:
    qwen, audio, plora = (
        references.ground_qwen,
        references.qwen2_audio,
        references.internlm2_plora,
    )
    memory, sound, base = (checkpoint / "memory", checkpoint / "audio", checkpoint / "base")

    # The compressor's head exists in the file and is used by nothing (spec §1.7).
    assert stored(references, memory, unused="lm_head.") == sum(
        (
            loaded(qwen.FrameEncoder(memory).tower),
            loaded(qwen.PoolProjector(memory).module),
            loaded(qwen.MemoryLanguage(memory).model),
        )
    )
    encoder = audio.AudioEncoder(sound)
    assert stored(references, sound) == sum(
        (
            loaded(encoder.encoder),
            loaded(encoder.projector),
            loaded(audio.AudioLanguage(sound).model),
        )
    )
    pictures = plora.PictureEncoder(base, base / TOWER_FOLDER)
    assert stored(references, base) == sum(
        (
            loaded(pictures.tower),
            loaded(pictures.projector.mlp),
            loaded(plora.Projector(base, "video_mem_proj").mlp),
            loaded(plora.load_language(base).model),
            pictures.separators.sub.size,
            pictures.separators.glb.size,
        )
    )


def test_a_missing_tensor_is_refused(
    checkpoint: Path, references: References, tmp_path: Path
) -> None:
    folder = tmp_path / "memory"
    shutil.copytree(checkpoint / "memory", folder)
    config = json.loads((folder / "config.json").read_text())
    beyond = config["num_hidden_layers"]
    config["num_hidden_layers"] += 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(RuntimeError, match=rf"Missing key.*layers\.{beyond}\."):
        references.ground_qwen.MemoryLanguage(folder)


def test_select_layer_minus_two_is_the_tower_without_its_last_layer(
    checkpoint: Path, references: References
) -> None:
    encoder = references.ground_qwen.FrameEncoder(checkpoint / "memory")
    assert encoder.select_layer == -2
    frames = inputs.noise_frames(np.random.default_rng(1), 2, encoder.tower.config.image_size)
    features, cls = encoder(frames)
    encoder.tower.encoder.layers = encoder.tower.encoder.layers[:-1]
    encoder.tower.config.num_hidden_layers -= 1
    encoder.select_layer = -1
    shorter_features, shorter_cls = encoder(frames)
    assert np.array_equal(features, shorter_features)
    assert np.array_equal(cls, shorter_cls)


def test_mixing_keeps_row_column_channel_order(references: References) -> None:
    patches = torch.arange(4 * 4 * 3).reshape(1, 16, 3)
    mixed = references.clip_vision.mix_2x2(patches)
    assert mixed.shape == (1, 4, 12)
    assert mixed[0, 1].tolist() == [
        *patches[0, 2].tolist(),
        *patches[0, 3].tolist(),
        *patches[0, 6].tolist(),
        *patches[0, 7].tolist(),
    ]


def test_slots_are_quadrant_means_frame_by_frame(checkpoint: Path, references: References) -> None:
    projector = references.ground_qwen.PoolProjector(checkpoint / "memory")
    projector.module["mlp"] = torch.nn.Identity()
    features = np.random.default_rng(2).standard_normal((2, 16, 8)).astype(np.float32)
    rows = projector(features)
    assert rows.shape == (2 * 16 + 2 * 4 + 1, 8)
    top_right_of_second = features[1, [2, 3, 6, 7]].mean(axis=0)
    np.testing.assert_allclose(rows[32 + 4 + 1], top_right_of_second, atol=1e-6)
    np.testing.assert_allclose(rows[-1], features.reshape(-1, 8).mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("samples", [2_000, 23_457])
def test_audio_reference_is_transformers_own_model_end_to_end(
    checkpoint: Path, references: References, samples: int
) -> None:
    folder = checkpoint / "audio"
    module = references.qwen2_audio
    encoder, language = module.AudioEncoder(folder), module.AudioLanguage(folder)
    config = Qwen2AudioConfig(**references.checkpoint.read_config(folder))
    whole = Qwen2AudioForConditionalGeneration(config).float().eval()
    state = {
        f"model.{name}".replace("model.language_model.model.", "model.language_model."): tensor
        for name, tensor in references.checkpoint.read_tensors(folder, "").items()
    }
    state["lm_head.weight"] = state["model.language_model.embed_tokens.weight"]
    whole.load_state_dict(state, strict=True)

    pcm = inputs.speech_like(np.random.default_rng(3), samples)
    audio = encoder(pcm)
    before, after = [5, 6, 7], [8, 9]
    embeds = np.concatenate([language.embed(before), audio, language.embed(after)])
    extracted = encoder.extractor(
        pcm, sampling_rate=16_000, return_attention_mask=True, return_tensors="pt"
    )
    ids = [*before, *[config.audio_token_index] * len(audio), *after]
    with torch.no_grad():
        expected = whole(
            input_ids=torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            input_features=extracted["input_features"],
            feature_attention_mask=extracted["attention_mask"],
        ).logits[0]
    assert relative_error(language.logits(embeds), expected.numpy()) < 1e-5


def test_audio_rope_theta_defaults_to_10000_and_1e6_would_differ(
    checkpoint: Path, references: References, tmp_path: Path
) -> None:
    folder = tmp_path / "audio"
    shutil.copytree(checkpoint / "audio", folder)
    config = json.loads((folder / "config.json").read_text())
    assert "rope_theta" not in config["text_config"]
    trap = references.qwen2_audio.AudioLanguage(folder)
    ids = list(range(40))

    def with_theta(theta: float) -> np.ndarray:
        config["text_config"]["rope_theta"] = theta
        (folder / "config.json").write_text(json.dumps(config))
        return references.qwen2_audio.AudioLanguage(folder).logits(trap.embed(ids))

    absent = trap.logits(trap.embed(ids))
    assert np.array_equal(absent, with_theta(10_000.0))
    assert relative_error(absent, with_theta(1_000_000.0)) > 0.05
