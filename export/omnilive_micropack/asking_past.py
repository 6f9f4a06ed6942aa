"""Questions about what was seen at any time so far, or never: colour, place, use, existence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from omnilive_micropack.question import Question, not_seen
from omnilive_micropack.sightings import LISTEN_S, LOOK_S, History
from omnilive_micropack.subjects import Subject, forms_of, seen_subjects, unseen_subject
from omnilive_micropack.templates import FORMS, IMPLICIT
from omnilive_micropack.vocabulary import ACTIONS, OBJECTS, PLACES
from omnilive_micropack.wording import NOT_SEEN_FORMS, is_past, phrase, room_forms, thing_forms
from omnilive_micropack.world import HELD, Stay, Thing

Rng = np.random.Generator

WEATHER = "weather"
RAINING: tuple[str, ...] = ("it is raining", "raining", "rainy", "it is rainy", "it rains", "rain")

ALSO_SERVE: Mapping[str, tuple[str, ...]] = {
    "mug": ("bottle",),
    "bottle": ("mug",),
    "clock": ("telephone",),
}
"""What else a user may mean by the questions that mean this kind."""

MOST_PLACES = 2
"""What was seen at more places is not asked for."""

NEVER_FORMS = ("colour", "where", "where_room", "when", "who_did")
"""Forms in which what was never shown is asked about."""


def ask_colour(history: History, rng: Rng) -> Question | None:
    """Which colour a kind has that was seen in one colour only."""
    for subject in seen_subjects(history, rng):
        colours = {thing.colour for thing in subject.things}
        if subject.colour is not None or len(colours) > 1:
            continue
        text = _say(history, rng, "colour", subject)
        if text is None:
            return None
        (colour,) = colours
        named = thing_forms(f"{colour} {subject.kind}")
        accepted = (colour, f"it is {colour}", f"it was {colour}", *named)
        return _question(history, "colour", "colour", text, subject, colour, accepted)
    return None


def ask_where(history: History, rng: Rng) -> Question | None:
    """Where something is or was: its place, or its room."""
    ask = _where_place if rng.random() < 0.7 else _where_room
    for subject in seen_subjects(history, rng):
        question = ask(history, rng, subject)
        if question is not None:
            return question
    return None


def _where_place(history: History, rng: Rng, subject: Subject) -> Question | None:
    stays = _stays(history, subject.things)
    if not stays:
        return None
    here = [thing for thing in subject.things if thing.end_s > history.at_s - LOOK_S]
    if len(here) > 1 or not all(map(history.still, here)):
        return None
    places = {stay.place for _, stay, _ in stays}
    if len(places) > MOST_PLACES:
        return None
    past = present = True
    if here and len(places) > 1:
        stays = [s for s in stays if s[0] is here[0]][-1:]
        past = False
    elif not here and (len(places) > 1 or _taken(subject.things)):
        present = False

    def suits(template: str) -> bool:
        return subject.suits(template) and (past if is_past(template) else present)

    text = _say(history, rng, "where", subject, suits)
    if text is None:
        return None
    rooms = {history.world.scene_at(thing.start_s).room for thing, _, _ in stays}
    accepted = dict.fromkeys(stay.place for _, stay, _ in reversed(stays))
    evidence = dict.fromkeys((stay.start_s, min(end_s, history.at_s)) for _, stay, end_s in stays)
    return Question(
        "where",
        "where",
        text,
        history.at_s,
        tuple(evidence),
        next(iter(accepted)),
        (*accepted, *(form for room in sorted(rooms) for form in room_forms(room))),
        referents=tuple(dict.fromkeys(thing.id for thing, _, _ in stays)),
    )


def _stays(history: History, things: Sequence[Thing]) -> list[tuple[Thing, Stay, float]]:
    """Where things stood with the end of each stay; empty when some of it is no clear place."""
    found = []
    for thing in things:
        for stay, end_s in thing.spans():
            if stay.place == HELD or stay.start_s > history.at_s + LISTEN_S:
                continue
            if stay.place not in PLACES or min(end_s, history.at_s) - stay.start_s < LOOK_S:
                return []
            found.append((thing, stay, end_s))
    return found


def _taken(things: Sequence[Thing]) -> bool:
    return any(thing.stays[-1].place == HELD for thing in things)


def _where_room(history: History, rng: Rng, subject: Subject) -> Question | None:
    rooms = {history.world.scene_at(thing.start_s).room for thing in subject.things}
    if len(rooms) > 1:
        return None
    text = _say(history, rng, "where_room", subject)
    if text is None:
        return None
    forms = room_forms(rooms.pop())
    return _question(history, "where", "where_room", text, subject, forms[0], forms)


def ask_exists(history: History, rng: Rng) -> Question | None:
    """Whether something was seen."""
    if rng.random() < 0.5:
        for subject in seen_subjects(history, rng):
            text = _say(history, rng, "exists", subject)
            said = ("yes", "yes i did", "yes it was")
            if text is None:
                return None
            return _question(history, "exists", "exists", text, subject, "yes", said)
    unseen = unseen_subject(history, rng)
    text = None if unseen is None else _say(history, rng, "exists", unseen)
    if text is None:
        return None
    accepted = ("no", *NOT_SEEN_FORMS, "no i did not")
    return Question("exists", "exists", text, history.at_s, (), "no", accepted)


def ask_implicit(history: History, rng: Rng) -> Question | None:
    """What is meant by its use."""
    for subject in seen_subjects(history, rng):
        if subject.colour is None:
            return _implicit(history, rng, subject)
    return None


def _implicit(history: History, rng: Rng, subject: Subject) -> Question | None:
    text = phrase(rng, IMPLICIT[subject.kind], {}, holdout=history.world.holdout)
    if text is None:
        return None
    if WEATHER in text:
        return _question(history, "implicit", "implicit", text, subject, RAINING[0], RAINING)
    others = [t for t in history.glimpsed if t.kind in ALSO_SERVE.get(subject.kind, ())]
    accepted = [form for thing in (*subject.things, *others) for form in forms_of(thing)]
    if "where" in text.split():
        for thing, stay, _ in _stays(history, subject.things):
            accepted += [stay.place, *room_forms(history.world.scene_at(thing.start_s).room)]
    answer = thing_forms(subject.kind)[0]
    return _question(history, "implicit", "implicit", text, subject, answer, tuple(accepted))


def ask_not_seen(history: History, rng: Rng) -> Question | None:
    """Something about what was never shown."""
    if rng.random() < 0.3:
        return _implicit_not_seen(history, rng)
    form = NEVER_FORMS[int(rng.integers(len(NEVER_FORMS)))]
    subject = unseen_subject(history, rng, coloured=form != "colour")
    text = None if subject is None else _say(history, rng, form, subject)
    return None if text is None else not_seen(form, text, history.at_s)


def _implicit_not_seen(history: History, rng: Rng) -> Question | None:
    seen = {thing.kind for thing in history.glimpsed}
    kinds = [kind for kind in OBJECTS if not seen.intersection((kind, *ALSO_SERVE.get(kind, ())))]
    if not kinds:
        return None
    text = phrase(
        rng,
        IMPLICIT[kinds[int(rng.integers(len(kinds)))]],
        {},
        holdout=history.world.holdout,
        suits=lambda template: WEATHER not in template,
    )
    if text is None:
        return None
    return not_seen("implicit", text, history.at_s, implicit=True)


def _say(
    history: History,
    rng: Rng,
    form: str,
    subject: Subject,
    suits: Callable[[str], bool] | None = None,
) -> str | None:
    words = {**subject.words, "action": str(rng.choice(ACTIONS))}
    templates, holdout = FORMS[form].templates, history.world.holdout
    return phrase(rng, templates, words, holdout=holdout, suits=suits or subject.suits)


def _question(
    history: History,
    kind: str,
    form: str,
    text: str,
    subject: Subject,
    answer: str,
    accepted: tuple[str, ...],
) -> Question:
    return Question(
        kind,
        form,
        text,
        history.at_s,
        subject.spans(history),
        answer,
        tuple(dict.fromkeys(accepted)),
        implicit=kind == "implicit",
        referents=subject.referents,
    )
