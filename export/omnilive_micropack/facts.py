"""What can be seen in a world's picture at a time, and where: the truth that pictures are drawn by.

It knows the layout and draws nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from omnilive_micropack.rooms import PLACE_ANCHORS, SHOWN_ANCHOR, STANDING_ANCHORS
from omnilive_micropack.world import HELD, SHOWN, Thing, World

OBJECT_HEIGHT = 0.42
"""Height of an object in fractions of the picture's height."""

FIGURE_HEIGHT = 0.92
SHOWN_HEIGHT = 0.8
HELD_FOOT = 0.96
"""Where the foot of a held thing is: below its holder's face."""

FRAME_ASPECT = 16 / 9
"""Pictures are drawn for this width over height; others stretch everything alike."""

FIGURE_ASPECT = 0.4
"""Width of a person over their height; objects are square."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in fractions of the picture."""


@dataclass(frozen=True)
class Seen:
    """One thing in the picture.

    Attributes:
        id: of the world's ``Thing``.
        place: one of the vocabulary's places, ``held``, ``shown`` (held up large by the one who
            asks) or ``standing`` (people).
        count: how many of its kind are in the picture, itself included.
        holder: the kind of person who holds it, or None.
        held: the kind of object that this person holds, or None.
    """

    id: int
    kind: str
    colour: str
    place: str
    count: int
    holder: str | None
    held: str | None
    box: Box


@dataclass(frozen=True)
class FrameFacts:
    """All there is to see at one time; things from back to front."""

    room: str
    things: tuple[Seen, ...]


def frame_facts(world: World, at_s: float) -> FrameFacts:
    """What the picture at ``at_s`` seconds shows."""
    scene = world.scene_at(at_s)
    shown = {thing.id: thing for thing in scene.visible(at_s)}
    stays = {i: thing.stay(at_s) for i, thing in shown.items()}
    holds = {stay.holder: shown[i].kind for i, stay in stays.items() if stay.holder is not None}
    kinds = [thing.kind for thing in shown.values()]
    seen = []
    for i, thing in shown.items():
        holder = stays[i].holder
        seen.append(
            Seen(
                i,
                thing.kind,
                thing.colour,
                stays[i].place,
                kinds.count(thing.kind),
                None if holder is None else shown[holder].kind,
                holds.get(i),
                _box(thing, stays[i].place, None if holder is None else shown[holder]),
            )
        )
    # what is held or shown is in front of everyone
    return FrameFacts(scene.room, tuple(sorted(seen, key=lambda s: s.place in (HELD, SHOWN))))


def _box(thing: Thing, place: str, holder: Thing | None) -> Box:
    height, aspect = OBJECT_HEIGHT, 1.0
    if thing.is_figure:
        (x, foot), height, aspect = STANDING_ANCHORS[thing.column], FIGURE_HEIGHT, FIGURE_ASPECT
    elif holder is not None:
        x, foot = STANDING_ANCHORS[holder.column][0], HELD_FOOT
    elif place == SHOWN:
        (x, foot), height = SHOWN_ANCHOR, SHOWN_HEIGHT
    else:
        x, foot = PLACE_ANCHORS[place]
    width = height * aspect / FRAME_ASPECT
    return x - width / 2, foot - height, x + width / 2, foot
