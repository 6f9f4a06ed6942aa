"""Values, intervals and paired differences of the quality benchmark."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.result import Item, right
from scoring.statistics import estimate, paired, wilson


def answers(hits: int, count: int, name: str = "q") -> list[Item]:
    return [right(f"{name}{i}", i < hits) for i in range(count)]


def test_wilsons_interval_is_the_one_of_the_textbook() -> None:
    # Newcombe 1998, table I: 81 of 263
    low, high = wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize(("hits", "low", "high"), [(0, 0.0, 0.2775), (10, 0.7225, 1.0)])
def test_wilsons_interval_stays_within_0_and_1_and_has_a_width_at_both_ends(
    hits: int, low: float, high: float
) -> None:
    assert wilson(hits, 10) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_share_lies_within_its_interval(pair: tuple[int, int]) -> None:
    found = estimate(answers(*pair))
    assert found is not None
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    assert found.value == pair[0] / pair[1]


def test_word_errors_are_weighed_by_the_words_not_by_the_utterances() -> None:
    found = estimate([Item("short", 1, 1), Item("long", 0, 9)])
    assert found is not None
    assert (found.value, found.items, found.weight) == (0.1, 2, 10)


def test_a_ratio_gets_an_interval_about_as_wide_as_its_items_vary() -> None:
    rng = np.random.default_rng(3)
    items = [Item(str(i), float(rng.binomial(5, 0.1)), 5.0) for i in range(1_000)]
    found = estimate(items)
    assert found is not None
    expected = 1.96 * math.sqrt(0.1 * 0.9 / 5_000)
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.15)
    assert found.low < found.value < found.high


def test_the_same_items_have_the_same_interval() -> None:
    items = [Item(str(i), i % 3, 4.0) for i in range(50)]
    assert estimate(items) == estimate(items)


@pytest.mark.parametrize("items", [[], [Item("nothing answered", 0.0, 0.0)]])
def test_nothing_to_divide_by_has_no_value(items: list[Item]) -> None:
    assert estimate(items) is None
    assert paired(items, items) is None


def test_a_difference_counts_only_the_items_that_both_scored() -> None:
    run = [right("a", True), right("b", False), right("mine", False)]
    other = [right("b", False), right("a", False), right("theirs", False)]
    found = paired(run, other)
    assert found is not None
    assert (found.value, found.items) == (0.5, 2)


def test_pairing_makes_the_interval_of_a_difference_narrower_than_the_scores_own() -> None:
    # Both are wrong on the same half; one more is wrong in the second run.
    run, other = answers(500, 1_000), answers(499, 1_000)
    found = paired(run, other)
    assert found is not None
    assert found.value == pytest.approx(0.001)
    assert found.high - found.low < 0.005


def test_runs_without_a_common_item_have_no_difference() -> None:
    assert paired(answers(1, 2, "a"), answers(1, 2, "b")) is None
