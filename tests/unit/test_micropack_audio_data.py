"""Spoken takes with the times of their words, and the surroundings they are heard in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omnilive.errors import ConfigError
from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive_micropack.aligned_speech import PAUSE, speak_aligned, units
from omnilive_micropack.audio_data import (
    CLASS_SECONDS,
    CUT_BY_ENDPOINTER,
    Conditions,
    Surroundings,
    Take,
    phoneme_at,
    record,
    sound_clip,
    surround,
)
from omnilive_micropack.grammar import Sentence
from omnilive_micropack.vocabulary import SOUNDS
from omnilive_micropack.voices import Voice
from omnilive_micropack.word_errors import word_errors

TEXT = "where did you see an orange umbrella"
ALONE = Conditions(lead_s=(0.25, 0.25), tail_s=(0.5, 0.5), noise_share=0.0)


@pytest.fixture(scope="module")
def take() -> Take:
    return next(record([(Sentence(TEXT, "where"), Voice("en-us+f3"))]))


@pytest.fixture(scope="module")
def surroundings() -> Surroundings:
    return Surroundings(1, noises=2, rooms=2)


def test_each_word_has_its_time_in_order_and_within_the_sound(take: Take) -> None:
    words = take.speech.words
    assert words.shape == (len(TEXT.split()), 2)
    assert (words[:, 1] > words[:, 0]).all()
    assert (words[1:, 0] >= words[:-1, 1]).all()
    assert words.min() >= 0
    assert words.max() <= len(take.speech.samples)
    # the longest words of the sentence take the longest
    lengths = words[:, 1] - words[:, 0]
    assert set(np.argsort(lengths)[-2:]) == {5, 6}


def test_phonemes_cover_the_take_and_silence_what_is_around_it(take: Take) -> None:
    count = len(take.speech.samples)
    index = phoneme_at(take, 1_000, np.array([0, 999, 1_000, 1_000 + count - 1, 1_000 + count]))
    assert index[0] == index[1] == index[4] == -1
    assert take.speech.phonemes[index[2]] == "w"
    assert take.speech.phonemes[0] != PAUSE


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("um okay", [(0, "um"), (3, "okay")]),
        ("这是什么", [(0, "这"), (1, "是"), (2, "什"), (3, "么")]),
        ("a 猫 b", [(0, "a"), (2, "猫"), (4, "b")]),
        ("", []),
    ],
)
def test_a_unit_is_a_word_or_a_chinese_character(text: str, parts: list[tuple[int, str]]) -> None:
    assert units(text) == parts


def test_equal_batches_sound_equal() -> None:
    items = [("what is this", Voice("en-us")), ("what is that", Voice("en+klatt4", 180, 70))]
    first, second = (
        [speech.samples for speech in speak_aligned(items)],
        [speech.samples for speech in speak_aligned(items)],
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_an_unknown_voice_is_named() -> None:
    with pytest.raises(ConfigError, match="en-nowhere"):
        list(speak_aligned([("hello", Voice("en-nowhere"))]))


def test_the_take_begins_where_it_is_said_to(take: Take, surroundings: Surroundings) -> None:
    heard, lead = surround(take, ALONE, surroundings, np.random.default_rng(0))
    count = len(take.speech.samples)
    assert lead == SAMPLE_RATE_HZ // 4
    assert len(heard) == lead + count + SAMPLE_RATE_HZ // 2
    assert not heard[:lead].any()
    assert np.allclose(heard[lead : lead + count], take.speech.samples * 10 ** (-6 / 20))


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 30.0])
def test_noise_is_as_far_below_the_speech_as_asked(
    take: Take, surroundings: Surroundings, snr_db: float
) -> None:
    noisy = replace(ALONE, noise_share=1.0, snr_db=(snr_db, snr_db), peak_db=(-20.0, -20.0))
    heard, lead = surround(take, noisy, surroundings, np.random.default_rng(0))
    speech = take.speech.samples * np.float32(0.1)
    noise = heard[lead : lead + len(speech)] - speech
    measured = 10 * np.log10(np.mean(speech**2) / np.mean(noise**2))
    assert measured == pytest.approx(snr_db, abs=1.5)


def test_surroundings_follow_from_the_generator(take: Take, surroundings: Surroundings) -> None:
    first, again, other = (
        surround(take, CUT_BY_ENDPOINTER, surroundings, np.random.default_rng(seed), [take])
        for seed in (5, 5, 6)
    )
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])
    assert np.abs(first[0]).max() <= 1.0


@pytest.mark.parametrize("label", SOUNDS)
def test_a_background_of_each_class_is_as_long_as_the_runtime_keeps(
    take: Take, surroundings: Surroundings, label: str
) -> None:
    clip = sound_clip(label, surroundings, np.random.default_rng(2), [take])
    shortest, longest = (seconds * SAMPLE_RATE_HZ for seconds in CLASS_SECONDS)
    assert shortest <= len(clip) <= longest
    assert clip.dtype == np.float32
    assert 0 < np.abs(clip).max() <= 1.5


@pytest.mark.parametrize(
    ("truth", "heard", "errors"),
    [
        ("what is this", "what is this", 0),
        ("what is this", "what this", 1),
        ("what is this", "what is is that", 2),
        ("", "um okay", 2),
        ("um okay", "", 2),
    ],
)
def test_word_errors_are_the_fewest_edits(truth: str, heard: str, errors: int) -> None:
    assert word_errors(truth.split(), heard.split()) == errors
