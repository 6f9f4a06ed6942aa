"""Questions put straight into words, without a world: what some of many clips show is asked about.

So all clips of a step are asked about at once, whichever worlds they come from, in training's own
sentences. It draws no network's weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnilive_micropack.templates import FORMS, IMPLICIT
from omnilive_micropack.training.memory_things import (
    ANY,
    ARRIVED,
    DEED,
    FOLLOWED,
    IN_HANDS,
    RIGHT,
    SEEN,
    SOMEBODY,
    UNCLEAR,
    WRONG,
    Rights,
    Shown,
)
from omnilive_micropack.vocabulary import ACTIONS, COLOURS, OBJECTS, PLACES, PLURALS, ROOMS
from omnilive_micropack.wording import has_slot, is_past, phrase

Rng = np.random.Generator

ROOM = "room"
ASPECT_SHARES = {SEEN: 0.62, IN_HANDS: 0.16, ARRIVED: 0.07, FOLLOWED: 0.08, ROOM: 0.07}
COLOURED_SHARE = {SEEN: 0.65, IN_HANDS: 0.5, ARRIVED: 0.5, FOLLOWED: 0.5}
TRIES = 4

ORDER = "order"
PLAIN_FORMS = (
    *("colour", "colour", "where", "where", "where_room", "when"),
    *("exists", "exists", "implicit", ORDER),
)
COLOURED_FORMS = ("where", "where", "where_room", "when", "exists", "exists")
DEED_FORMS = ("what_changed", "what_moved", "what_left", "what_came")
PRESENT_FORMS = ("now", "now", "count", "this", "who_there")


@dataclass(frozen=True, eq=False)
class Asked:
    """A question about clips of any world.

    Attributes:
        right: right, wrong or unclear: int8 [clips], at least one right.
        subject: aspect, kind and colour (or ANY) of the one thing it names or means.
    """

    text: str
    right: Rights
    subject: tuple[int, int, int] | None = None

    @property
    def kind(self) -> int | None:
        """Index of the one kind it names or means."""
        return None if self.subject is None else self.subject[1]

    @property
    def colour(self) -> int | None:
        """Index of the colour it names."""
        return None if self.subject is None or self.subject[2] == ANY else self.subject[2]


def draw_asked(shown: Sequence[Shown], rng: Rng, count: int) -> list[Asked]:
    """About ``count`` questions; fewer where nothing of a sort can be asked."""
    objects = np.stack([one.objects for one in shown])
    rooms = np.stack([one.rooms for one in shown])
    shares = np.array(list(ASPECT_SHARES.values()))
    names = list(ASPECT_SHARES)
    drawn = [names[i] for i in rng.choice(len(names), size=count, p=shares / shares.sum())]
    tried = [
        _of_room(rooms, rng) if aspect == ROOM else _of_object(objects, rng, int(aspect))
        for aspect in drawn
    ]
    return [asked for asked in tried if asked is not None]


def _of_room(rooms: Rights, rng: Rng) -> Asked | None:
    aspect = (SOMEBODY, DEED)[int(rng.integers(2))]
    found = np.argwhere(rooms[:, aspect] == RIGHT)
    if not len(found):
        return None
    room = int(found[int(rng.integers(len(found)))][1])
    form = "who_there" if aspect == SOMEBODY else DEED_FORMS[int(rng.integers(len(DEED_FORMS)))]
    suits = is_past if aspect == SOMEBODY else has_slot("room")
    words = {"room": ROOMS[room]}
    text = phrase(rng, FORMS[form].templates, words, holdout=False, suits=suits)
    return None if text is None else Asked(text, rooms[:, aspect, room])


def _of_object(objects: Rights, rng: Rng, aspect: int) -> Asked | None:
    found = np.argwhere(objects[:, aspect] == RIGHT)
    if not len(found):
        return None
    coloured = rng.random() < COLOURED_SHARE[aspect]
    for _ in range(TRIES):
        _, kind, colour = (int(i) for i in found[int(rng.integers(len(found)))])
        if (colour < ANY) == coloured:
            break
    forms = COLOURED_FORMS if colour < ANY else PLAIN_FORMS
    form = {IN_HANDS: "who_did", ARRIVED: "what_before", FOLLOWED: "what_after"}.get(
        aspect, forms[int(rng.integers(len(forms)))]
    )
    right: Rights = objects[:, aspect, kind, colour]
    if form == ORDER:
        return _of_two(objects, rng, kind)
    text = _say(rng, form, kind, colour)
    if text is None:
        return None
    return Asked(text, right, (aspect, kind, colour))


def _of_two(objects: Rights, rng: Rng, kind: int) -> Asked | None:
    """Whether one was seen before or after another: either shows something of the answer."""
    other = int(rng.integers(len(OBJECTS)))
    if other == kind:
        return None
    form = ("order_before", "order_after")[int(rng.integers(2))]
    words = {"object": OBJECTS[kind], "other": OBJECTS[other]}
    text = phrase(rng, FORMS[form].templates, words, holdout=False)
    if text is None:
        return None
    both = objects[:, SEEN, [kind, other], ANY]
    unclear = np.where((both == UNCLEAR).any(axis=1), UNCLEAR, WRONG)
    return Asked(text, np.where((both == RIGHT).any(axis=1), RIGHT, unclear).astype(np.int8))


def _say(rng: Rng, form: str, kind: int, colour: int) -> str | None:
    if form == "implicit":
        return phrase(rng, IMPLICIT[OBJECTS[kind]], {}, holdout=False)
    words = {"object": OBJECTS[kind], "action": ACTIONS[int(rng.integers(len(ACTIONS)))]}
    if colour < ANY:
        words["colour"] = COLOURS[colour]
    return phrase(
        rng,
        FORMS[form].templates,
        words,
        holdout=False,
        suits=lambda template: ("{colour}" in template) == (colour < ANY),
    )


def say_present(rng: Rng, room: str, somebody: bool) -> str | None:
    """A question about what is to be seen now, in ``room``, perhaps with somebody there."""
    form = PRESENT_FORMS[int(rng.integers(len(PRESENT_FORMS)))]
    if form == "who_there" and not somebody:
        form = "now"
    words = {
        "place": PLACES[int(rng.integers(len(PLACES)))],
        "objects": PLURALS[OBJECTS[int(rng.integers(len(OBJECTS)))]],
        "room": room,
    }
    return phrase(
        rng,
        FORMS[form].templates,
        words,
        holdout=False,
        suits=lambda template: form != "who_there" or not is_past(template),
    )


def say_deed(rng: Rng, room: str, form: str, *, elsewhere: bool = False) -> str | None:
    """A question, in a form of DEED_FORMS, about what changed in ``room``, here or elsewhere."""
    return phrase(
        rng,
        FORMS[form].templates,
        {"room": room},
        holdout=False,
        suits=lambda template: not elsewhere or "{room}" in template,
    )
