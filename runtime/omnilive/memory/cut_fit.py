"""Finds the cut cosine from labelled frame pairs, and scores predicted cuts; pure arithmetic.

It never runs a model or touches a file: see ``calibration`` for both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from omnilive.errors import ConfigError

MATCH_TOLERANCE = 1
"""Pairs a predicted cut may lie from the labelled one: at one frame per second a label that is
off by a fraction of a second falls into the neighbouring pair."""


@dataclass(frozen=True)
class CutScores:
    """How predicted cuts compare with labelled ones. ``matched``: one-to-one matches."""

    precision: float
    recall: float
    f1: float
    matched: int


@dataclass(frozen=True)
class CutCalibration:
    """The chosen threshold and how well it separates the labelled data.

    Attributes:
        cut_cosine: frames with a cosine at or below it belong to different clips.
        f1, precision, recall: of the threshold on the data it was chosen on.
        pairs: frame pairs seen.
        cuts: labelled cuts among them.
    """

    cut_cosine: float
    f1: float
    precision: float
    recall: float
    pairs: int
    cuts: int


def matches(
    predicted: Sequence[int], truth: Sequence[int], tolerance: int = MATCH_TOLERANCE
) -> int:
    """Size of the largest one-to-one matching of positions at most ``tolerance`` apart."""
    p, t = sorted(predicted), sorted(truth)
    i = j = matched = 0
    while i < len(p) and j < len(t):
        if abs(p[i] - t[j]) <= tolerance:
            matched, i, j = matched + 1, i + 1, j + 1
        elif p[i] < t[j]:
            i += 1
        else:
            j += 1
    return matched


def cut_scores(
    predicted: Sequence[int], truth: Sequence[int], tolerance: int = MATCH_TOLERANCE
) -> CutScores:
    """Precision, recall and F1 of predicted cut positions, each match within ``tolerance``.

    Predicting nothing has precision 1, and nothing to find has recall 1.
    """
    return _scores(matches(predicted, truth, tolerance), len(predicted), len(truth))


def _scores(matched: int, predicted: int, truth: int) -> CutScores:
    both = predicted + truth
    return CutScores(
        precision=matched / predicted if predicted else 1.0,
        recall=matched / truth if truth else 1.0,
        f1=2 * matched / both if both else 1.0,
        matched=matched,
    )


def calibrate_cut(
    cosines: Sequence[Sequence[float]],
    is_cut: Sequence[Sequence[bool]],
    tolerance: int = MATCH_TOLERANCE,
) -> CutCalibration:
    """The threshold with the best F1 over all videos.

    Args:
        cosines: per video, the cosine of each frame with the one before it.
        is_cut: parallel: whether a labelled cut lies between the two.
        tolerance: see ``cut_scores``.

    Returns:
        The middle of the gap between the last cosine below the best threshold and the first
        above it (1.0 when there is none above). Of thresholds with equal F1 the one in the
        widest gap wins, then the lowest, so the result depends on the data alone.

    Raises:
        ConfigError: no pairs, no labelled cut, or a cosine that is not a number.
        ValueError: the two arguments are not parallel.
    """
    if [len(c) for c in cosines] != [len(c) for c in is_cut]:
        raise ValueError("cosines and labels are not parallel")
    truth = [[i for i, cut in enumerate(video) if cut] for video in is_cut]
    cuts = sum(len(t) for t in truth)
    values = sorted(c for video in cosines for c in video)
    if cuts == 0:
        raise ConfigError(
            f"has no cut among {len(values)} frame pairs",
            where="calibration truth",
            mend="Label at least one cut that lies between two sampled frames.",
        )
    if not all(map(math.isfinite, values)):
        raise ConfigError(
            "has cosines that are not numbers",
            where="calibration frames",
            mend="Rebuild the pack with --verify, or with a higher precision.",
        )
    best: tuple[float, float, float] | None = None
    chosen = CutScores(0.0, 0.0, 0.0, 0)
    for last, value in enumerate(values):
        following = values[last + 1] if last + 1 < len(values) else max(value, 1.0)
        if following == value and last + 1 < len(values):
            continue
        count = last + 1
        # No larger prediction can match more than every cut: stop once that cannot win.
        if best is not None and _scores(cuts, max(count, cuts), cuts).f1 < best[0]:
            break
        matched = sum(
            matches([i for i, c in enumerate(video) if c <= value], t, tolerance)
            for video, t in zip(cosines, truth, strict=True)
        )
        scores = _scores(matched, count, cuts)
        key = (scores.f1, following - value, -(value + following) / 2)
        if best is None or key > best:
            best, chosen = key, scores
    if best is None:
        raise ConfigError(
            "has no frame pair", where="calibration frames", mend="Give a video of two frames."
        )
    return CutCalibration(
        cut_cosine=-best[2],
        f1=chosen.f1,
        precision=chosen.precision,
        recall=chosen.recall,
        pairs=len(values),
        cuts=cuts,
    )
