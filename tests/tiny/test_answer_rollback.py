"""An answer taken back to its spoken words holds the KV that a prefill of those words gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive.engine.pack import EnginePack
from omnilive.reasoning.assembly import Prompt, PromptCounts
from omnilive.reasoning.config import ReasoningConfig
from omnilive.reasoning.reasoner import Answer, Reasoner
from omnilive_export.verify.inputs import embeddings
from omnilive_export.verify.measure import FP32_RELATIVE_ERROR, relative_error

pytestmark = pytest.mark.tiny

TOKENS = 24


def begin(pack: EnginePack, prompt: Prompt) -> Answer:
    config = ReasoningConfig(max_new_tokens=TOKENS, context_tokens=128, prefill_chunk=16)
    answer = Reasoner(pack, config).begin(prompt, 1)
    while not answer.prefill_step():
        pass
    return answer


def prompt_of(pack: EnginePack, tokens: int, seed: int) -> Prompt:
    rng = np.random.default_rng(seed)
    rows = pack.table("vlm_embed").rows(range(64))
    plora = np.flatnonzero(rng.random(tokens) < 0.3)
    return Prompt(embeddings(rng, tokens, rows), plora, PromptCounts(tokens, 0, 0, 0))


def next_logits(answer: Answer, row: np.ndarray) -> np.ndarray:
    """What the KV of an answer makes of one more token."""
    reasoner = answer._reasoner
    return reasoner.append(answer, row)[0]


@settings(max_examples=20, deadline=None)
@given(
    tokens=st.integers(1, 60),
    decoded=st.integers(1, TOKENS),
    spoken=st.integers(0, TOKENS),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_kv_after_a_rollback_is_that_of_a_prefill_with_the_spoken_tokens(
    fp32_pack: EnginePack, tokens: int, decoded: int, spoken: int, seed: int
) -> None:
    prompt = prompt_of(fp32_pack, tokens, seed)
    answer = begin(fp32_pack, prompt)
    ids: list[int] = []
    while len(ids) < decoded and not answer.done:
        ids.append(answer.step().id)
    kept = min(spoken, len(ids))
    answer.rollback(kept)

    fresh = begin(fp32_pack, prompt)
    table = fp32_pack.table("vlm_embed")
    if kept > 1:
        fresh._reasoner.append(fresh, table.rows(ids[: kept - 1]))
    probe = table.rows([7])
    assert relative_error(next_logits(answer, probe), next_logits(fresh, probe)) <= (
        FP32_RELATIVE_ERROR
    )


@settings(max_examples=15, deadline=None)
@given(
    tokens=st.integers(1, 60),
    stops=st.lists(st.tuples(st.integers(0, TOKENS), st.integers(0, TOKENS)), max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_answer_that_was_interrupted_reads_as_if_it_never_was(
    fp32_pack: EnginePack, tokens: int, stops: list[tuple[int, int]], seed: int
) -> None:
    prompt = prompt_of(fp32_pack, tokens, seed)
    whole = begin(fp32_pack, prompt)
    expected = []
    while not whole.done:
        expected.append(whole.step())

    answer = begin(fp32_pack, prompt)
    said: list[object] = []
    for decoded, spoken in stops:
        while len(said) < decoded and not answer.done:
            said.append(answer.step())
        said = said[: min(spoken, len(said))]
        answer.rollback(len(said))
    while not answer.done:
        said.append(answer.step())
    assert said == expected
