"""Invents worlds from a seed: rooms, what stands in them, who comes and what they do.

The story is the ground truth; pictures, questions and answers follow from it. It draws nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnilive_micropack.cast import Cast, deal
from omnilive_micropack.rooms import SECOND_PERSON_COVERS
from omnilive_micropack.seeds import TEST_SEEDS, generator
from omnilive_micropack.vocabulary import COLOURS, FIGURES, PLACES, ROOMS
from omnilive_micropack.world import HELD, SHOWN, STANDING, Scene, Stay, Thing, World

SHORTEST_SCENE_S = 4.0
EVENTFUL_SCENE_S = 10.0
"""Shorter scenes hold no change: there is no time to see before and after."""

EVENTFUL_SHARE = 0.65
"""Scenes in which a change is planned, of those long enough for one without anything held up."""

TWO_CHANGES_SCENE_S = 20.0
HOLD_S = 4.0
"""How long a person holds a thing that they take, bring or move."""

SETTLED_S = 3.0
"""A change comes at the earliest so long after the scene's beginning."""

SHOWN_SHARE = 0.2
"""Share of scenes in which something is held up in front of the camera."""

SHOWN_SECONDS = (8, 14)
PERSON_SHARE = 0.35
"""Of the scenes in which nothing changes and nothing is held up. What changes, somebody changes."""

SECOND_PERSON_SHARE = 0.12
"""Of the scenes with a person."""

GROUP_SHARE = 0.4
"""Share of scenes with several objects of one kind."""

MEAN_OBJECTS = 2.6


@dataclass(frozen=True)
class _Plan:
    """What one scene is to hold, before anything has a time."""

    pairs: tuple[tuple[str, str], ...]
    people: int
    shown: bool
    eventful: bool


def make_world(
    seed: int,
    seconds: float,
    *,
    holdout: bool = False,
    scene_seconds: tuple[float, float] = (8.0, 40.0),
) -> World:
    """A world of ``seconds`` (whole ones), each scene as long as drawn from ``scene_seconds``.

    Rooms differ from one scene to the next. Times are whole seconds, so that frames sampled
    once a second see exact cuts.

    Args:
        seed: worlds of test seeds also hold the kinds in colours held out from training.
        holdout: True lets any other seed's world hold them too.

    Raises:
        ValueError: scenes too short to hold anything, or no time at all.
    """
    shortest, longest = scene_seconds
    if not SHORTEST_SCENE_S <= shortest <= longest or seconds < SHORTEST_SCENE_S:
        raise ValueError(f"no scenes of {shortest} to {longest} s fit into {seconds} s")
    rng = generator(seed, "world")
    times = _scene_times(rng, seconds, shortest, longest)
    holdout = holdout or seed in TEST_SEEDS
    cast = deal(rng, round(len(times) * MEAN_OBJECTS), holdout=holdout)
    scenes: list[Scene] = []
    next_id = 0
    for start, end in times:
        others = [room for room in ROOMS if not scenes or room != scenes[-1].room]
        scene = _make_scene(rng, cast, str(rng.choice(others)), start, end, next_id)
        next_id += len(scene.things)
        scenes.append(scene)
    return World(seed, holdout, tuple(scenes))


def _scene_times(
    rng: np.random.Generator, seconds: float, shortest: float, longest: float
) -> list[tuple[float, float]]:
    times = []
    start, total = 0.0, float(np.ceil(seconds))
    while start < total:
        length = float(round(shortest * (longest / shortest) ** rng.random()))
        end = start + length
        if total - end < shortest:
            end = total
        times.append((start, end))
        start = end
    return times


def _plan(rng: np.random.Generator, cast: Cast, length_s: float) -> _Plan:
    shown = bool(rng.random() < SHOWN_SHARE)
    long_enough = not shown and length_s >= EVENTFUL_SCENE_S
    eventful = long_enough and bool(rng.random() < EVENTFUL_SHARE)
    people = 0
    if eventful or (not shown and rng.random() < PERSON_SHARE):
        people = 1 + int(rng.random() < SECOND_PERSON_SHARE)
    pairs: list[tuple[str, str]] = []
    if rng.random() < GROUP_SHARE:
        pairs += cast.group(rng, int(rng.integers(2, 5)))
    for _ in range(int(rng.integers(1, 3 if pairs else 5)) + shown):
        pairs.append(cast.draw(rng, {kind for kind, _ in pairs}))
    return _Plan(tuple(pairs), people, shown, eventful)


