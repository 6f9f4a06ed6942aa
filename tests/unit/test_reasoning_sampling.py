"""Sampling: pure, reproducible, and never outside what was asked to be kept."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.errors import EngineError
from omnilive.reasoning.config import SamplingConfig
from omnilive.reasoning.sampling import sample

LOGITS = st.lists(
    st.floats(-20, 20, width=32) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=40
).map(lambda values: np.array(values, np.float32))
HOT = SamplingConfig(temperature=1.0, top_k=0, top_p=1.0)


def draws(logits: np.ndarray, config: SamplingConfig, count: int = 1000) -> np.ndarray:
    return np.array([sample(logits, [], config, generation) for generation in range(count)])


@given(logits=LOGITS)
def test_temperature_zero_takes_the_likeliest_and_the_lowest_id_of_equals(
    logits: np.ndarray,
) -> None:
    assert sample(logits, [], SamplingConfig(temperature=0), 0) == int(np.argmax(logits))


@given(
    logits=LOGITS,
    seed=st.integers(0, 1000),
    top_k=st.integers(0, 50),
    top_p=st.floats(0.01, 1),
    temperature=st.floats(0.05, 5),
)
def test_a_draw_is_a_function_of_its_arguments_and_lies_in_top_k_and_top_p(
    logits: np.ndarray, seed: int, top_k: int, top_p: float, temperature: float
) -> None:
    config = SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    token = sample(logits, [], config, 3)
    assert token == sample(logits, [], config, 3)
    better = int((logits > logits[token]).sum())
    assert better < (top_k or len(logits))
    order = np.sort(logits.astype(np.float64))[::-1][: top_k or None]
    weights = np.exp((order - order[0]) / temperature)
    # The mass of the tokens strictly better must not have reached top_p already.
    assert weights[:better].sum() / weights.sum() < top_p + 1e-9


def test_draws_follow_the_softmax_of_the_scaled_logits() -> None:
    logits = np.array([2.0, 1.0, 0.0, -1.0], np.float32)
    config = dataclasses.replace(HOT, temperature=0.5)
    share = np.bincount(draws(logits, config, 8000), minlength=4) / 8000
    expected = np.exp(logits / 0.5) / np.exp(logits / 0.5).sum()
    np.testing.assert_allclose(share, expected, atol=0.015)


def test_top_k_keeps_exactly_the_k_best_and_breaks_ties_by_lower_id() -> None:
    logits = np.array([0.0, 1.0, 1.0, 1.0, 0.5], np.float32)
    assert set(draws(logits, dataclasses.replace(HOT, top_k=2))) == {1, 2}
    assert set(draws(logits, dataclasses.replace(HOT, top_k=4))) == {1, 2, 3, 4}


def test_top_p_keeps_the_token_that_crosses_it() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    assert set(draws(logits, dataclasses.replace(HOT, top_p=0.4))) == {0}
    assert set(draws(logits, dataclasses.replace(HOT, top_p=0.6))) == {0, 1}
    assert set(draws(logits, dataclasses.replace(HOT, top_p=0.9))) == {0, 1, 2}
    assert set(draws(logits, HOT)) == {0, 1, 2, 3}


@pytest.mark.parametrize(("best", "second"), [(2.0, 1.5), (-1.0, -1.2)])
def test_the_penalty_makes_tokens_already_said_less_likely_whatever_their_sign(
    best: float, second: float
) -> None:
    logits = np.array([best, second, -30], np.float32)
    greedy = SamplingConfig(temperature=0, repetition_penalty=1.5)
    assert sample(logits, [], greedy, 0) == 0
    assert sample(logits, [0], greedy, 0) == 1
    # Said twice is penalized once.
    assert sample(np.array([2.0, 1.0], np.float32), [0, 0], greedy, 0) == 0


def test_every_position_draws_anew_and_an_answer_taken_back_goes_on_alike() -> None:
    logits = np.zeros(1000, np.float32)
    said: list[int] = []
    for _ in range(20):
        said.append(sample(logits, said, HOT, 7))
    assert len(set(said)) > 15
    assert sample(logits, said[:12], HOT, 7) == said[12]
    assert sample(logits, said[:12], HOT, 8) != said[12]


def test_the_logits_are_left_as_they_were() -> None:
    logits = np.array([1.0, 2.0], np.float32)
    sample(logits, [1], SamplingConfig(temperature=1, repetition_penalty=2), 0)
    np.testing.assert_array_equal(logits, [1, 2])


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_an_engine_error(odd: float) -> None:
    with pytest.raises(EngineError, match="not finite"):
        sample(np.array([0, odd], np.float32), [], HOT, 0)
