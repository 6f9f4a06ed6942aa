"""The VAD and the endpointer on synthesized speech with known borders."""

from __future__ import annotations

import os

import numpy as np
import pytest

from omnilive.perception.config import VadConfig
from omnilive.perception.endpoint import Endpointer, SpeechEnded, SpeechStarted
from omnilive.perception.vad import CHUNK_SAMPLES, SileroVad
from omnilive.sources.types import Pcm, samples_to_us
from omnilive.speech.config import VoiceConfig
from omnilive.speech.espeak import EspeakVoice


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    voice = EspeakVoice(VoiceConfig())
    return voice.synthesize("What is the colour of the bag on the table?", "en")


def probabilities(vad: SileroVad, signal: np.ndarray) -> np.ndarray:
    chunks = signal[: len(signal) // CHUNK_SAMPLES * CHUNK_SAMPLES].reshape(-1, CHUNK_SAMPLES)
    return np.array([vad(chunk) for chunk in chunks])


def test_speech_is_probable_and_silence_is_not(speech: np.ndarray) -> None:
    assert np.median(probabilities(SileroVad(), speech)) > 0.9
    assert probabilities(SileroVad(), np.zeros(32_000, np.float32)).max() < 0.2


def test_two_detectors_share_nothing_and_any_memory_layout_will_do(speech: np.ndarray) -> None:
    first, second = SileroVad(), SileroVad()
    strided = np.repeat(speech, 2)[::2]
    before = probabilities(first, speech)
    np.testing.assert_array_equal(probabilities(second, strided), before)


@pytest.mark.parametrize("limit", [None, "7"])
def test_loading_the_model_leaves_the_environment_as_it_was(
    limit: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if limit is None:
        monkeypatch.delenv("OMP_THREAD_LIMIT", raising=False)
    else:
        monkeypatch.setenv("OMP_THREAD_LIMIT", limit)
    before = dict(os.environ)
    SileroVad()
    assert dict(os.environ) == before


def test_borders_of_utterances_lie_near_those_of_the_sound(speech: np.ndarray) -> None:
    gap = 32_000
    signal = np.concatenate(
        [np.zeros(gap, np.float32), speech, np.zeros(gap, np.float32), speech, np.zeros(gap)]
    ).astype(np.float32)
    loud = np.flatnonzero(np.abs(speech) > 0.02 * np.abs(speech).max())
    true_start, true_end = gap + loud[0], gap + loud[-1]
    config = VadConfig()
    endpointer = Endpointer(config, SileroVad())
    events, decided_us = [], []
    for at in range(0, len(signal), CHUNK_SAMPLES):
        new = endpointer.push(Pcm(samples_to_us(at), signal[at : at + CHUNK_SAMPLES]))
        events += new
        decided_us += [samples_to_us(at + CHUNK_SAMPLES)] * len(new)
    events += endpointer.finish()
    assert [type(e) for e in events] == [SpeechStarted, SpeechEnded] * 2
    utterance = events[1].utterance
    assert abs(utterance.start_us - samples_to_us(true_start)) < 150_000
    assert -50_000 < utterance.end_us - samples_to_us(true_end) < 350_000
    assert decided_us[1] - utterance.end_us == 384_000  # whole chunks of the endpoint's silence
    # All of the sound is in the utterance, and none in the background.
    whole = signal[true_start:true_end]
    start = true_start - samples_index(decided_us[1], len(utterance.samples))
    np.testing.assert_array_equal(utterance.samples[start : start + len(whole)], whole)
    assert not events[2].background.any()


def samples_index(end_us: int, length: int) -> int:
    return end_us * 16 // 1000 - length
