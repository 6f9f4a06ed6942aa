"""What a question can be about without being ambiguous: a kind, or a kind in a colour.

It puts nothing into words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from omnilive_micropack.seeds import held_out
from omnilive_micropack.sightings import History, Span
from omnilive_micropack.vocabulary import COLOURS, OBJECTS
from omnilive_micropack.wording import thing_forms
from omnilive_micropack.world import Thing

MOST_SCENES = 3
"""What was seen in more scenes than this is not asked about: hardly anything could miss it."""

NEAR_SHARE = 0.6
"""Share of unseen pairs whose kind was seen in another colour."""


@dataclass(frozen=True)
class Subject:
    """All objects of a kind, or of a kind in one colour, that were seen so far.

    Attributes:
        colour: None when it is named by its kind alone.
        things: in order of their appearance; empty for what was never seen.
    """

    kind: str
    colour: str | None
    things: tuple[Thing, ...]

    @property
    def words(self) -> Mapping[str, str]:
        """The words of a template's slots."""
        named = {"object": self.kind}
        return named if self.colour is None else {**named, "colour": self.colour}

    @property
    def referents(self) -> tuple[int, ...]:
        """Ids of its things."""
        return tuple(thing.id for thing in self.things)

    def suits(self, template: str) -> bool:
        """Whether a template names a colour just when this subject has one."""
        return ("{colour}" in template) == (self.colour is not None)

    def spans(self, history: History) -> tuple[Span, ...]:
        """When it could be seen."""
        spans = [span for thing in self.things for span in history.spans(thing)]
        return tuple(dict.fromkeys(spans))


def seen_subjects(history: History, rng: np.random.Generator) -> Iterator[Subject]:
    """What was seen, in few scenes and long enough, in random order: kinds and pairs."""
    objects = [thing for thing in history.seen if not thing.is_figure]
    named: list[tuple[str, str | None]] = [*dict.fromkeys((t.kind, None) for t in objects)]
    named += dict.fromkeys(thing.pair for thing in objects)
    for i in rng.permutation(len(named)):
        kind, colour = named[i]
        things = history.about(lambda t, k=kind, c=colour: t.kind == k and c in (None, t.colour))  # type: ignore[misc]
        scenes = {history.world.scene_at(thing.start_s).start_s for thing in things}
        if things and len(scenes) <= MOST_SCENES:
            yield Subject(kind, colour, things)


def unseen_subject(
    history: History, rng: np.random.Generator, *, coloured: bool = True
) -> Subject | None:
    """A kind, or a kind in a colour, that was never in the picture; None when all were.

    Args:
        coloured: whether it may have a colour.
    """
    seen = {thing.pair for thing in history.glimpsed}
    seen_kinds = {kind for kind, _ in seen}
    kinds = [kind for kind in OBJECTS if kind not in seen_kinds]
    near = [
        (kind, colour)
        for kind in OBJECTS
        if kind in seen_kinds
        for colour in COLOURS
        if (kind, colour) not in seen and (history.world.holdout or not held_out(kind, colour))
    ]
    if coloured and near and (not kinds or rng.random() < NEAR_SHARE):
        return Subject(*near[int(rng.integers(len(near)))], ())
    if not kinds:
        return None
    return Subject(kinds[int(rng.integers(len(kinds)))], None, ())


def forms_of(thing: Thing) -> tuple[str, ...]:
    """Ways to name a thing, with its colour and without."""
    return thing_forms(thing.kind, thing.colour)
