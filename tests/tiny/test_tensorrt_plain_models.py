"""Plain Hugging Face folders in the TensorRT dialect against the ``ort`` dialect."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tensorrt_running import Decoding, OrtOnGrid, relative_error, session, write_engines
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Qwen3Config,
    Qwen3ForCausalLM,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from omnilive_export.precision import pack_precision
from omnilive_export.tensorrt.dialect import tensorrt_dialect
from omnilive_export.tensorrt.operators import check_operators
from omnilive_export.verify import inputs

TOLERANCE = 1e-2
"""Largest relative error of float16 arithmetic on the same weights. Found: 1e-3."""

PRECISION = pack_precision("int4", block=64)

MODELS = {
    "lm": lambda: Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=120,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=256,
        )
    ),
    "vit": lambda: CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=42,
            patch_size=14,
            projection_dim=24,
        )
    ),
    "encoder": lambda: WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=60,
            d_model=64,
            encoder_layers=2,
            encoder_attention_heads=2,
            encoder_ffn_dim=96,
            decoder_layers=1,
            decoder_attention_heads=2,
            decoder_ffn_dim=96,
            max_source_positions=100,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
        )
    ),
}


def feeds_of(engine: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    if engine == "vit":
        return {"pixels": inputs.noise_frames(rng, 2, 42)}
    return {"pcm": inputs.speech_like(rng, 7_777)[None]}


@pytest.mark.parametrize("engine", MODELS)
def test_both_dialects_of_a_plain_model_agree(engine: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    MODELS[engine]().save_pretrained(tmp_path / "model")
    if engine == "encoder":
        WhisperFeatureExtractor(chunk_length=2).save_pretrained(tmp_path / "model")
    folders = [
        write_engines(tmp_path / "model", tmp_path / name, PRECISION, dialect)
        for name, dialect in (
            ("tensorrt", tensorrt_dialect(PRECISION)),
            ("ort", partial(OrtOnGrid, precision=PRECISION)),
        )
    ]
    model = onnx.load(folders[0] / engine / "model.onnx", load_external_data=False)
    check_operators(model, "10.3", where=engine)
    ours, theirs = (session(folder, engine) for folder in folders)
    if engine == "lm":
        x = np.random.default_rng(2).standard_normal((5, 64)).astype(np.float32)
        found, expected = (Decoding(one, 8) for one in (ours, theirs))
        for block in (x[:4], x[4:]):
            rows = range(len(block))
            a, b = found.append(block, rows=rows), expected.append(block, rows=rows)
            assert relative_error(a, b) <= TOLERANCE
        return
    feeds = feeds_of(engine)
    for a, b in zip(ours.run(None, feeds), theirs.run(None, feeds), strict=True):
        assert relative_error(a, b) <= TOLERANCE
