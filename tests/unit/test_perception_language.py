"""Tags, language and the sound prefix of a question."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive.perception.audio_model import SoundClass, Transcript
from omnilive.perception.language import (
    LONGEST_WORD,
    detect_language,
    last_words,
    question_text,
    strip_tags,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<|en|> What is it?", "What is it?"),
        ("<|zh|><|HAPPY|>你好<|end|>", "你好"),
        (" plain ", "plain"),
        ("a < b | c > d", "a < b | c > d"),
        ("<||>", ""),
    ],
)
def test_tags_are_stripped(text: str, expected: str) -> None:
    assert strip_tags(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What colour is it?", "en"),
        ("桌子上有什么？", "zh"),
        ("打开 TV", "zh"),
        ("what is 你好 in English", "en"),
        ("你好！！！？？？，，，", "zh"),
        ("a", "en"),
        ("", "en"),
        ("?!", "en"),
        ("3.14", "en"),
    ],
)
def test_language_is_that_of_most_letters(text: str, expected: str) -> None:
    assert detect_language(text) == expected


@settings(deadline=None)
@given(st.text())
def test_any_text_has_a_language(text: str) -> None:
    assert detect_language(text) in ("en", "zh")


def ask(text: str, label: str | None) -> str:
    sound = None if label is None else SoundClass(label, 1, 1)
    return question_text(Transcript(text, detect_language(text), 1, 1), sound)


def test_a_sound_is_named_before_the_words_in_their_language() -> None:
    assert ask("what is that", "Bell") == "Sound classification：Bell. what is that"
    assert ask("那是什么", "Bell") == "声音是铃声。那是什么"
    assert ask("那是什么", "Walkandfootsteps") == "声音是脚步声。那是什么"
    assert ask("那是什么", "Walk and footsteps") == "声音是脚步声。那是什么"


@pytest.mark.parametrize("label", ["Speech", "speech", "silence", "Silence", "", "<|x|>", None])
def test_speech_and_silence_are_not_named(label: str | None) -> None:
    assert ask("what is that", label) == "what is that"
    assert ask("那是什么", label) == "那是什么"


def test_a_sound_without_a_chinese_name_is_left_out_of_a_chinese_question() -> None:
    assert ask("那是什么", "Theremin") == "那是什么"
    assert ask("what is that", "Theremin") == "Sound classification：Theremin. what is that"


def test_every_sound_of_the_miniature_has_a_chinese_name() -> None:
    for label in ("Bell", "Knock", "Applause", "Rain", "Siren", "Bark", "Engine", "Alarm"):
        assert ask("那是什么", label).startswith("声音是")


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("one two  three", 2, "two  three"),
        ("one two three", 3, "one two three"),
        ("one, two.", 1, "two."),
        ("现在桌子上有什么", 3, "有什么"),
        ("看 the red 盒子", 3, "red 盒子"),
        ("x" * 40, 1, "x" * (40 - 2 * LONGEST_WORD)),
        ("", 1, ""),
    ],
)
def test_the_last_words_are_kept(text: str, limit: int, expected: str) -> None:
    assert last_words(text, limit) == expected


@given(st.text(max_size=200), st.integers(1, 20))
def test_what_is_kept_is_the_end_of_the_text_and_bounded(text: str, limit: int) -> None:
    kept = last_words(text, limit)
    assert text.endswith(kept)
    assert len("".join(kept.split())) <= limit * LONGEST_WORD
    assert last_words(kept, limit) == kept
