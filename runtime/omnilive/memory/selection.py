"""The four rules that choose clips from their cosines with a question (spec §2.6).

Pure arithmetic: it knows scores, never clips, arrays in and positions out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnilive.memory.config import RetrievalConfig


@dataclass(frozen=True)
class Selection:
    """What a rule chose.

    Attributes:
        rule: the rule's name.
        clips: positions in the scores, in time order: those that passed, or the one that stands in
            for them under ``best_clip``.
        probabilities: softmax per score, parallel to the scores; 0 beyond the candidates.
        fallback: the configured fallback when nothing passed, else empty.
        fallback_frames: last frames of the newest clip to show instead; 0 unless the fallback is
            ``last_frames``.
    """

    rule: str
    clips: tuple[int, ...]
    probabilities: tuple[float, ...]
    fallback: str
    fallback_frames: int


def ranking(scores: Sequence[float]) -> list[int]:
    """Positions from the highest score to the lowest; of equal scores the earlier first."""
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))


def probabilities(
    scores: Sequence[float], *, temperature: float, candidates: int
) -> tuple[float, ...]:
    """softmax(score / temperature) over the ``candidates`` best scores, 0 for the others."""
    chosen = sorted(ranking(scores)[:candidates])
    result = np.zeros(len(scores), np.float64)
    if chosen:
        logits: npt.NDArray[np.float64] = np.asarray(scores, np.float64)[chosen] / temperature
        weights = np.exp(logits - logits.max())
        result[chosen] = weights / weights.sum()
    return tuple(result.tolist())


def softmax_threshold(probability: Sequence[float], min_probability: float) -> tuple[int, ...]:
    """Every position whose probability is above the threshold, in time order."""
    return tuple(i for i, p in enumerate(probability) if p > min_probability)


def top_k(scores: Sequence[float], k: int) -> tuple[int, ...]:
    """The min(k, K) best positions, in time order.

    The reference ranks by softmax; softmax keeps the order of scores, so scores do.
    """
    return tuple(sorted(ranking(scores)[:k]))


def best_above(scores: Sequence[float], min_cosine: float) -> tuple[int, ...]:
    """The best position if its cosine is above the threshold, else none."""
    best = ranking(scores)[:1]
    return tuple(i for i in best if scores[i] > min_cosine)


def earliest_above(scores: Sequence[float], min_cosine: float) -> tuple[int, ...]:
    """The earliest position whose cosine is above the threshold, as the released demos do."""
    return next(((i,) for i, s in enumerate(scores) if s > min_cosine), ())


def select(scores: Sequence[float], config: RetrievalConfig) -> Selection:
    """Apply the configured rule to one cosine per clip, oldest clip first."""
    probability = probabilities(
        scores, temperature=config.temperature, candidates=config.candidates
    )
    if config.rule == "softmax_threshold":
        clips = softmax_threshold(probability, config.min_probability)
    elif config.rule == "top_k":
        clips = top_k(scores, config.top_k)
    elif config.rule == "best_above":
        clips = best_above(scores, config.min_cosine)
    else:
        clips = earliest_above(scores, config.min_cosine)
    fallback = "" if clips else config.fallback
    if fallback == "best_clip":
        clips = top_k(scores, 1)
    return Selection(
        rule=config.rule,
        clips=clips,
        probabilities=probability,
        fallback=fallback,
        fallback_frames=config.fallback_frames if fallback == "last_frames" else 0,
    )
