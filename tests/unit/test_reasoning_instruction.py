"""The yes/no check: the right prompt, the right logits, and no trace of earlier utterances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes_reasoner import BOS, TOKENIZER, VOCAB, FakePack
from omnilive.errors import TooLongError
from omnilive.reasoning.config import InstructionConfig
from omnilive.reasoning.instruction import InstructionCheck, Verdict

TEXTS = st.lists(
    st.sampled_from(["What is red", "Yes", "um", "?", "？", " ", "盒子", '"']), max_size=5
).map("".join)


def prompt_of(words: str) -> list[int]:
    return [
        BOS,
        *TOKENIZER.encode(
            f'[UNUSED_TOKEN_146]user\nIs the following string an instruction? "{words}"'
            "[UNUSED_TOKEN_145]\n[UNUSED_TOKEN_146]assistant\n",
            allow_special=True,
        ),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What is red?", "What is red"),
        ("红色是什么？", "红色是什么"),
        ("What??", "What?"),
        (" Go. ", "Go."),
        ("?", ""),
    ],
)
def test_the_prompt_quotes_the_utterance_without_one_question_mark(text: str, words: str) -> None:
    pack = FakePack()
    check = InstructionCheck(pack, InstructionConfig())
    seen = []
    logits = pack.fake_decoder.logits

    def record(arena, embeds, **kwargs):
        seen.append(embeds)
        return logits(arena, embeds, **kwargs)

    pack.fake_decoder.logits = record
    verdict = check.judge(text)
    np.testing.assert_array_equal(seen[0], pack.embeddings[prompt_of(words)])
    assert verdict.tokens == len(prompt_of(words))


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_nothing_said_is_no_instruction_and_costs_nothing(text: str) -> None:
    pack = FakePack()
    assert InstructionCheck(pack, InstructionConfig()).judge(text) == Verdict(0.0, 0)
    assert pack.fake_decoder.blocks == []


@given(texts=st.lists(TEXTS, min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_the_answer_does_not_depend_on_what_was_asked_before(texts: list[str]) -> None:
    check = InstructionCheck(FakePack(), InstructionConfig())
    for text in texts:
        fresh = InstructionCheck(FakePack(), InstructionConfig()).judge(text).probability
        assert check.judge(text).probability == pytest.approx(fresh, rel=1e-3, abs=1e-9)


def test_the_shared_beginning_is_prefilled_once() -> None:
    pack = FakePack()
    check = InstructionCheck(pack, InstructionConfig())
    told = [check.judge(text).tokens for text in ("What is red?", "Hello there.")]
    first, second = pack.fake_decoder.blocks
    assert told == [first, second]
    shared = len(prompt_of("")) - len(
        TOKENIZER.encode('"[UNUSED_TOKEN_145]\n[UNUSED_TOKEN_146]assistant\n', allow_special=True)
    )
    assert first == len(prompt_of("What is red"))
    assert second <= len(prompt_of("Hello there.")) - shared + 1


def test_the_same_utterance_twice_runs_one_token() -> None:
    pack = FakePack()
    check = InstructionCheck(pack, InstructionConfig())
    assert check.judge("Go.").probability == pytest.approx(check.judge("Go.").probability)
    assert pack.fake_decoder.blocks[1] == 1


@pytest.mark.parametrize(
    ("pieces", "probability"),
    [({"Yes": 3.0}, 1 / (1 + np.exp(-3))), ({"No": 3.0}, 1 / (1 + np.exp(3))), ({}, 0.5)],
)
def test_the_probability_is_yes_against_no(
    monkeypatch: pytest.MonkeyPatch, pieces: dict[str, float], probability: float
) -> None:
    pack = FakePack()
    row = np.full((1, VOCAB), -50, np.float32)
    for word in ("Yes", "No"):
        row[0, first_id(word)] = pieces.get(word, 0.0)
    monkeypatch.setattr(pack.fake_decoder, "logits", lambda *a, **k: row)
    check = InstructionCheck(pack, InstructionConfig())
    assert check.judge("Go.").probability == pytest.approx(probability, rel=1e-4)


def first_id(word: str) -> int:
    return TOKENIZER.encode(word)[0]


def test_the_threshold_decides() -> None:
    check = InstructionCheck(FakePack(), InstructionConfig(threshold=0.3))
    assert check.is_instruction(0.3)
    assert not check.is_instruction(0.29)


def test_an_utterance_beyond_its_limit_is_refused_and_the_next_one_works() -> None:
    check = InstructionCheck(FakePack(), InstructionConfig(max_prompt_tokens=80))
    before = check.judge("Go.").probability
    with pytest.raises(TooLongError, match=r"instruction\.max_prompt_tokens"):
        check.judge("red " * 80)
    assert check.judge("Go.").probability == pytest.approx(before)


@given(text=TEXTS.filter(str.strip), step=st.integers(1, 90), broken_off=st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_a_check_in_pieces_or_after_one_broken_off_finds_the_same(
    text: str, step: int, broken_off: int
) -> None:
    pack = FakePack()
    check = InstructionCheck(pack, InstructionConfig(step_tokens=step))
    other = check.judging("And where is the blue box?")
    for _ in range(broken_off):
        next(other, None)
    other.close()
    whole = InstructionCheck(FakePack(), InstructionConfig(step_tokens=4096)).judge(text)
    assert check.judge(text).probability == pytest.approx(whole.probability, rel=1e-3, abs=1e-9)
    assert max(pack.fake_decoder.blocks) <= step
