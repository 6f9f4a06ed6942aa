"""The spoken grammar: its words, its splits, and that its sentences are the templates'."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive_export.tokenizers import build_qwen2_tokenizer
from omnilive_micropack import grammar, small_talk, templates, text_tokenizers
from omnilive_micropack.corpus import corpus
from omnilive_micropack.dimensions import MICRO
from omnilive_micropack.vocabulary import OBJECTS
from omnilive_micropack.voices import (
    HELD_OUT_DIALECTS,
    HELD_OUT_VARIANTS,
    TRAINING_DIALECTS,
    TRAINING_VARIANTS,
    VALIDATION_VARIANTS,
    draw_voice,
)

KINDS = {
    *("now", "colour", "count", "where", "when_order", "changed", "who", "this", "exists"),
    *("implicit", "remark", "filler"),
}


def _draws(count: int) -> list[grammar.Sentence]:
    rng = np.random.default_rng(0)
    return [grammar.draw(rng) for _ in range(count)]


def test_the_grammar_has_150_to_300_words() -> None:
    assert 150 <= len(grammar.vocabulary()) <= 300


def test_every_kind_of_sentence_is_drawn_and_every_word_is_of_the_vocabulary() -> None:
    sentences = _draws(3_000)
    words = set(grammar.vocabulary())
    assert {s.kind for s in sentences} == KINDS
    assert {word for s in sentences for word in s.text.split()} <= words


def test_at_least_25_fillers_and_an_implicit_question_for_every_object() -> None:
    assert len(set(small_talk.FILLERS)) >= 25
    assert set(templates.IMPLICIT) == set(OBJECTS)
    assert not any(
        name in template.split() for name, group in templates.IMPLICIT.items() for template in group
    )


def test_only_questions_ask() -> None:
    assert {s.kind for s in _draws(500) if not s.is_question} == {"filler", "remark"}


@given(st.integers(0, 1 << 31))
def test_training_draws_only_what_is_not_held_out_and_tests_only_what_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = grammar.vocabulary()
    for part in (grammar.TEST, grammar.VALIDATION):
        assert grammar.split(grammar.draw_held_out(rng, part).text) == part
    for _ in range(5):
        text = grammar.draw_training(rng, words).text
        assert grammar.split(text) == grammar.TRAINING
        assert 1 <= len(text.split()) <= grammar.LONGEST_WORDS


def test_about_an_eighth_of_all_sentences_is_held_out() -> None:
    texts = {s.text for s in _draws(5_000)}
    share = sum(grammar.split(text) != grammar.TRAINING for text in texts) / len(texts)
    assert 0.09 < share < 0.15


@pytest.mark.parametrize(
    ("template", "values", "sentence"),
    [
        ("did you see a {object}", {"object": "umbrella"}, "did you see an umbrella"),
        (
            "was there a {colour} {object}",
            {"colour": "red", "object": "umbrella"},
            "was there a red umbrella",
        ),
        ("what is {place} now", {"place": "on the table"}, "what is on the table now"),
    ],
)
def test_slots_are_filled_and_the_article_agrees(
    template: str, values: dict[str, str], sentence: str
) -> None:
    assert templates.fill(template, values) == sentence


def test_one_sentence_never_names_a_thing_twice() -> None:
    for sentence in _draws(2_000):
        if sentence.kind == "when_order":
            things = [word for word in sentence.text.split() if word in OBJECTS]
            assert len(things) == len(set(things))


def test_every_word_of_the_grammar_is_one_token(tmp_path: Path) -> None:
    bpe = text_tokenizers.train_qwen_bpe(corpus(), MICRO.bpe_entries)
    text_tokenizers.write_qwen_bpe(tmp_path, bpe, text_tokenizers.AUDIO_SPECIALS, 2048)
    tokenizer = build_qwen2_tokenizer(tmp_path)
    split = [w for w in grammar.vocabulary() if len(tokenizer.encode(f" {w}").ids) != 1]
    assert split == []
    assert len(json.loads((tmp_path / "vocab.json").read_text())) == MICRO.bpe_entries


def test_no_voice_of_a_measurement_is_heard_in_training() -> None:
    assert not set(HELD_OUT_DIALECTS) & set(TRAINING_DIALECTS)
    assert not {*HELD_OUT_VARIANTS, *VALIDATION_VARIANTS} & set(TRAINING_VARIANTS)
    assert not set(HELD_OUT_VARIANTS) & set(VALIDATION_VARIANTS)
    rng = np.random.default_rng(0)
    trained = {draw_voice(rng, "training").name for _ in range(3_000)}
    held_out = {draw_voice(rng, "test").name for _ in range(100)}
    assert len(trained) > 400
    assert len(held_out) == len(HELD_OUT_DIALECTS) * len(HELD_OUT_VARIANTS)
    assert not trained & held_out
