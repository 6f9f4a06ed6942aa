"""Which objects a world holds and how often: rare ones to ask about among common ones.

Kinds of a world are of three sorts: some never occur, some occur in a single colour, and the rest
in many. So a world of hours still holds things worth a question, which were seen once or twice,
beside others that share their kind or their colour.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import numpy as np

from omnilive_micropack.seeds import held_out
from omnilive_micropack.vocabulary import COLOURS, OBJECTS

NEVER_KINDS = 3
SINGLE_KINDS = 7
"""Kinds that occur in one colour only."""

MOST_SIGHTINGS = 2
"""Scenes in which a single-coloured kind's one colour is planned."""

RARE_SHARE = 0.6
"""Of the pairs of the other kinds: share that is planned for one scene only."""

Pair = tuple[str, str]


@dataclass
class Cast:
    """The objects still to be shown, as a deck that is drawn from.

    Attributes:
        rare: planned sightings, in order; each is dealt once.
        common: pairs dealt again and again.
        rare_share: chance that a draw is a rare one while there are any.
    """

    rare: list[Pair]
    common: list[Pair]
    rare_share: float

    def draw(self, rng: np.random.Generator, taken: Set[str]) -> Pair:
        """An object of a kind that is not ``taken``."""
        if rng.random() < self.rare_share:
            for i, pair in enumerate(self.rare):
                if pair[0] not in taken:
                    return self.rare.pop(i)
        pairs = [pair for pair in self.common if pair[0] not in taken]
        return pairs[int(rng.integers(len(pairs)))]

    def group(self, rng: np.random.Generator, size: int) -> list[Pair]:
        """``size`` objects of one common kind, in one colour or in several."""
        kind = self.common[int(rng.integers(len(self.common)))][0]
        pairs = [pair for pair in self.common if pair[0] == kind]
        if rng.random() < 0.5:
            pairs = [pairs[int(rng.integers(len(pairs)))]]
        return [pairs[int(rng.integers(len(pairs)))] for _ in range(size)]


def deal(rng: np.random.Generator, sightings: int, *, holdout: bool) -> Cast:
    """The cast of a world with about ``sightings`` objects over all its scenes.

    Args:
        holdout: whether kinds may occur in the colours held out from training.
    """
    kinds = [str(kind) for kind in rng.permutation(OBJECTS)]
    single = kinds[NEVER_KINDS : NEVER_KINDS + SINGLE_KINDS]
    many = kinds[NEVER_KINDS + SINGLE_KINDS :]
    rare: list[Pair] = []
    for kind in single:
        colours = _colours(kind, holdout)
        pair = (kind, colours[int(rng.integers(len(colours)))])
        rare += [pair] * int(rng.integers(1, MOST_SIGHTINGS + 1))
    common: list[Pair] = []
    for kind in many:
        colours = [str(c) for c in rng.permutation(_colours(kind, holdout))]
        once = round(RARE_SHARE * len(colours))
        rare += [(kind, colour) for colour in colours[:once]]
        common += [(kind, colour) for colour in colours[once:]]
    order = rng.permutation(len(rare))
    return Cast([rare[i] for i in order], common, min(1.0, len(rare) / max(1, sightings)))


def _colours(kind: str, holdout: bool) -> list[str]:
    return [colour for colour in COLOURS if holdout or not held_out(kind, colour)]
