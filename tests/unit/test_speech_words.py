"""Words of a text tied to the samples in which they sound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.speech.config import VoiceConfig
from omnilive.speech.espeak import EspeakVoice
from omnilive.speech.words import Spoken, proportional, timed, word_starts

TEXTS = st.text(alphabet="ab1 ,.杯子。-\n", max_size=30)


def pieces(text: str) -> list[str]:
    starts = word_starts(text)
    return [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A blue box.", ["A ", "blue ", "box."]),
        ("“Yes” — 3.14, e.g.", ["“Yes” — ", "3.14, ", "e.g."]),
        ("桌上有 3 个 red mug。", ["桌", "上", "有 ", "3 ", "个 ", "red ", "mug。"]),
        ("  and so", ["  and ", "so"]),
        ("—", ["—"]),
    ],
)
def test_a_word_takes_along_what_follows_it(text: str, words: list[str]) -> None:
    assert pieces(text) == words


@given(TEXTS)
def test_words_make_up_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


@given(
    TEXTS.filter(lambda t: any(c.isalnum() for c in t)),
    st.integers(1, 5_000),
    st.lists(st.tuples(st.integers(-3, 40), st.integers(-10, 6_000)), max_size=12),
)
def test_whatever_a_voice_tells_the_words_ascend_and_the_last_ends_with_the_sound(
    text: str, count: int, began: list[tuple[int, int]]
) -> None:
    samples = np.full(count, 0.5, np.float32)
    for spoken in (timed(text, samples, began), proportional(text, samples)):
        starts = [w.start for w in spoken.words]
        ends = [w.ends_at for w in spoken.words]
        assert starts[0] == 0 and starts == sorted(set(starts))
        assert ends == sorted(ends) and ends[-1] == count
        assert spoken.said(count) == len(text)
        assert spoken.said(-1) == 0


def test_a_word_said_with_the_one_before_it_is_heard_with_it() -> None:
    samples = np.full(300, 0.5, np.float32)
    # "of" has no event, "3.14" has two.
    spoken = timed("out of 3.14 boxes", samples, [(0, 0), (7, 100), (8, 150), (12, 200)])
    assert [(w.start, w.ends_at) for w in spoken.words] == [(0, 100), (7, 200), (12, 300)]


def test_the_pause_after_a_word_is_no_part_of_it() -> None:
    samples = np.zeros(300, np.float32)
    samples[:80] = samples[150:220] = 0.5
    spoken = timed("box, table.", samples, [(0, 0), (5, 140)])
    assert [w.ends_at for w in spoken.words] == [80, 220]
    assert (spoken.said(79), spoken.said(80), spoken.said(219)) == (0, 5, 5)


def test_what_makes_no_sound_has_been_said() -> None:
    assert Spoken("--", np.zeros(0, np.float32), ()).said(0) == 2
    assert not proportional("--", np.zeros(0, np.float32)).words


@pytest.fixture(scope="module")
def voice() -> EspeakVoice:
    return EspeakVoice(VoiceConfig())


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The big red mug is out of the box, and Dr. Smith is at the table.", "en"),
        ("现在桌子上有一个红色的杯子，你好。", "zh"),
        ("\u0007 In 1984, I'd said “hello”… ok", "en"),
    ],
)
def test_the_embedded_voice_says_its_words_where_it_says_they_are(
    voice: EspeakVoice, text: str, language: str
) -> None:
    spoken = voice.say(text, language)
    assert len(spoken.words) >= 0.8 * len(word_starts(text))
    # A word is as long whatever follows it, to the length of a sound that flows over.
    for before, word in zip(spoken.words, spoken.words[1:], strict=False):
        alone = voice.say(text[: word.start], language)
        assert alone.words[-1].ends_at == pytest.approx(before.ends_at, abs=4_000)


def test_a_word_ends_where_its_own_sound_does(voice: EspeakVoice) -> None:
    spoken = voice.say("Yes, certainly.", "en")
    first = voice.say("Yes,", "en")
    end = spoken.words[0].ends_at
    assert end == pytest.approx(first.words[0].ends_at, abs=800)
    pause = spoken.samples[end : end + 1_600]
    assert np.abs(pause).max() < 0.01
