from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime as ort
import pytest

from omnilive_export.graphs.builder import GraphBuilder
from omnilive_export.graphs.log_mel import log_mel, mel_filters
from omnilive_export.graphs.weight_file import write_graph
from omnilive_export.specs import LogMelSpec

SPEC = LogMelSpec(sample_rate=16_000, n_fft=400, hop=160, bins=80, max_frames=500)
"""Five seconds: the extractor's window is a parameter."""

Run = Callable[[np.ndarray], tuple[np.ndarray, int]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("mel")
    b = GraphBuilder("mel")
    pcm = b.input("pcm", "float32", (1, "samples"))
    mel, length = log_mel(b, pcm, SPEC)
    b.output(mel, "float32", (1, SPEC.bins, "frames"))
    b.output(length, "int64", (1,))
    write_graph(b.finish(), folder, advance=lambda cost: None)
    session = ort.InferenceSession(str(folder / "mel" / "model.onnx"))

    def extract(samples: np.ndarray) -> tuple[np.ndarray, int]:
        features, frames = session.run(None, {"pcm": samples[None]})
        return features[0], int(frames[0])

    return extract


def sounds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    t = np.arange(SPEC.max_samples) / SPEC.sample_rate
    return {
        "noise": 0.1 * rng.standard_normal(SPEC.max_samples),
        "tone": 0.8 * np.sin(2 * np.pi * 440 * t),
        "clicks": 0.5 * (np.arange(SPEC.max_samples) % 3000 == 7),
        "silence": np.zeros(SPEC.max_samples),
    }


@pytest.mark.parametrize("bins", (80, 128))
def test_the_filterbank_is_whispers(bins: int) -> None:
    transformers = pytest.importorskip("transformers")
    spec = LogMelSpec(16_000, 400, 160, bins, 3000)
    expected = transformers.WhisperFeatureExtractor(feature_size=bins).mel_filters
    np.testing.assert_allclose(mel_filters(spec), expected, atol=1e-8)


@pytest.mark.parametrize("samples", (321, 1600, 16_000, 40_001, 79_361, 79_700, 79_999, 80_000))
@pytest.mark.parametrize("sound", sorted(sounds()))
def test_any_length_equals_the_extractor_on_the_padded_window(
    run: Run, sound: str, samples: int
) -> None:
    transformers = pytest.importorskip("transformers")
    extractor = transformers.WhisperFeatureExtractor(feature_size=SPEC.bins, chunk_length=5)
    pcm = sounds()[sound][:samples].astype(np.float32)
    expected = extractor(
        pcm, sampling_rate=SPEC.sample_rate, return_tensors="np", return_attention_mask=True
    )
    features, frames = run(pcm)
    assert frames == expected["attention_mask"].sum() == -(-samples // SPEC.hop)
    assert features.shape[1] == min(frames + 2, SPEC.max_frames)
    reference = expected["input_features"][0][:, : features.shape[1]]
    np.testing.assert_allclose(features, reference, rtol=0, atol=5e-5)


def test_the_loudest_moment_decides_what_counts_as_silence(run: Run) -> None:
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(8_000).astype(np.float32)
    loud = quiet.copy()
    loud[4_000] = 1.0
    # 8 decades below the click, then (x + 4) / 4: the floor rises with the loudest value.
    assert run(loud)[0].max() - run(loud)[0].min() == pytest.approx(2.0, abs=1e-5)
    assert run(quiet)[0].max() - run(quiet)[0].min() < 2.0
