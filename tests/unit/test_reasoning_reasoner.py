"""Answers: stepwise, cancellable at every step, and no character ever split."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes_reasoner import HIDDEN, STOP, TOKENIZER, VOCAB, FakePack
from omnilive.errors import ConfigError, EngineError
from omnilive.reasoning.assembly import Prompt, PromptCounts
from omnilive.reasoning.config import ReasoningConfig, SamplingConfig
from omnilive.reasoning.detokenizer import Detokenizer
from omnilive.reasoning.reasoner import Answer, AnswerToken, Reasoner


def prompt(tokens: int, seed: int = 0) -> Prompt:
    rng = np.random.default_rng(seed)
    plora = np.flatnonzero(rng.random(tokens) < 0.4)
    embeds = rng.standard_normal((tokens, HIDDEN)).astype(np.float32)
    return Prompt(embeds, plora, PromptCounts(tokens, 0, 0, 0))


def prefill(answer: Answer) -> None:
    while not answer.prefill_step():
        pass


def text_of(tokens: list[AnswerToken]) -> str:
    return "".join(token.text_delta for token in tokens)


def run(answer: Answer) -> list[AnswerToken]:
    prefill(answer)
    tokens = [answer.step()]
    while not tokens[-1].done:
        tokens.append(answer.step())
    return tokens


@given(tokens=st.integers(1, 60), chunk=st.integers(1, 70), seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_an_answer_does_not_depend_on_how_its_prompt_is_chunked(
    tokens: int, chunk: int, seed: int
) -> None:
    whole = run(Reasoner(FakePack(), ReasoningConfig()).begin(prompt(tokens, seed), 0))
    pack = FakePack()
    chunked = run(
        Reasoner(pack, ReasoningConfig(prefill_chunk=chunk)).begin(prompt(tokens, seed), 0)
    )
    assert [t.id for t in chunked] == [t.id for t in whole]
    chunks = -(-tokens // chunk)
    assert pack.fake_decoder.blocks[:chunks] == [chunk] * (chunks - 1) + [
        tokens - chunk * (chunks - 1)
    ]
    # The head runs once for the prompt and once per further token.
    assert pack.fake_decoder.head_rows == len(chunked)


def test_an_answer_does_not_depend_on_those_before_it() -> None:
    sampling = SamplingConfig(temperature=1.0, seed=7)
    reasoner = Reasoner(FakePack(), ReasoningConfig(), sampling)
    run(reasoner.begin(prompt(20, 1), 0))
    half = reasoner.begin(prompt(30, 2), 1)
    prefill(half)
    half.step()
    after = run(reasoner.begin(prompt(25, 3), 2))
    alone = run(Reasoner(FakePack(), ReasoningConfig(), sampling).begin(prompt(25, 3), 2))
    assert after == alone


def test_generations_draw_from_streams_of_their_own() -> None:
    sampling = SamplingConfig(temperature=10.0, top_k=0, top_p=1.0)
    reasoner = Reasoner(FakePack(), ReasoningConfig(), sampling)
    answers = [[t.id for t in run(reasoner.begin(prompt(9), g))] for g in (0, 1)]
    assert answers[0] != answers[1]


def scripted(script: list[int], max_new_tokens: int = 16) -> Reasoner:
    pack = FakePack(max_new_tokens=max_new_tokens)
    pack.fake_decoder.script = list(script)
    return Reasoner(pack, ReasoningConfig())


def test_the_stop_token_ends_the_answer_and_is_not_text() -> None:
    ids = TOKENIZER.encode("blue box")
    answer = scripted([*ids, STOP]).begin(prompt(4), 3)
    tokens = run(answer)
    assert text_of(tokens) == "blue box"
    assert [t.id for t in tokens] == [*ids, STOP]
    assert answer.generation == 3
    assert (tokens[-1].done, tokens[-1].reason, tokens[-1].text_delta) == (True, "stop", "")
    assert not any(t.done or t.reason for t in tokens[:-1])
    assert answer.done


def test_an_answer_too_long_ends_by_length_with_its_text_whole() -> None:
    ids = TOKENIZER.encode("blue box")
    answer = scripted(ids, max_new_tokens=2).begin(prompt(4), 0)
    tokens = run(answer)
    assert (tokens[-1].reason, len(tokens)) == ("length", 2)
    assert text_of(tokens) == TOKENIZER.decode(ids[:2])


def test_a_character_of_several_tokens_comes_whole() -> None:
    ids = TOKENIZER.encode("a🙂b")
    answer = scripted([*ids, STOP]).begin(prompt(4), 0)
    assert [t.text_delta for t in run(answer) if t.text_delta] == ["a", "🙂", "b"]


def test_a_character_cut_off_by_the_end_shows_as_replacement() -> None:
    ids = TOKENIZER.encode("a🙂")[:3]
    answer = scripted([*ids, STOP]).begin(prompt(4), 0)
    assert text_of(run(answer)).startswith("a\ufffd")


@given(
    ids=st.lists(
        st.integers(0, VOCAB - 1)
        | st.sampled_from([TOKENIZER.id_of(p) for p in ("<0xF0>", "<0x9F>", "<0x41>", "\u2581")]),
        max_size=40,
    ),
    text=st.text(max_size=10),
)
@settings(max_examples=150, deadline=None)
def test_deltas_add_up_to_the_whole_text(ids: list[int], text: str) -> None:
    ids = [*ids, *TOKENIZER.encode(text)]
    detokenizer = Detokenizer(TOKENIZER)
    deltas = [detokenizer.push(token) for token in ids]
    rest = detokenizer.flush()
    assert "".join(deltas) + rest == TOKENIZER.decode(ids)
    assert not any(delta.endswith("\ufffd") for delta in deltas)


def test_a_prompt_is_cancelled_between_two_chunks_by_a_newer_answer() -> None:
    pack = FakePack()
    reasoner = Reasoner(pack, ReasoningConfig(prefill_chunk=10))
    old = reasoner.begin(prompt(35), 0)
    assert not old.prefill_step()
    new = reasoner.begin(prompt(5, 1), 1)
    with pytest.raises(EngineError, match="generation 0 was replaced"):
        old.prefill_step()
    assert pack.fake_decoder.blocks == [10]
    expected = run(Reasoner(FakePack(), ReasoningConfig()).begin(prompt(5, 1), 1))
    assert run(new) == expected


def test_a_decode_step_of_a_replaced_answer_never_touches_the_new_ones_arena() -> None:
    pack = FakePack()
    reasoner = Reasoner(pack, ReasoningConfig())
    old = reasoner.begin(prompt(8), 0)
    prefill(old)
    old.step()
    new = reasoner.begin(prompt(8, 1), 1)
    with pytest.raises(EngineError, match="replaced"):
        old.step()
    assert [t.id for t in run(new)] == [
        t.id for t in run(Reasoner(FakePack(), ReasoningConfig()).begin(prompt(8, 1), 1))
    ]


def test_beginning_while_a_step_runs_in_another_thread_waits_for_that_step() -> None:
    pack = FakePack()
    reasoner = Reasoner(pack, ReasoningConfig())
    old = reasoner.begin(prompt(6), 0)
    inside, asking = threading.Event(), threading.Event()
    order: list[str] = []

    def hold() -> None:
        inside.set()
        assert asking.wait(10)
        order.append("stepped")

    def begin() -> None:
        asking.set()
        begun.append(reasoner.begin(prompt(7, 1), 1))
        order.append("begun")

    begun: list[Answer] = []
    pack.fake_decoder.before_run = hold
    stepping, beginning = threading.Thread(target=old.prefill_step), threading.Thread(target=begin)
    stepping.start()
    assert inside.wait(10)
    beginning.start()
    for thread in (stepping, beginning):
        thread.join(10)
    pack.fake_decoder.before_run = lambda: None
    assert order == ["stepped", "begun"]
    assert [t.id for t in run(begun[0])] == [
        t.id for t in run(Reasoner(FakePack(), ReasoningConfig()).begin(prompt(7, 1), 1))
    ]


def test_steps_out_of_turn_are_refused() -> None:
    answer = scripted([STOP]).begin(prompt(4), 0)
    with pytest.raises(EngineError, match="not prefilled yet"):
        answer.step()
    run(answer)
    with pytest.raises(EngineError, match="already done"):
        answer.step()


@pytest.mark.parametrize("tokens", [0, 85])
def test_a_prompt_beyond_the_limit_is_refused_and_the_running_answer_goes_on(tokens: int) -> None:
    reasoner = Reasoner(FakePack(), ReasoningConfig(context_tokens=100))
    assert reasoner.prompt_limit == 84
    running = reasoner.begin(prompt(84), 0)
    with pytest.raises(EngineError, match="only 1 to 84"):
        reasoner.begin(prompt(tokens), 1)
    assert run(running)[-1].reason in ("stop", "length")


@pytest.mark.parametrize(
    ("config", "where"),
    [
        (ReasoningConfig(context_tokens=5000), "reasoning.context_tokens"),
        (ReasoningConfig(context_tokens=16), "reasoning.max_new_tokens"),
        (ReasoningConfig(max_new_tokens=4096), "reasoning.max_new_tokens"),
    ],
)
def test_limits_the_engine_cannot_hold_are_config_errors(
    config: ReasoningConfig, where: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Reasoner(FakePack(), config)
    assert caught.value.where == where


@given(
    steps=st.integers(0, 16),
    back=st.integers(0, 16),
    chunk=st.integers(1, 40),
    temperature=st.sampled_from([0.0, 1.5]),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_a_rolled_back_answer_says_again_what_it_said_and_holds_only_what_was_kept(
    steps: int, back: int, chunk: int, temperature: float, seed: int
) -> None:
    sampling = SamplingConfig(temperature=temperature, seed=seed)
    config = ReasoningConfig(prefill_chunk=chunk)
    whole = run(Reasoner(FakePack(), config, sampling).begin(prompt(30, seed), 1))
    answer = Reasoner(FakePack(), config, sampling).begin(prompt(30, seed), 1)
    prefill(answer)
    given = [answer.step() for _ in range(min(steps, len(whole)))]
    kept = min(back, len(given))
    answer.rollback(kept)
    rows: Any = answer._reasoner._arena
    spoken = answer._reasoner.embeddings.rows([t.id for t in whole[: max(0, kept - 1)]])
    np.testing.assert_array_equal(rows.rows[30:], spoken.reshape(-1, HIDDEN))
    again = [answer.step() for _ in range(len(whole) - kept)]
    assert [*given[:kept], *again] == whole
    assert answer.done


def test_an_answer_goes_on_after_a_rollback_in_mid_prefill() -> None:
    whole = run(Reasoner(FakePack(), ReasoningConfig()).begin(prompt(30), 1))
    answer = Reasoner(FakePack(), ReasoningConfig(prefill_chunk=7)).begin(prompt(30), 1)
    answer.prefill_step()
    answer.rollback(0)
    assert run(answer) == whole


def test_an_answer_cannot_go_forward_by_a_rollback_nor_back_when_it_was_replaced() -> None:
    reasoner = Reasoner(FakePack(), ReasoningConfig())
    answer = reasoner.begin(prompt(9), 1)
    prefill(answer)
    with pytest.raises(EngineError, match="cannot go back to 1"):
        answer.rollback(1)
    answer.step()
    reasoner.begin(prompt(9), 2)
    with pytest.raises(EngineError, match="replaced by a newer answer"):
        answer.rollback(0)
