"""The bars of the quality benchmark: what they are for, and when they are reached."""

from __future__ import annotations

import pytest

from omnilive_micropack.questions import KINDS
from scoring.bars import BY_NAME, MEASURES, Verdict, items_of, judge, judge_precision
from scoring.result import Item, Tallies, baseline_of, right


def shares(name: str, hits: int, count: int) -> dict[str, list[Item]]:
    return {name: [right(str(i), i < hits) for i in range(count)]}


def verdict(name: str, tallies: Tallies) -> Verdict:
    (found,) = judge(tallies, [BY_NAME[name]])
    return found


def test_the_bars_are_those_that_the_pack_has_to_show() -> None:
    bars = {m.name: (m.at_least, m.bar) for m in MEASURES if m.bar is not None}
    assert bars == {
        "wer_seen_voices": (False, 0.025),
        "wer_held_out_voices": (False, 0.05),
        "wer_noise_10db": (False, 0.09),
        "wer_stream_20db": (False, 0.06),
        "sound_class": (True, 0.95),
        "cut_f1": (True, 0.9),
        "fillers_unanswered": (True, 0.98),
        "questions_answered": (True, 0.98),
        "recall1_explicit": (True, 0.9),
        "recall1_implicit": (True, 0.85),
        "answers_explicit": (True, 0.9),
        "answers_implicit": (True, 0.85),
        "answers_looked_up": (True, 0.9),
        "text_not_seen": (True, 0.9),
        "aloud": (True, 0.8),
    }


def test_no_two_measures_share_a_name_and_every_kind_is_scored_both_ways() -> None:
    assert len(BY_NAME) == len(MEASURES)
    assert {f"{way}_{kind}" for way in ("text", "aloud") for kind in KINDS} <= set(BY_NAME)
    assert all(set(m.of) <= set(BY_NAME) for m in MEASURES)


@pytest.mark.parametrize(("hits", "passed"), [(949, False), (950, True), (1000, True)])
def test_a_share_reaches_its_bar_from_the_bar_on(hits: int, passed: bool) -> None:
    assert verdict("sound_class", shares("sound_class", hits, 1_000)).passed is passed


@pytest.mark.parametrize(("wrong", "passed"), [(250, True), (251, False)])
def test_word_errors_reach_their_bar_up_to_the_bar(wrong: int, passed: bool) -> None:
    found = verdict("wer_held_out_voices", {"wer_held_out_voices": [Item("all", wrong, 5_000)]})
    assert (found.passed, found.few) == (passed, False)


def test_a_bar_says_when_it_was_judged_over_too_little() -> None:
    assert verdict("sound_class", shares("sound_class", 999, 999)).few
    assert not verdict("sound_class", shares("sound_class", 999, 1_000)).few
    # words count, however many the utterances
    assert verdict("wer_seen_voices", {"wer_seen_voices": [Item("u", 0, 4_999)]}).few


def test_what_was_not_measured_is_missed() -> None:
    found = verdict("cut_f1", {})
    assert (found.value, found.passed) == (None, False)


def test_a_pooled_measure_counts_every_item_of_its_kinds_and_of_no_other() -> None:
    tallies = {
        **shares("text_colour", 1, 2),
        **shares("text_count", 2, 2),
        **shares("text_where", 0, 1),
        **shares("text_who", 0, 5),
        **shares(baseline_of("text_colour"), 1, 2),
    }
    measure = BY_NAME["answers_looked_up"]
    items = items_of(tallies, measure)
    assert (sum(i.num for i in items), len(items)) == (3, 5)
    # the same question may be item 0 of several kinds
    assert len({i.key for i in items}) == 5
    assert len(items_of(tallies, measure, baseline=True)) == 2


@pytest.mark.parametrize(
    ("name", "run", "reference", "passed"),
    [
        ("sound_class", 935, 950, True),
        ("sound_class", 934, 950, False),
        ("sound_class", 1_000, 900, True),
        ("text_wrongly_not_seen", 65, 50, True),
        ("text_wrongly_not_seen", 66, 50, False),
    ],
)
def test_a_quantized_pack_may_be_worse_by_a_point_and_a_half_and_better_by_any_amount(
    name: str, run: int, reference: int, passed: bool
) -> None:
    (found,) = judge_precision(
        shares(name, run, 1_000), shares(name, reference, 1_000), [BY_NAME[name]], "int4"
    )
    assert found.passed is passed


def test_precisions_are_compared_over_every_measure_that_both_scored() -> None:
    both = {**shares("sound_class", 1, 1), **shares("text_who", 1, 1)}
    found = judge_precision(both, shares("text_who", 1, 1), MEASURES, "int4")
    # by itself and in the pool of explicit kinds
    assert len(found) == 2
