"""The definition of token sampling in NumPy, and of the generator it draws from in plain Python."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WORD = 0xFFFFFFFF


def philox4x32(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Ten rounds of Philox4x32 (Salmon et al., SC 2011): four words of 32 bits."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & WORD, (a >> 32) ^ c3 ^ k1, a & WORD
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return c0, c1, c2, c3


def uniform(seed: int, generation: int, step: int) -> float:
    """The draw of that number, in [0, 1)."""
    counter = (step & WORD, step >> 32, generation & WORD, generation >> 32)
    low, high, _, _ = philox4x32(counter, (seed & WORD, seed >> 32))
    return float((high << 32 | low) >> 11) * 2.0**-53


def sample(
    logits: npt.NDArray[np.float32],
    history: list[int],
    *,
    temperature: float,
    top_k: int,
    top_p: float,
    repetition_penalty: float,
    seed: int,
    generation: int,
    step: int,
) -> int:
    """The next token; see ``omnilive._native.sample``."""
    scores = logits.copy()
    if repetition_penalty != 1 and history:
        seen = np.unique(np.asarray(history))
        penalty = np.float32(repetition_penalty)
        scores[seen] = np.where(scores[seen] > 0, scores[seen] / penalty, scores[seen] * penalty)
    if temperature == 0:
        return int(np.argmax(scores))
    ids = np.argsort(-scores, kind="stable")[: top_k or None]
    scaled = scores[ids].astype(np.float64) / temperature
    cumulative = np.cumsum(np.exp(scaled - scaled[0]))
    # The token that crosses the threshold is kept, so that at least one is.
    last = int(np.searchsorted(cumulative, top_p * cumulative[-1]))
    drawn = uniform(seed, generation, step) * cumulative[last]
    return int(ids[min(int(np.searchsorted(cumulative, drawn, side="right")), last)])
