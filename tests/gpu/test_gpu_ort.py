"""The onnxruntime backend on a GPU: the values of the CPU, and nothing that runs elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from omnilive.engine.config import EngineConfig
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.memory.compressor import Compressor
from omnilive.memory.config import CompressionConfig
from omnilive.perception.frame_encoder import FrameEncoder
from omnilive_export.cli import main

pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")

TOLERANCE = 2e-2
"""Root mean square of the difference over that of the values: the GPU multiplies in TF32 or halves,
and the CPU rounds activations to 8 bits beside int4 weights."""


@pytest.fixture(scope="module")
def built(micro_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "cuda"
    line = ["--checkpoint", str(micro_checkpoint), "--out", str(out), "--device", "cuda"]
    assert main([*line, "--precision", "fp32"]) == 0
    return out


@pytest.fixture(scope="module")
def on_cpu(built: Path) -> Iterator[EnginePack]:
    pack = open_pack(built)
    yield pack
    pack.close()


@pytest.fixture(scope="module")
def on_gpu(built: Path) -> Iterator[EnginePack]:
    pack = open_pack(built, config=EngineConfig(device="cuda"))
    yield pack
    pack.close()


def error(found: object, expected: np.ndarray) -> float:
    difference = np.asarray(found, np.float64) - expected
    return float(np.sqrt(np.mean(difference**2) / np.mean(expected.astype(np.float64) ** 2)))


@pytest.mark.parametrize("name", ["mem_vit", "mem_proj", "aud_enc", "vlm_vit", "mem_to_vlm"])
def test_an_engine_gives_what_it_gives_on_the_cpu(
    on_cpu: EnginePack, on_gpu: EnginePack, name: str
) -> None:
    rng = np.random.default_rng(0)
    (tensor,) = on_cpu.manifest.engines[name].inputs
    sizes = {"samples": 16_000}
    shape = [s if isinstance(s, int) else sizes.get(s, 2) for s in tensor.shape]
    values = (
        rng.integers(0, 256, shape, np.uint8)
        if tensor.dtype == "uint8"
        else (rng.standard_normal(shape) * 0.3).astype(np.float32)
    )
    expected = on_cpu.engine(name).run({tensor.name: values})
    found = on_gpu.engine(name).run({tensor.name: values})
    errors = {output: error(found[output], expected[output]) for output in expected}
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize("name", ["mem_lm", "aud_lm", "vlm_lm"])
def test_a_decoder_prefills_in_blocks_and_decodes_as_on_the_cpu(
    on_cpu: EnginePack, on_gpu: EnginePack, name: str
) -> None:
    width = int(on_cpu.manifest.engines[name].inputs[0].shape[-1])
    x = (np.random.default_rng(1).standard_normal((40, width)) * 0.3).astype(np.float32)

    def last(pack: EnginePack, cuts: tuple[int, ...]) -> np.ndarray:
        decoder = pack.decoder(name)
        append = decoder.hidden if name == "mem_lm" else decoder.logits
        arena, at, found = decoder.new_arena(64), 0, np.zeros(0)
        for cut in cuts:
            found = append(arena, x[at : at + cut])
            at += cut
        return np.asarray(found)[-1]

    expected = last(on_cpu, (40,))
    assert error(last(on_gpu, (40,)), expected) <= TOLERANCE
    assert error(last(on_gpu, (17, 20, 1, 1, 1)), expected) <= TOLERANCE


def test_a_clip_goes_through_three_engines_to_the_memory_of_the_cpu(
    on_cpu: EnginePack, on_gpu: EnginePack
) -> None:
    frames = np.random.default_rng(2).integers(0, 256, (4, 90, 160, 3), np.uint8)

    def compressed(pack: EnginePack) -> np.ndarray:
        encoder = FrameEncoder(pack)
        features = [encoder.encode(frame).features for frame in frames]
        clip = Compressor(pack, CompressionConfig(step_tokens=32)).begin(features, 0, 4_000_000)
        while not clip.step():
            pass
        return clip.result.short_term

    expected = compressed(on_cpu)
    for _ in range(3):  # buffers are reused from the second on
        assert error(compressed(on_gpu), expected) <= TOLERANCE
