"""Questions about what is in the picture now: what, how many, who, and what is held up."""

from __future__ import annotations

import numpy as np

from omnilive_micropack.question import Question
from omnilive_micropack.sightings import History
from omnilive_micropack.subjects import forms_of
from omnilive_micropack.templates import FORMS
from omnilive_micropack.vocabulary import FIGURES, NUMBERS, PLACES, PLURALS, ROOMS
from omnilive_micropack.wording import is_past, phrase
from omnilive_micropack.world import SHOWN, Scene, Thing

Rng = np.random.Generator

LONE_SHARE = 0.25
"""Share of the questions that may be about the only one of its kind."""

NOBODY = "nobody"
NOBODY_FORMS = (NOBODY, "no one", "there is nobody", "not seen")
NOBODY_SHARE = 0.2


def ask_now(history: History, rng: Rng) -> Question | None:
    """What is at a place."""
    there = {t.stay(history.at_s).place: t for t in history.now if not t.is_figure}
    places = [place for place in PLACES if place in there]
    if not places:
        return None
    place = places[int(rng.integers(len(places)))]
    text = phrase(rng, FORMS["now"].templates, {"place": place}, holdout=history.world.holdout)
    if text is None:
        return None
    thing = there[place]
    return _about(history, "now", "now", text, thing, thing.stay(history.at_s).start_s)


def ask_this(history: History, rng: Rng) -> Question | None:
    """What is held up in front of the camera."""
    shown = [t for t in history.now if t.stay(history.at_s).place == SHOWN]
    if not shown:
        return None
    text = phrase(rng, FORMS["this"].templates, {}, holdout=history.world.holdout)
    if text is None:
        return None
    return _about(history, "this", "this", text, shown[0], shown[0].start_s)


def ask_count(history: History, rng: Rng) -> Question | None:
    """How many of a kind there are."""
    things: dict[str, list[Thing]] = {}
    for thing in history.now:
        if not thing.is_figure:
            things.setdefault(thing.kind, []).append(thing)
    counts = sorted({len(group) for group in things.values()})
    if not counts or (counts == [1] and rng.random() > LONE_SHARE):
        return None
    if rng.random() > LONE_SHARE:
        counts = counts[-1:]
    count = counts[int(rng.integers(len(counts)))]
    kinds = [kind for kind, group in things.items() if len(group) == count]
    kind = kinds[int(rng.integers(len(kinds)))]
    words = {"objects": PLURALS[kind]}
    text = phrase(rng, FORMS["count"].templates, words, holdout=history.world.holdout)
    if text is None:
        return None
    since = max(thing.start_s for thing in things[kind])
    ends = [t.end_s for t in history.scene.things if t.kind == kind and t.end_s <= history.at_s]
    number, noun = NUMBERS[count], kind if count == 1 else PLURALS[kind]
    accepted = (number, str(count), f"{number} {noun}", f"{count} {noun}")
    referents = tuple(thing.id for thing in things[kind])
    evidence = ((max([since, *ends]), history.at_s),)
    return Question(
        "count", "count", text, history.at_s, evidence, number, accepted, referents=referents
    )


def ask_who_there(history: History, rng: Rng) -> Question | None:
    """Who is, or was, in a room."""
    return _who_now(history, rng) if rng.random() < 0.5 else _who_then(history, rng)


def _who_now(history: History, rng: Rng) -> Question | None:
    people = [t for t in history.now if t.is_figure]
    if not history.now or len(people) > 1 or (not people and rng.random() > NOBODY_SHARE):
        return None
    text = phrase(
        rng,
        FORMS["who_there"].templates,
        {"room": history.scene.room},
        holdout=history.world.holdout,
        suits=lambda template: not is_past(template),
    )
    if text is None:
        return None
    if people:
        return _about(history, "who", "who_there", text, people[0], people[0].start_s)
    return Question("who", "who_there", text, history.at_s, (), NOBODY, NOBODY_FORMS)


def _who_then(history: History, rng: Rng) -> Question | None:
    rooms = {room: history.visits(room) for room in ROOMS}
    rooms = {room: scenes for room, scenes in rooms.items() if _one_person(history, scenes)}
    if not rooms:
        return None
    room = list(rooms)[int(rng.integers(len(rooms)))]
    text = phrase(
        rng,
        FORMS["who_there"].templates,
        {"room": room},
        holdout=history.world.holdout,
        suits=is_past,
    )
    if text is None:
        return None
    people = [t for scene in rooms[room] for t in scene.things if t in history.seen and t.is_figure]
    return Question(
        "who",
        "who_there",
        text,
        history.at_s,
        tuple(dict.fromkeys(span for person in people for span in history.spans(person))),
        forms_of(people[0])[0],
        tuple(dict.fromkeys(form for person in people for form in forms_of(person))),
        referents=tuple(person.id for person in people),
    )


def _one_person(history: History, scenes: tuple[Scene, ...]) -> bool:
    ids = {thing.id for scene in scenes for thing in scene.things if thing.is_figure}
    there = history.about(lambda thing: thing.kind in FIGURES and thing.id in ids)
    return len({person.kind for person in there}) == 1


def _about(
    history: History, kind: str, form: str, text: str, thing: Thing, since_s: float
) -> Question:
    forms = forms_of(thing)
    evidence = ((since_s, history.at_s),)
    return Question(
        kind, form, text, history.at_s, evidence, forms[0], forms, referents=(thing.id,)
    )
