"""Sentences: nothing is lost, numbers and abbreviations stay whole, delivery doesn't matter."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive.errors import ConfigError
from omnilive.speech.config import SentenceConfig
from omnilive.speech.sentences import SentenceSplitter

WORDY = st.lists(
    st.sampled_from(
        [
            *(
                "3.14",
                "e.g.",
                "Dr.",
                "hello",
                "你好",
                ".",
                "?",
                "!",
                "。",
                "？",
                "…",
                "...",
                ",",
                "，",
            ),
            *(" ", "  ", "\n", '"', "”", ")", "1.", "A.", "U.S.", "ok", ";", "x" * 30, "\t", "🙂"),
        ]
    ),
    max_size=60,
).map("".join)
TEXT = st.one_of(WORDY, st.text(max_size=120))
CONFIG = st.builds(
    SentenceConfig,
    first_break_chars=st.sampled_from([0, 5, 40]),
    max_chars=st.sampled_from([8, 20, 400]),
)


def split(text: str, config: SentenceConfig | None = None) -> list[str]:
    splitter = SentenceSplitter(config or SentenceConfig(first_break_chars=0))
    return splitter.push(text) + splitter.flush()


@settings(deadline=None)
@given(TEXT, CONFIG)
def test_no_character_but_white_space_is_lost_or_moved(text: str, config: SentenceConfig) -> None:
    assert "".join("".join(split(text, config)).split()) == "".join(text.split())


@settings(deadline=None)
@given(TEXT, CONFIG)
def test_no_sentence_is_empty_or_longer_than_the_limit(text: str, config: SentenceConfig) -> None:
    for sentence in split(text, config):
        assert sentence == sentence.strip() != ""
        assert len(sentence) <= config.max_chars


@settings(deadline=None)
@given(TEXT, CONFIG, st.lists(st.integers(1, 7), max_size=40))
def test_sentences_do_not_depend_on_how_the_text_arrives(
    text: str, config: SentenceConfig, sizes: list[int]
) -> None:
    splitter = SentenceSplitter(config)
    got: list[str] = []
    rest = text
    for size in sizes:
        got += splitter.push(rest[:size])
        rest = rest[size:]
    got += splitter.push(rest) + splitter.flush()
    assert got == split(text, config)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pi is 3.14 today. Yes.", ["Pi is 3.14 today.", "Yes."]),
        ("It costs $1,000.50! Really?", ["It costs $1,000.50!", "Really?"]),
        ("Fruit, e.g. an apple. Done.", ["Fruit, e.g. an apple.", "Done."]),
        (
            "Dr. Smith met Mr. J. Doe at 5 p.m. sharp.",
            ["Dr. Smith met Mr. J. Doe at 5 p.m. sharp."],
        ),
        ("It was I. Not you.", ["It was I.", "Not you."]),
        ("See example.com now. Go.", ["See example.com now.", "Go."]),
        ("1. Red bag\n2. Blue cup", ["1. Red bag", "2. Blue cup"]),
        ("Wait... What?! No.", ["Wait...", "What?!", "No."]),
        ('He said "no." Then left.', ['He said "no."', "Then left."]),
        ("他在桌子上。杯子是红色的！对吗？", ["他在桌子上。", "杯子是红色的！", "对吗？"]),
        ("他说：“好。”然后走了。", ["他说：“好。”", "然后走了。"]),
        ("是3.14米。好.我来", ["是3.14米。", "好.", "我来"]),
        ("No. It is blue.", ["No.", "It is blue."]),
        ("no end", ["no end"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_known_texts_are_cut_where_a_reader_would(text: str, expected: list[str]) -> None:
    assert split(text) == expected


def test_a_sentence_comes_out_as_soon_as_the_next_character_decides() -> None:
    splitter = SentenceSplitter(SentenceConfig())
    assert splitter.push("Yes") == []
    assert splitter.push(".") == []
    assert splitter.push(" I") == ["Yes."]
    assert splitter.flush() == ["I"]


def test_two_ends_in_one_delta_give_two_sentences_at_once() -> None:
    splitter = SentenceSplitter(SentenceConfig())
    assert splitter.push("One. Two. Thr") == ["One.", "Two."]


def test_only_a_long_first_sentence_breaks_at_a_comma() -> None:
    config = SentenceConfig(first_break_chars=20)
    long = "There is a red umbrella, a bag, and a cup. There is a blue umbrella, a bag, and a cup."
    assert split(long, config) == [
        "There is a red umbrella,",
        "a bag, and a cup.",
        "There is a blue umbrella, a bag, and a cup.",
    ]
    assert split("Yes, it is.", config) == ["Yes, it is."]
    assert split("In all there are about 12,000 of them.", config) == [
        "In all there are about 12,000 of them."
    ]
    assert split("桌子上有一把红色的雨伞，还有一个包。", config) == [
        "桌子上有一把红色的雨伞，",
        "还有一个包。",
    ]


def test_flush_makes_ready_for_the_next_answer() -> None:
    splitter = SentenceSplitter(SentenceConfig(first_break_chars=10))
    assert splitter.push("one two three, four") + splitter.flush() == ["one two three,", "four"]
    assert splitter.push("one two three, four") + splitter.flush() == ["one two three,", "four"]


def test_a_sentence_without_an_end_is_cut_at_a_space_before_the_limit() -> None:
    config = SentenceConfig(first_break_chars=0, max_chars=12)
    assert split("alpha beta gamma", config) == ["alpha beta", "gamma"]
    assert split("x" * 30, config) == ["x" * 12, "x" * 12, "x" * 6]


@pytest.mark.parametrize(
    "config", [SentenceConfig(first_break_chars=-1), SentenceConfig(max_chars=1)]
)
def test_values_out_of_range_are_refused(config: SentenceConfig) -> None:
    with pytest.raises(ConfigError, match="sentences"):
        SentenceSplitter(config)
