"""Asks questions about a world that have one right answer, with that answer and its evidence.

It asks nothing ambiguous: rather than guess what is meant it gives None. What a viewer could not
see is never needed for an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from omnilive_micropack.asking_events import ask_changed, ask_when, ask_who_did
from omnilive_micropack.asking_now import ask_count, ask_now, ask_this, ask_who_there
from omnilive_micropack.asking_past import (
    ask_colour,
    ask_exists,
    ask_implicit,
    ask_not_seen,
    ask_where,
)
from omnilive_micropack.question import Question
from omnilive_micropack.sightings import History
from omnilive_micropack.world import World

Rng = np.random.Generator

WHO_DID_SHARE = 0.6
"""Share of the questions about people that ask who did something."""


def _ask_who(history: History, rng: Rng) -> Question | None:
    first, second = ask_who_did, ask_who_there
    if rng.random() > WHO_DID_SHARE:
        first, second = second, first
    return first(history, rng) or second(history, rng)


_ASKERS: Mapping[str, Callable[[History, Rng], Question | None]] = {
    "now": ask_now,
    "colour": ask_colour,
    "count": ask_count,
    "where": ask_where,
    "when_order": ask_when,
    "changed": ask_changed,
    "who": _ask_who,
    "this": ask_this,
    "implicit": ask_implicit,
    "exists": ask_exists,
    "not_seen": ask_not_seen,
}
KINDS = tuple(_ASKERS)


def ask(world: World, at_s: float, rng: Rng, kind: str) -> Question | None:
    """A question of a kind that somebody begins to ask at ``at_s``, or None when none is right.

    What it is about was in the picture for ``sightings.LOOK_S`` by then, and if it is about the
    present, stays so for ``sightings.LISTEN_S``. Worlds without held-out pairs are asked no
    held-out sentence.

    Raises:
        KeyError: no such kind.
    """
    return _ASKERS[kind](History(world, at_s), rng)
