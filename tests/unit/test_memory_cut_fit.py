"""The cut threshold from labelled pairs, and the score of predicted cuts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive.errors import ConfigError
from omnilive.memory.cut_fit import calibrate_cut, cut_scores, matches

positions = st.lists(st.integers(0, 12), unique=True, max_size=6)


def largest_matching(predicted, truth, tolerance):
    """By trying every assignment."""
    if not predicted:
        return 0
    first, rest = predicted[0], predicted[1:]
    best = largest_matching(rest, truth, tolerance)
    for t in truth:
        if abs(first - t) <= tolerance:
            left = [x for x in truth if x != t]
            best = max(best, 1 + largest_matching(rest, left, tolerance))
    return best


@settings(max_examples=60, deadline=None)
@given(positions, positions, st.integers(0, 3))
def test_matching_is_the_largest_one_to_one_matching(predicted, truth, tolerance):
    assert matches(predicted, truth, tolerance) == largest_matching(predicted, truth, tolerance)


def test_a_cut_one_pair_away_counts_and_two_away_does_not():
    assert cut_scores([4], [5]).f1 == 1
    assert cut_scores([3], [5]).f1 == 0


def test_one_label_is_matched_by_one_prediction_only():
    scores = cut_scores([4, 5, 6], [5])
    assert (scores.matched, scores.precision, scores.recall) == (1, 1 / 3, 1)


def test_predicting_nothing_where_there_is_nothing_is_perfect():
    assert cut_scores([], []).f1 == 1
    assert cut_scores([], [3]).recall == 0
    assert cut_scores([3], []).precision == 0


def test_separable_cosines_give_the_middle_of_the_gap():
    got = calibrate_cut([[0.99, 0.5, 0.98, 0.97], [0.6, 0.99]], [[0, 1, 0, 0], [1, 0]])
    assert got.cut_cosine == pytest.approx((0.6 + 0.97) / 2)
    assert (got.f1, got.precision, got.recall, got.pairs, got.cuts) == (1, 1, 1, 6, 2)


def test_when_every_pair_is_a_cut_the_gap_ends_at_one():
    assert calibrate_cut([[0.5, 0.7]], [[1, 1]]).cut_cosine == pytest.approx(0.85)


def test_a_label_one_pair_off_does_not_move_the_threshold():
    cosines = [0.99, 0.99, 0.5, 0.99, 0.98]
    exact = calibrate_cut([cosines], [[0, 0, 1, 0, 0]])
    late = calibrate_cut([cosines], [[0, 0, 0, 1, 0]])
    assert late == exact


def test_of_equally_good_thresholds_the_widest_gap_wins_then_the_lowest():
    # One cut found of one pair, or both of four: F1 is 2/3 either way.
    wide = calibrate_cut([[0.0, 0.25, 0.3, 0.5]], [[1, 0, 0, 1]], 0)
    assert wide.cut_cosine == pytest.approx((0.5 + 1.0) / 2)
    level = calibrate_cut([[0.0, 0.25, 0.5, 0.75]], [[1, 0, 0, 1]], 0)
    assert level.cut_cosine == pytest.approx((0.0 + 0.25) / 2)


labelled = st.lists(
    st.lists(st.tuples(st.floats(-1, 1, width=16), st.booleans()), max_size=12),
    min_size=1,
    max_size=3,
).filter(lambda videos: any(cut for video in videos for _, cut in video))


@given(labelled)
def test_no_threshold_scores_better_than_the_calibrated_one(videos):
    cosines = [[c for c, _ in v] for v in videos]
    got = calibrate_cut(cosines, [[cut for _, cut in v] for v in videos])
    truth = [[i for i, (_, cut) in enumerate(v) if cut] for v in videos]

    def f1(threshold):
        predicted = [[i for i, c in enumerate(v) if c <= threshold] for v in cosines]
        matched = sum(matches(p, t) for p, t in zip(predicted, truth, strict=True))
        return 2 * matched / (sum(map(len, predicted)) + sum(map(len, truth)))

    assert f1(got.cut_cosine) == pytest.approx(got.f1)
    assert all(f1(c) <= got.f1 for c in itertools.chain(*cosines))


@given(labelled)
def test_the_order_of_videos_does_not_matter(videos):
    def run(order):
        return calibrate_cut([[c for c, _ in v] for v in order], [[x for _, x in v] for v in order])

    assert run(videos) == run(videos[::-1])


def test_labels_without_a_cut_are_refused():
    for cosines, labels in (([[0.5]], [[False]]), ([], []), ([[]], [[]])):
        with pytest.raises(ConfigError, match="no cut"):
            calibrate_cut(cosines, labels)


def test_a_cosine_that_is_not_a_number_is_refused():
    with pytest.raises(ConfigError, match="not numbers"):
        calibrate_cut([[float("nan"), 0.5]], [[True, False]])


def test_labels_that_are_not_parallel_are_a_bug_of_the_caller():
    with pytest.raises(ValueError, match="parallel"):
        calibrate_cut([[0.5, 0.6]], [[True]])
