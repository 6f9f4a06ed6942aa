"""Questions about time and change: when, what before and after, what changed, who did it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from omnilive_micropack.question import Question
from omnilive_micropack.sightings import (
    BROUGHT,
    CAME,
    DEEDS,
    LEFT,
    LOOK_S,
    MOVED,
    TOOK,
    Event,
    History,
    Span,
)
from omnilive_micropack.subjects import Subject, forms_of, seen_subjects
from omnilive_micropack.templates import FORMS
from omnilive_micropack.vocabulary import ROOMS
from omnilive_micropack.wording import has_slot, phrase, thing_forms
from omnilive_micropack.world import Scene, Thing

Rng = np.random.Generator

RECENT_S, LONG_AGO_S = 45.0, 75.0
"""Ages up to the first are a moment ago, from the second on minutes ago; between, nobody asks."""

NOW_FORMS = ("now", "right now", "just now", "it is here now")
MOMENT_FORMS = ("a moment ago", "just a moment ago")
MINUTES_FORMS = ("minutes ago", "some minutes ago", "a long time ago")

ORDER_GAP_S = 5.0
"""Two things are asked about in their order only when one came so much later."""

MOST_NEIGHBOURS = 2
"""So many things at most came right before or after another that is asked about."""

VERBS = {TOOK: "left", LEFT: "left", MOVED: "moved", BROUGHT: "came", CAME: "came"}
CHANGES = {
    "what_changed": (TOOK, LEFT, MOVED, BROUGHT, CAME),
    "what_moved": (MOVED,),
    "what_left": (LEFT, TOOK),
    "what_came": (CAME, BROUGHT),
}


def ask_when(history: History, rng: Rng) -> Question | None:
    """When something was seen, in which order, or what was seen before or after it."""
    asks = (_when, _neighbour, _neighbour, _order)
    return asks[int(rng.integers(len(asks)))](history, rng)


def _when(history: History, rng: Rng) -> Question | None:
    for subject in seen_subjects(history, rng):
        ages = {_age_forms(history, thing) for thing in subject.things}
        forms = ages.pop()
        if ages or not forms:
            continue
        text = phrase(
            rng,
            FORMS["when"].templates,
            subject.words,
            holdout=history.world.holdout,
            suits=subject.suits,
        )
        if text is None:
            return None
        return _question(
            history, "when_order", "when", text, subject.spans(history), forms, subject.referents
        )
    return None


def _age_forms(history: History, thing: Thing) -> tuple[str, ...]:
    """How long ago a thing was seen last; empty when words are too coarse to tell."""
    if history.still(thing):
        return NOW_FORMS
    age_s = history.at_s - thing.end_s
    if LOOK_S < age_s <= RECENT_S:
        return MOMENT_FORMS
    return MINUTES_FORMS if age_s >= LONG_AGO_S else ()


def _neighbour(history: History, rng: Rng) -> Question | None:
    """What came right before or right after something."""
    before = bool(rng.random() < 0.5)
    form = "what_before" if before else "what_after"
    for subject in seen_subjects(history, rng):
        if len(subject.things) > 1:
            continue
        thing = subject.things[0]
        scene = history.world.scene_at(thing.start_s)
        found = _before(history, scene, thing) if before else _after(history, scene, thing)
        if not found or any(t.kind == thing.kind for t, _ in found):
            continue
        text = phrase(
            rng,
            FORMS[form].templates,
            subject.words,
            holdout=history.world.holdout,
            suits=subject.suits,
        )
        if text is None:
            return None
        spans = tuple(dict.fromkeys(span for _, span in found))
        named = [forms_of(t) for t, _ in found]
        both = [f"{a[0]} and {b[0]}" for a in named for b in named if a is not b]
        forms = (*(form for forms in named for form in forms), *both)
        referents = (*(t.id for t, _ in found), thing.id)
        return _question(history, "when_order", form, text, spans, forms, referents)
    return None


def _before(history: History, scene: Scene, thing: Thing) -> list[tuple[Thing, Span]]:
    """What was in the picture when a thing came into it, the latest to come first."""
    at_s = thing.start_s - LOOK_S
    there = [t for t in scene.things if t is not thing and not t.is_figure and t.start_s <= at_s]
    there = [t for t in there if t.end_s >= thing.start_s]
    there.sort(key=lambda t: -t.start_s)
    spans = [(t, (t.start_s, thing.start_s)) for t in there]
    return spans if len(there) <= MOST_NEIGHBOURS else []


def _after(history: History, scene: Scene, thing: Thing) -> list[tuple[Thing, Span]]:
    """What came next after a thing, in the same scene."""
    objects = [t for t in history.glimpsed if not t.is_figure and t.start_s > thing.start_s]
    if not objects:
        return []
    first = objects[0].start_s
    soon = first < scene.end_s
    came = [t for t in objects if t.start_s <= first + LOOK_S]
    spans = [(t, span) for t in came for span in history.spans(t)]
    return spans if soon and len(spans) == len(came) <= MOST_NEIGHBOURS else []


def _order(history: History, rng: Rng) -> Question | None:
    """Whether one thing was seen before, or after, another."""
    single = [s for s in seen_subjects(history, rng) if s.colour is None and len(s.things) == 1]
    for one, other in itertools.pairwise(single):
        gap_s = one.things[0].start_s - other.things[0].start_s
        if abs(gap_s) < ORDER_GAP_S:
            continue
        before = bool(rng.random() < 0.5)
        form = "order_before" if before else "order_after"
        text = phrase(
            rng,
            FORMS[form].templates,
            {**one.words, "other": other.kind},
            holdout=history.world.holdout,
        )
        if text is None:
            return None
        yes = (gap_s < 0) == before
        forms = ("yes", "yes it was") if yes else ("no", "no it was not")
        spans = one.spans(history) + other.spans(history)
        referents = one.referents + other.referents
        return _question(history, "when_order", form, text, spans, forms, referents)
    return None


def ask_changed(history: History, rng: Rng) -> Question | None:
    """What changed, moved, left or came in this room, or in one that was shown once."""
    scenes = [history.scene] if history.lasting else []
    for room in ROOMS:
        visits = history.visits(room)
        if len(visits) == 1 and visits[0].end_s < history.at_s:
            scenes.append(visits[0])
    for i in rng.permutation(len(scenes)):
        happened = history.events(scenes[i])
        if happened is None:
            continue
        for form in rng.permutation(list(CHANGES)):
            fitting = [event for event in happened if event.kind in CHANGES[str(form)]]
            if len(fitting) == 1:
                return _changed(history, rng, scenes[i], str(form), fitting[0])
    return None


def _changed(history: History, rng: Rng, scene: Scene, form: str, event: Event) -> Question | None:
    suits = has_slot("room") if scene is not history.scene else lambda template: True
    text = phrase(
        rng,
        FORMS[form].templates,
        {"room": scene.room},
        holdout=history.world.holdout,
        suits=suits,
    )
    if text is None:
        return None
    forms = forms_of(event.thing)
    if form == "what_changed":
        said = [f"{name} {verb}" for name in forms for verb in _verbs(event)]
        forms = (*forms, *said)
    evidence = (max(scene.start_s, event.start_s - LOOK_S), min(history.at_s, event.end_s + LOOK_S))
    return _question(history, "changed", form, text, (evidence,), forms, (event.thing.id,))


def _verbs(event: Event) -> Sequence[str]:
    verb = VERBS[event.kind]
    usual = (verb, f"has {'come' if verb == 'came' else verb}")
    return (*usual, "is gone", "was taken") if verb == "left" else usual


def ask_who_did(history: History, rng: Rng) -> Question | None:
    """Who took, moved or brought something."""
    for subject in seen_subjects(history, rng):
        deeds = _deeds(history, subject)
        for action in rng.permutation(DEEDS):
            of_kind = [event for event in deeds or () if event.kind == action]
            if len(of_kind) == 1 and of_kind[0].person is not None:
                return _who_did(history, rng, subject, of_kind[0], of_kind[0].person)
    return None


def _deeds(history: History, subject: Subject) -> list[Event] | None:
    """What was done to a subject so far; None while somebody is doing something."""
    deeds: list[Event] = []
    for start_s in dict.fromkeys(thing.start_s for thing in subject.things):
        happened = history.events(history.world.scene_at(start_s))
        if happened is None:
            return None
        deeds += [e for e in happened if e.thing in subject.things and e.thing.start_s == start_s]
    return deeds


def _who_did(
    history: History, rng: Rng, subject: Subject, event: Event, person: Thing
) -> Question | None:
    text = phrase(
        rng,
        FORMS["who_did"].templates,
        {**subject.words, "action": event.kind},
        holdout=history.world.holdout,
        suits=subject.suits,
    )
    if text is None:
        return None
    forms = thing_forms(person.kind, person.colour)
    spans = ((event.start_s, event.end_s),)
    return _question(history, "who", "who_did", text, spans, forms, (event.thing.id, person.id))


def _question(
    history: History,
    kind: str,
    form: str,
    text: str,
    evidence: tuple[Span, ...],
    forms: tuple[str, ...],
    referents: tuple[int, ...],
) -> Question:
    return Question(
        kind,
        form,
        text,
        history.at_s,
        evidence,
        forms[0],
        tuple(dict.fromkeys(forms)),
        referents=referents,
    )
