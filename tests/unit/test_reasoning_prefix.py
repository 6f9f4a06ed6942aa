"""What two prompts begin with alike is prefilled once, and no answer can tell."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes_reasoner import HIDDEN, FakePack
from omnilive.reasoning.assembly import Prompt, PromptCounts
from omnilive.reasoning.config import ReasoningConfig
from omnilive.reasoning.fed_rows import FedRows
from omnilive.reasoning.reasoner import Answer, Reasoner

ROWS = np.random.default_rng(0).standard_normal((4, HIDDEN)).astype(np.float32)
"""Few different rows, so that prompts drawn of them often begin alike."""


def prompt_of(kinds: list[tuple[int, bool]]) -> Prompt:
    """A prompt of (row, has Partial-LoRA)."""
    embeds = ROWS[[row for row, _ in kinds]]
    plora = np.flatnonzero([lora for _, lora in kinds])
    return Prompt(embeds, plora, PromptCounts(len(kinds), 0, 0, 0))


prompts = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([False, False, True])),
    min_size=1,
    max_size=24,
)


def ids_of(answer: Answer, steps: int) -> list[int]:
    """Prefill it and decode at most ``steps`` tokens."""
    while not answer.prefill_step():
        pass
    ids: list[int] = []
    while len(ids) < steps and not answer.done:
        ids.append(answer.step().id)
    return ids


def alike(a: Prompt, b: Prompt) -> int:
    """Rows that both begin with."""
    lora_a, lora_b = set(a.plora_rows.tolist()), set(b.plora_rows.tolist())
    pairs = list(zip(a.embeds.tolist(), b.embeds.tolist(), strict=False))
    for index, (x, y) in enumerate(pairs):
        if x != y or (index in lora_a) != (index in lora_b):
            return index
    return len(pairs)


@settings(max_examples=100)
@given(
    st.lists(prompts, min_size=2, max_size=6),
    st.integers(1, 9),
    st.lists(st.integers(0, 30), min_size=6, max_size=6),
    st.lists(st.integers(0, 4), min_size=6, max_size=6),
)
def test_no_answer_depends_on_what_was_kept_of_those_before(
    asked: list[list[tuple[int, bool]]], chunk: int, chunks: list[int], steps: list[int]
) -> None:
    pack = FakePack()
    reasoner = Reasoner(pack, ReasoningConfig(prefill_chunk=chunk))
    for generation, kinds in enumerate(asked):
        broken_off = reasoner.begin(prompt_of(asked[0]), generation)
        for _ in range(chunks[generation]):
            broken_off.prefill_step()
        answer = reasoner.begin(prompt_of(kinds), generation)
        alone = Reasoner(FakePack(), ReasoningConfig(keep_prefix=False))
        expected = ids_of(alone.begin(prompt_of(kinds), generation), steps[generation])
        assert ids_of(answer, steps[generation]) == expected


@given(prompts, prompts)
def test_only_what_differs_is_prefilled(
    first: list[tuple[int, bool]], second: list[tuple[int, bool]]
) -> None:
    pack = FakePack()
    reasoner = Reasoner(pack, ReasoningConfig())
    one, two = prompt_of(first), prompt_of(second)
    ids_of(reasoner.begin(one, 0), 0)
    answer = reasoner.begin(two, 1)
    before = sum(pack.fake_decoder.blocks)
    ids_of(answer, 0)
    kept = min(alike(one, two), len(second) - 1)
    assert answer.kept_tokens == kept
    assert sum(pack.fake_decoder.blocks) - before == len(second) - kept


def test_an_answers_own_tokens_are_never_taken_for_a_prompt() -> None:
    """What was decoded lies where the next prompt goes on; only equal rows are kept."""
    pack = FakePack()
    reasoner = Reasoner(pack, ReasoningConfig())
    kinds = [(0, False), (1, True), (0, False)]
    ids_of(reasoner.begin(prompt_of(kinds), 0), 5)
    longer = [*kinds, (2, False), (3, False)]
    answer = reasoner.begin(prompt_of(longer), 1)
    assert answer.kept_tokens == 3


def test_without_keeping_every_prompt_is_prefilled_whole() -> None:
    pack = FakePack()
    reasoner = Reasoner(pack, ReasoningConfig(keep_prefix=False))
    kinds = [(0, False)] * 9
    for generation in range(3):
        answer = reasoner.begin(prompt_of(kinds), generation)
        assert answer.kept_tokens == 0
        ids_of(answer, 1)
    assert sum(block for block in pack.fake_decoder.blocks if block > 1) == 27


@given(st.lists(prompts, min_size=1, max_size=5), st.lists(st.integers(0, 60), max_size=4), prompts)
def test_the_record_is_the_rows_that_are_left(
    blocks: list[list[tuple[int, bool]]], cuts: list[int], other: list[tuple[int, bool]]
) -> None:
    fed, rows = FedRows(), list[tuple[int, bool]]()
    for index, block in enumerate(blocks):
        fed.append(prompt_of(block).embeds, prompt_of(block).plora_rows)
        rows += block
        for cut in cuts[index : index + 1]:
            fed.truncate(cut)
            rows = rows[:cut]
        assert fed.length == len(rows)
    wanted = prompt_of(other)
    expected = alike(prompt_of(rows), wanted) if rows else 0
    assert fed.shared(wanted.embeds, wanted.plora_rows) == expected


def test_a_prompt_with_other_lora_rows_shares_only_what_comes_before_them() -> None:
    fed = FedRows()
    prompt = prompt_of([(0, False), (1, True), (2, True)])
    fed.append(prompt.embeds, prompt.plora_rows)
    plain = dataclasses.replace(prompt, plora_rows=np.array([2]))
    assert fed.shared(plain.embeds, plain.plora_rows) == 1


def test_only_the_newest_prompt_stays_in_memory() -> None:
    """However much of the ones before it the arena still holds."""
    reasoner = Reasoner(FakePack(), ReasoningConfig(prefill_chunk=2))
    kinds = [(row % 3, row % 2 == 0) for row in range(12)]
    alive: list[weakref.ref[np.ndarray]] = []
    for generation in range(4):
        prompt = prompt_of([*kinds[: 12 - 2 * generation], (3, False)])
        alive.append(weakref.ref(prompt.embeds))
        answer = reasoner.begin(prompt, generation)
        assert answer.kept_tokens == (12 - 2 * generation if generation else 0)
        ids_of(answer, 2)
    longer = prompt_of([*kinds[:6], (2, False), (2, False)])
    alive.append(weakref.ref(longer.embeds))
    assert answer.renew(longer) == 6
    ids_of(answer, 3)
    del prompt, longer
    gc.collect()
    assert [ref() is not None for ref in alive] == [False] * 4 + [True]