def _make_scene(
    rng: np.random.Generator, cast: Cast, room: str, start: float, end: float, first_id: int
) -> Scene:
    plan = _plan(rng, cast, end - start)
    crowded = plan.shown or plan.people == 2
    open_places = [p for p in PLACES if not (crowded and p in SECOND_PERSON_COVERS)]
    free = [str(p) for p in rng.permutation(open_places)]
    kinds = [str(k) for k in rng.choice(FIGURES, size=plan.people, replace=False)]
    things = [
        Thing(first_id + i, kind, str(rng.choice(COLOURS)), (Stay(start, STANDING),), end, column=i)
        for i, kind in enumerate(kinds)
    ]
    pairs = list(plan.pairs)
    shown = pairs.pop() if plan.shown else None
    for kind, colour in pairs[: len(free)]:
        stays = (Stay(start, free.pop()),)
        things.append(Thing(first_id + len(things), kind, colour, stays, end))
    if shown is not None:
        things.append(_shown(rng, first_id + len(things), shown, start, end))
    for moment in _moments(rng, start, end) if plan.eventful else ():
        things = _change(rng, things, free, moment)
    return Scene(room, start, end, float(rng.uniform(0.85, 1.1)), tuple(things))


def _shown(
    rng: np.random.Generator, thing_id: int, pair: tuple[str, str], start: float, end: float
) -> Thing:
    latest = max(start, end - SHOWN_SECONDS[1])
    begin = float(rng.integers(int(start), int(latest) + 1))
    until = min(end, begin + float(rng.integers(*SHOWN_SECONDS, endpoint=True)))
    return Thing(thing_id, *pair, (Stay(begin, SHOWN),), until)


def _moments(rng: np.random.Generator, start: float, end: float) -> list[float]:
    """When something changes; each leaves the time to see what was before and after."""
    length = end - start
    spans = [(start, end)]
    if length >= TWO_CHANGES_SCENE_S and rng.random() < 0.35:
        middle = start + length // 2
        spans = [(start, middle), (middle, end)]
    return [float(rng.integers(int(a + SETTLED_S), int(b - HOLD_S - 2) + 1)) for a, b in spans]


def _change(
    rng: np.random.Generator, things: list[Thing], free: list[str], at_s: float
) -> list[Thing]:
    """The same things after one change at ``at_s``; ``free`` places are used up."""
    whole = [t for t in things if _untouched(t, at_s)]
    objects = [t for t in whole if not t.is_figure]
    people = [t for t in whole if t.is_figure]
    if not objects or not people:
        return things
    chosen = objects[int(rng.integers(len(objects)))]
    person = people[int(rng.integers(len(people)))]
    busy = any(stay.holder == person.id for t in things for stay in t.stays)
    changed = _deed(rng, chosen, person, busy, free, at_s)
    by_id = {thing.id: thing for thing in changed}
    return [by_id.get(thing.id, thing) for thing in things]


def _untouched(thing: Thing, at_s: float) -> bool:
    return (
        len(thing.stays) == 1
        and thing.stays[0].place != SHOWN
        and thing.start_s < at_s < thing.end_s
    )


def _deed(
    rng: np.random.Generator,
    thing: Thing,
    person: Thing,
    busy: bool,
    free: list[str],
    at_s: float,
) -> list[Thing]:
    """A person takes the thing away, brings it, or moves it.

    Args:
        busy: the person did something before, so they cannot come in with the thing.
    """
    first, done_s = thing.stays[0], at_s + HOLD_S
    hold = Stay(at_s, HELD, person.id)
    deeds = ["took"] + ["brought"] * (not busy) + ["moved"] * bool(free)
    deed = deeds[int(rng.integers(len(deeds)))]
    if deed == "took":
        return [_with(thing, (first, hold), done_s), _with(person, person.stays, done_s)]
    if deed == "brought":
        stays = (hold, Stay(done_s, first.place))
        entered = (Stay(at_s, STANDING),)
        return [_with(thing, stays, thing.end_s), _with(person, entered, person.end_s)]
    return [_with(thing, (first, hold, Stay(done_s, free.pop())), thing.end_s)]


def _with(thing: Thing, stays: tuple[Stay, ...], end_s: float) -> Thing:
    return Thing(thing.id, thing.kind, thing.colour, stays, end_s, thing.column)
