"""The synthesized background sounds: all classes, finite, different and reproducible."""

from __future__ import annotations

import numpy as np
import pytest

from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive_micropack.sounds import SYNTHESIZERS, coloured_noise, synthesize
from omnilive_micropack.vocabulary import SILENCE, SOUNDS, SPEECH


def test_every_class_but_speech_and_silence_is_synthesized() -> None:
    assert set(SYNTHESIZERS) == set(SOUNDS) - {SPEECH, SILENCE}
    assert len(SYNTHESIZERS) >= 8


@pytest.mark.parametrize("label", sorted(SYNTHESIZERS))
@pytest.mark.parametrize("seconds", [0.3, 2.0])
def test_a_sound_is_finite_of_peak_one_and_follows_from_its_seed(
    label: str, seconds: float
) -> None:
    sound = synthesize(np.random.default_rng(3), label, seconds)
    assert sound.shape == (round(seconds * SAMPLE_RATE_HZ),)
    assert sound.dtype == np.float32
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() == pytest.approx(1.0)
    assert np.array_equal(sound, synthesize(np.random.default_rng(3), label, seconds))
    assert not np.array_equal(sound, synthesize(np.random.default_rng(4), label, seconds))


def test_noise_has_unit_power_and_a_steeper_slope_less_treble() -> None:
    flat = coloured_noise(np.random.default_rng(0), 16_000, 0.0)
    steep = coloured_noise(np.random.default_rng(0), 16_000, 1.2)
    for noise in (flat, steep):
        assert np.sqrt(np.mean(noise**2)) == pytest.approx(1.0, abs=1e-3)
    treble = [np.abs(np.fft.rfft(noise))[4_000:].sum() for noise in (flat, steep)]
    assert treble[1] < 0.5 * treble[0]
