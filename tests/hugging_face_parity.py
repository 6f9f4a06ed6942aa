"""Exports plain Hugging Face models and compares their engines with transformers, at any width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import WhisperFeatureExtractor

from omnilive.engine.config import EngineConfig
from omnilive.engine.manifest import Manifest, PartialManifest
from omnilive.engine.manifest_file import read_partial_manifest
from omnilive.engine.ort_backend import load_decoder, load_engine
from omnilive.engine.tables import MappedTable
from omnilive_export.cli import main as build_engines

TOLERANCE = 1e-4
"""Largest difference over the reference's root mean square (fp32)."""

ENGINE = EngineConfig(threads=1)


def randomized(model: nn.Module, seed: int = 0) -> Any:
    """The model with every parameter drawn anew: biases and norms away from what they start at."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        scale = 0.3 if parameter.ndim < 2 else 1.2 / np.sqrt(parameter[0].numel())
        noise = torch.randn(parameter.shape, generator=generator) * scale
        # Norms stay near one, else a small stream is blown up until float32 shows.
        norm = "norm" in name and name.endswith("weight")
        parameter.data = noise + 1.0 if norm else noise
    return model.eval().requires_grad_(False)


def exported(folder: Path, out: Path) -> PartialManifest:
    """A float32 pack of one plain folder, as a user builds it."""
    arguments = ["--checkpoint", str(folder), "--out", str(out), "--precision", "fp32"]
    assert build_engines(arguments) == 0
    manifest = read_partial_manifest(out)
    assert not isinstance(manifest, Manifest)
    return manifest


def relative_error(actual: np.ndarray, expected: torch.Tensor) -> float:
    """Largest difference over the reference's root mean square."""
    reference = expected.numpy()
    assert actual.shape == reference.shape
    return float(np.abs(actual - reference).max() / np.sqrt(np.mean(reference**2)))


def logits_error(folder: Path, model: Any, out: Path) -> float:
    """Error of the exported decoder, its prompt in two blocks, embedded by its own table."""
    manifest = exported(folder, out)
    decoder = load_decoder(manifest.engines["lm"], out, ENGINE)
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, 90)
    embeds = MappedTable(manifest.tables["lm_embed"], out).rows(ids)
    arena = decoder.new_arena(90)
    blocks = [embeds[:13], embeds[13:]]
    got = [decoder.logits(arena, block, rows=np.arange(len(block))) for block in blocks]
    expected = model(torch.tensor(ids)[None]).logits[0]
    return relative_error(np.concatenate(got), expected)


def clip_errors(model: Any, folder: Path) -> dict[str, float]:
    """Errors of an exported tower's outputs on three noise pictures."""
    model.save_pretrained(folder / "model")
    manifest = exported(folder / "model", folder / "pack")
    engine = load_engine(manifest.engines["vit"], folder / "pack", ENGINE)
    side = model.config.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])
    values = ((torch.tensor(pixels) / 255 - mean) / std).permute(0, 3, 1, 2)
    tower = model.vision_model if hasattr(model, "vision_model") else model
    states = tower(pixel_values=values)
    expected = {"hidden": states.last_hidden_state, "pooled": states.pooler_output}
    if hasattr(model, "visual_projection"):
        expected["embeds"] = model(pixel_values=values).image_embeds
    actual = engine.run({"pixels": pixels})
    assert set(actual) == set(expected)
    return {name: relative_error(actual[name], expected[name]) for name in expected}


def speech(samples: int) -> np.ndarray:
    """A swelling tone with a little noise."""
    rng = np.random.default_rng(samples)
    tone = np.sin(np.arange(samples) * 0.05) * np.linspace(0, 1, samples)
    return (0.3 * tone + 0.01 * rng.standard_normal(samples)).astype(np.float32)


def whisper_error(model: Any, samples: int, folder: Path) -> float:
    """Error of an exported encoder on a sound of so many samples."""
    extractor = WhisperFeatureExtractor(
        feature_size=model.config.num_mel_bins,
        chunk_length=model.config.max_source_positions // 50,
    )
    model.save_pretrained(folder / "model")
    extractor.save_pretrained(folder / "model")
    manifest = exported(folder / "model", folder / "pack")
    engine = load_engine(manifest.engines["encoder"], folder / "pack", ENGINE)
    pcm = speech(samples)
    mel = extractor(pcm, sampling_rate=16_000, return_tensors="pt").input_features
    expected = model.model.encoder(mel).last_hidden_state
    return relative_error(engine.run({"pcm": pcm[None]})["hidden"], expected)
