"""espeak-ng as the voice: the same text sounds the same, and text is never a command."""

from __future__ import annotations

import ctypes
import gc
import threading
from pathlib import Path

import espeakng_loader
import numpy as np
import pytest

from omnilive.errors import ConfigError, SetupError
from omnilive.speech.config import VoiceConfig
from omnilive.speech.espeak import EspeakVoice

QUESTION = "What color is the bag?"


@pytest.fixture(scope="module")
def voice() -> EspeakVoice:
    return EspeakVoice(VoiceConfig())


def test_english_gives_audible_float32_of_plausible_length(voice: EspeakVoice) -> None:
    samples = voice.synthesize(QUESTION, "en")
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert 0.8 * 16_000 < len(samples) < 2.5 * 16_000
    assert 0.1 < np.abs(samples).max() <= 1.0
    assert float(np.sqrt(np.mean(samples**2))) > 0.02


def test_chinese_is_spoken_by_a_mandarin_voice(voice: EspeakVoice) -> None:
    chinese = voice.synthesize("桌子上有什么？", "zh")
    assert 0.8 * 16_000 < len(chinese) < 2.5 * 16_000
    # The English voice spells such characters out one by one, which takes far longer.
    assert len(chinese) < 0.7 * len(voice.synthesize("桌子上有什么？", "en"))


def test_the_same_text_sounds_the_same_whatever_was_said_before(voice: EspeakVoice) -> None:
    alone = voice.synthesize(QUESTION, "en")
    voice.synthesize("Something else, of another length.", "en")
    voice.synthesize("你好", "zh")
    again = voice.synthesize(QUESTION, "en")
    other_voice = EspeakVoice(VoiceConfig()).synthesize(QUESTION, "en")
    np.testing.assert_array_equal(alone, again)
    np.testing.assert_array_equal(alone, other_voice)


def test_threads_take_turns_and_get_their_own_audio(voice: EspeakVoice) -> None:
    texts = ["one red bag", "two green umbrellas", "three blue cups", "four"]
    expected = [voice.synthesize(t, "en") for t in texts]
    got: dict[int, np.ndarray] = {}

    def speak(index: int) -> None:
        got[index] = voice.synthesize(texts[index], "en")

    threads = [threading.Thread(target=speak, args=(i,)) for i in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, samples in enumerate(expected):
        np.testing.assert_array_equal(got[index], samples)


@pytest.mark.parametrize("text", ["", "   \n", "...", "?!", "— “ ” …", "。！？", "***", "\x01\x02"])
def test_text_without_letter_or_digit_gives_no_sound(voice: EspeakVoice, text: str) -> None:
    samples = voice.synthesize(text, "en")
    assert samples.dtype == np.float32 and len(samples) == 0


def test_markup_is_read_out_not_obeyed(voice: EspeakVoice) -> None:
    plain = voice.synthesize("hello", "en")
    marked = voice.synthesize('<break time="5s"/>hello', "en")
    louder = voice.synthesize('<prosody volume="x-loud">hello</prosody>', "en")
    assert len(marked) > len(plain) + 16_000  # the tag's words are spoken
    assert not _has_silence_of(marked, 2.0)
    assert len(louder) > len(plain) + 16_000


def _has_silence_of(samples: np.ndarray, seconds: float) -> bool:
    quiet = np.abs(samples) < 1e-3
    runs = np.diff(np.flatnonzero(np.concatenate([[True], ~quiet, [True]])))
    return bool(runs.max() > seconds * 16_000)


def test_control_and_private_characters_are_no_commands(voice: EspeakVoice) -> None:
    # Ctrl-A begins an embedded command in espeak-ng; U+F001 is folded to it.
    spaced = voice.synthesize("  99P hello", "en")
    for command in ("\x01 99P hello", "\uf001 99P hello"):
        np.testing.assert_array_equal(voice.synthesize(command, "en"), spaced)


def test_lone_surrogates_do_not_break_synthesis(voice: EspeakVoice) -> None:
    assert len(voice.synthesize("he\udc80llo", "en")) > 0


def test_a_higher_rate_is_shorter_and_zero_volume_is_silent() -> None:
    slow = EspeakVoice(VoiceConfig(rate_wpm=120)).synthesize(QUESTION, "en")
    fast = EspeakVoice(VoiceConfig(rate_wpm=300)).synthesize(QUESTION, "en")
    silent = EspeakVoice(VoiceConfig(volume=0)).synthesize(QUESTION, "en")
    assert len(fast) < 0.7 * len(slow)
    assert np.abs(silent).max() < 0.01


def test_an_unknown_voice_is_a_config_error_that_names_the_field() -> None:
    with pytest.raises(ConfigError, match=r"voice\.chinese_voice.*no-such-voice"):
        EspeakVoice(VoiceConfig(chinese_voice="no-such-voice"))


@pytest.mark.parametrize(
    "config",
    [
        VoiceConfig(rate_wpm=79),
        VoiceConfig(pitch=101),
        VoiceConfig(volume=-1),
        VoiceConfig(english_voice=""),
        VoiceConfig(chinese_voice="中文"),
    ],
)
def test_values_out_of_range_are_refused(config: VoiceConfig) -> None:
    with pytest.raises(ConfigError):
        config.validate()


def test_another_language_is_refused(voice: EspeakVoice) -> None:
    with pytest.raises(ValueError, match="fr"):
        voice.synthesize("bonjour", "fr")


def test_missing_data_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="espeak-ng data"):
        EspeakVoice(VoiceConfig(), data_path=tmp_path / "nowhere")


def test_data_under_a_path_longer_than_the_library_takes_still_works(
    voice: EspeakVoice, tmp_path: Path
) -> None:
    deep = tmp_path / ("d" * 90) / ("e" * 90)
    deep.mkdir(parents=True)
    data = deep / "espeak-ng-data"
    data.symlink_to(espeakng_loader.get_data_path(), target_is_directory=True)
    far = EspeakVoice(VoiceConfig(), data_path=data)
    np.testing.assert_array_equal(far.synthesize(QUESTION, "en"), voice.synthesize(QUESTION, "en"))


class _Heap(ctypes.Structure):
    """``struct mallinfo2`` of glibc, bytes."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="counts by glibc 2.33")
def test_nothing_stays_of_what_was_said(voice: EspeakVoice) -> None:
    heap = ctypes.CDLL(None).mallinfo2
    heap.restype = _Heap

    def held() -> int:
        gc.collect()
        return int(heap().uordblks)

    def say() -> None:
        for _ in range(100):
            voice.synthesize("one", "en")

    say()
    before = held()
    say()
    assert held() - before < 100 * 1_000
