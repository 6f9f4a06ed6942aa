"""Chooses the next token from logits. Pure: the only randomness is the generator passed in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omnilive.engine.interface import F32, I64
from omnilive.errors import EngineError
from omnilive.reasoning.config import SamplingConfig


def sample(
    logits: F32, history: Sequence[int], config: SamplingConfig, rng: np.random.Generator
) -> int:
    """The next token id.

    In this order: repetition penalty on the ids in ``history``, temperature, top-k, top-p, then
    one draw. With temperature 0 the likeliest token is taken and ``rng`` is left alone. Equal
    logits rank by lower id, so that a result depends on nothing but the arguments.

    Args:
        logits: [V].
        history: ids already generated.
        config: what to keep.
        rng: advanced by exactly one draw when temperature is above 0.

    Raises:
        EngineError: the logits hold NaN or infinity.
    """
    if not np.isfinite(logits).all():
        raise EngineError(
            "the reasoner gave logits that are not finite",
            where="reasoning",
            mend="Rebuild the pack with --verify, or at a higher precision.",
        )
    scores = _penalized(logits, history, config.repetition_penalty)
    if config.temperature == 0:
        return int(np.argmax(scores))
    ids = _top_k(scores, config.top_k)
    scaled = scores[ids].astype(np.float64) / config.temperature
    weights = np.exp(scaled - scaled[0])
    weights /= weights.sum()
    cumulative = np.cumsum(weights)
    # The token that crosses the threshold is kept, so that at least one is.
    kept = min(int(np.searchsorted(cumulative, config.top_p)) + 1, len(ids))
    drawn = rng.random() * cumulative[kept - 1]
    return int(ids[min(int(np.searchsorted(cumulative, drawn, side="right")), kept - 1)])


def _penalized(logits: F32, history: Sequence[int], penalty: float) -> F32:
    """Copy of ``logits`` with tokens of ``history`` made less likely, each once."""
    scores = logits.astype(np.float32)
    if penalty != 1 and history:
        seen = np.unique(np.asarray(history, np.int64))
        scores[seen] = np.where(scores[seen] > 0, scores[seen] / penalty, scores[seen] * penalty)
    return scores


def _top_k(scores: F32, top_k: int) -> I64:
    """Ids of the ``top_k`` largest scores (all for 0), largest first, ties by lower id."""
    count = len(scores) if top_k == 0 else min(top_k, len(scores))
    if count < len(scores):
        # Everything not below the k-th largest, ties included; the stable sort settles those.
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        candidates = np.flatnonzero(scores >= least)
    else:
        candidates = np.arange(len(scores))
    order: I64 = candidates[np.argsort(-scores[candidates], kind="stable")][:count]
    return order
