"""Chooses the next token from logits. Pure: a draw is a function of its number, not of a state."""

from __future__ import annotations

from collections.abc import Sequence

from omnilive import _native
from omnilive.engine.interface import F32
from omnilive.errors import EngineError
from omnilive.reasoning.config import SamplingConfig


def sample(logits: F32, history: Sequence[int], config: SamplingConfig, generation: int) -> int:
    """The next token id.

    In this order: repetition penalty on the ids in ``history``, temperature, top-k, top-p, then
    one draw. With temperature 0 the likeliest token is taken. Equal logits rank by lower id, so
    that a result depends on nothing but the arguments; the draw is numbered by the seed, the
    generation and how many ids came before, so an answer taken back and continued goes on alike.

    Args:
        logits: [V].
        history: ids already generated.
        config: what to keep, and the seed.
        generation: which stream of the seed to draw from.

    Raises:
        EngineError: the logits hold NaN or infinity.
    """
    try:
        return _native.sample(
            logits,
            history if config.repetition_penalty != 1 else (),
            temperature=config.temperature,
            top_k=config.top_k,
            top_p=config.top_p,
            repetition_penalty=config.repetition_penalty,
            seed=config.seed,
            generation=generation,
            step=len(history),
        )
    except FloatingPointError as e:
        raise EngineError(
            "the reasoner gave logits that are not finite",
            where="reasoning",
            mend="Rebuild the pack with --verify, or at a higher precision.",
        ) from e
