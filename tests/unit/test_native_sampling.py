"""The native sampler against its definition in NumPy, by every instruction set of this machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sampling_reference
from omnilive._native import instruction_sets, sample

RULE: dict[str, Any] = {
    "temperature": 0.8,
    "top_k": 50,
    "top_p": 0.8,
    "repetition_penalty": 1.0,
    "seed": 0,
    "generation": 0,
    "step": 0,
}
U64 = st.integers(0, 2**64 - 1)
RULES = st.fixed_dictionaries(
    {
        "temperature": st.just(0.0) | st.floats(0.05, 10),
        "top_k": st.integers(0, 400),
        "top_p": st.floats(1e-6, 1),
        "repetition_penalty": st.just(1.0) | st.floats(0.1, 10),
        "seed": U64,
        "generation": U64,
        "step": U64,
    }
)


def normal(seed: int, vocabulary: int, coarse: bool) -> npt.NDArray[np.float32]:
    """Logits; ``coarse`` ones have many ties, and zeros of both signs."""
    logits = np.random.default_rng(seed).standard_normal(vocabulary) * 4
    return (np.round(logits) if coarse else logits).astype(np.float32)


@given(
    vocabulary=st.integers(1, 700),
    coarse=st.booleans(),
    rule=RULES,
    data_seed=st.integers(0, 2**32 - 1),
    said=st.integers(0, 40),
)
def test_a_token_is_the_one_of_the_definition_by_every_instruction_set(
    vocabulary: int, coarse: bool, rule: dict[str, Any], data_seed: int, said: int
) -> None:
    logits = normal(data_seed, vocabulary, coarse)
    history = np.random.default_rng(data_seed + 1).integers(0, vocabulary, said).tolist()
    expected = sampling_reference.sample(logits, history, **rule)
    for isa in instruction_sets():
        assert sample(logits, history, isa=isa, **rule) == expected


@pytest.mark.parametrize("top_k", [0, 1, 50, 1447, 92_544])
def test_tokens_of_a_whole_vocabulary_are_those_of_the_definition(top_k: int) -> None:
    logits = normal(1, 92_544, coarse=False)
    history = np.random.default_rng(2).integers(0, len(logits), 300).tolist()
    for step in range(10):
        rule = {**RULE, "top_k": top_k, "repetition_penalty": 1.3, "seed": 9, "step": step}
        expected = sampling_reference.sample(logits, history, **rule)
        assert {sample(logits, history, isa=isa, **rule) for isa in instruction_sets()} == {
            expected
        }


def test_the_reference_generator_gives_the_words_its_authors_published() -> None:
    pi = ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0))
    assert sampling_reference.philox4x32(*pi) == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


def test_draws_of_all_seeds_generations_and_steps_are_even() -> None:
    logits = np.zeros(4, np.float32)
    rule = {**RULE, "top_k": 0, "top_p": 1.0}
    for name in ("seed", "generation", "step"):
        tokens = [sample(logits, [], **{**rule, name: i}) for i in range(4000)]
        share = np.bincount(tokens, minlength=4) / len(tokens)
        np.testing.assert_allclose(share, 0.25, atol=0.03)


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 63, 64, 129])
def test_a_logit_that_is_not_finite_is_refused_wherever_it_is(
    isa: str, odd: float, at: int
) -> None:
    logits = np.zeros(130, np.float32)
    logits[at] = odd
    with pytest.raises(FloatingPointError, match="not all finite"):
        sample(logits, [], isa=isa, **RULE)


@pytest.mark.parametrize(
    ("logits", "history", "change"),
    [
        ([], [], {}),
        ([1.0], [1], {"repetition_penalty": 1.1}),
        ([1.0], [-1], {"repetition_penalty": 1.1}),
        ([1.0], [], {"temperature": -0.1}),
        ([1.0], [], {"temperature": np.nan}),
        ([1.0], [], {"top_k": -1}),
        ([1.0], [], {"top_p": 0.0}),
        ([1.0], [], {"top_p": 1.5}),
        ([1.0], [], {"repetition_penalty": 0.0}),
        ([1.0], [], {"isa": "mmx"}),
    ],
)
def test_what_has_no_answer_is_refused(
    logits: list[float], history: list[int], change: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"must|history|logits|instruction set"):
        sample(np.array(logits, np.float32), history, **{**RULE, **change})
