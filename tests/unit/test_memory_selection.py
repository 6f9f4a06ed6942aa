"""The four selection rules of spec §2.6."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.errors import ConfigError
from omnilive.memory.config import FALLBACKS, RULES, RetrievalConfig
from omnilive.memory.selection import probabilities, ranking, select

cosines = st.lists(st.floats(-1, 1, width=32), max_size=40)


@given(cosines, st.sampled_from(RULES), st.sampled_from(FALLBACKS))
def test_every_rule_selects_distinct_positions_in_time_order_or_falls_back(scores, rule, fallback):
    result = select(scores, RetrievalConfig(rule=rule, fallback=fallback))
    assert list(result.clips) == sorted(set(result.clips))
    assert all(0 <= i < len(scores) for i in result.clips)
    passed = select(scores, RetrievalConfig(rule=rule, fallback="none")).clips
    stands_in = tuple(ranking(scores)[:1]) if fallback == "best_clip" else ()
    assert result.clips == (passed or stands_in)
    assert result.fallback == ("" if passed else fallback)
    assert len(result.probabilities) == len(scores)
    assert result.fallback_frames == (3 if result.fallback == "last_frames" else 0)


@given(cosines.filter(bool), st.integers(1, 50))
def test_probabilities_are_the_softmax_over_the_best_candidates(scores, candidates):
    got = probabilities(scores, temperature=0.1, candidates=candidates)
    assert math.isclose(sum(got), 1, rel_tol=1e-9)
    best = ranking(scores)[:candidates]
    total = sum(math.exp(scores[i] / 0.1) for i in best)
    for i, p in enumerate(got):
        assert math.isclose(p, math.exp(scores[i] / 0.1) / total if i in best else 0, rel_tol=1e-6)


@given(cosines)
def test_softmax_threshold_selects_exactly_what_is_above_the_probability(scores):
    result = select(scores, RetrievalConfig(fallback="none"))
    assert result.clips == tuple(i for i, p in enumerate(result.probabilities) if p > 0.2)
    assert len(result.clips) <= 4


@given(cosines, st.integers(1, 8))
def test_top_k_selects_the_k_best(scores, k):
    clips = select(scores, RetrievalConfig(rule="top_k", top_k=k)).clips
    assert len(clips) == min(k, len(scores))
    left = [s for i, s in enumerate(scores) if i not in clips]
    assert not left or not clips or min(scores[i] for i in clips) >= max(left)


@given(cosines)
def test_best_above_selects_the_highest_cosine_and_only_above_the_threshold(scores):
    clips = select(scores, RetrievalConfig(rule="best_above", fallback="none")).clips
    if scores and max(scores) > 0.3:
        assert clips == (scores.index(max(scores)),)
    else:
        assert clips == ()


@given(cosines)
def test_earliest_above_selects_the_first_above_the_threshold_even_if_not_the_best(scores):
    clips = select(scores, RetrievalConfig(rule="earliest_above", fallback="none")).clips
    assert clips == tuple(i for i, s in enumerate(scores) if s > 0.3)[:1]


def test_the_rules_differ_as_the_reference_has_it():
    scores = [0.35, 0.1, 0.5, 0.9, 0.88]
    chosen = {rule: select(scores, RetrievalConfig(rule=rule)).clips for rule in RULES}
    assert chosen == {
        "softmax_threshold": (3, 4),
        "top_k": (0, 2, 3, 4),
        "best_above": (3,),
        "earliest_above": (0,),
    }


def test_a_probability_or_cosine_exactly_at_the_threshold_does_not_pass():
    assert select([0.5] * 5, RetrievalConfig(fallback="none")).clips == ()
    for rule in ("best_above", "earliest_above"):
        assert select([0.3], RetrievalConfig(rule=rule, fallback="none")).clips == ()


def test_with_no_clips_nothing_is_selected():
    for rule in RULES:
        assert select([], RetrievalConfig(rule=rule)).clips == ()


def test_hours_of_unrelated_clips_do_not_hide_the_clip_that_answers():
    scores = [0.3] * 5000
    scores[1234] = 0.75
    assert select(scores, RetrievalConfig()).clips == (1234,)
    assert select(scores, RetrievalConfig(candidates=5000, fallback="none")).clips == ()


def test_equal_scores_go_to_the_earlier_clip():
    assert select([0.5, 0.5, 0.5], RetrievalConfig(rule="best_above")).clips == (0,)
    assert select([0.5] * 6, RetrievalConfig(rule="top_k", top_k=2)).clips == (0, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": "guess"},
        {"temperature": 0.0},
        {"min_probability": 2.0},
        {"top_k": 0},
        {"min_cosine": -2.0},
        {"candidates": 0},
        {"fallback": "all"},
        {"fallback_frames": 0},
        {"max_question_tokens": 0},
    ],
)
def test_a_retrieval_setting_out_of_range_is_named(changes):
    with pytest.raises(ConfigError, match=rf"retrieval\.{next(iter(changes))}"):
        RetrievalConfig(**changes).validate()
