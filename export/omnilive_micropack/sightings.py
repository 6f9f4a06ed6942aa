"""What a viewer can know at a moment of a world: what they have seen, and what happened.

It holds no words of questions or answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from omnilive_micropack.world import HELD, Scene, Thing, World

LOOK_S = 2.0
"""What was in the picture for less than this does not count as seen: three frames at one a second
show it."""

LISTEN_S = 5.0
"""For so long after the moment a question begins, what it is about must stay as it is."""

CAME, LEFT, MOVED, BROUGHT, TOOK = "came", "left", "moved", "brought", "took"
DEEDS = (TOOK, MOVED, BROUGHT)

Span = tuple[float, float]


@dataclass(frozen=True)
class Event:
    """One change of one object.

    Attributes:
        kind: came, left or moved by itself or by a person; brought or took by a person.
        start_s, end_s: from its beginning until it is over; the same when it has no duration.
        person: who did it, or None.
    """

    kind: str
    start_s: float
    end_s: float
    thing: Thing
    person: Thing | None


def scene_events(scene: Scene) -> tuple[Event, ...]:
    """All changes of objects within a scene, in order of time."""
    people = {thing.id: thing for thing in scene.things if thing.is_figure}
    found = [
        event
        for thing in scene.things
        if not thing.is_figure
        for event in _events_of(thing, scene, people)
    ]
    return tuple(sorted(found, key=lambda event: (event.start_s, event.thing.id)))


def _events_of(thing: Thing, scene: Scene, people: dict[int, Thing]) -> list[Event]:
    events = []
    spans = thing.spans()
    first, last = spans[0][0], spans[-1][0]
    for i, (stay, end_s) in enumerate(spans):
        if stay.place == HELD:
            kind = BROUGHT if stay is first else TOOK if stay is last else MOVED
            holder = people[stay.holder] if stay.holder is not None else None
            events.append(Event(kind, stay.start_s, end_s, thing, holder))
        elif i and spans[i - 1][0].place != HELD:
            events.append(Event(MOVED, stay.start_s, stay.start_s, thing, None))
    if thing.start_s > scene.start_s and first.place != HELD:
        events.append(Event(CAME, thing.start_s, thing.start_s, thing, None))
    if thing.end_s < scene.end_s and last.place != HELD:
        events.append(Event(LEFT, thing.end_s, thing.end_s, thing, None))
    return events


@dataclass(frozen=True)
class History:
    """The world up to ``at_s``, when a question begins."""

    world: World
    at_s: float

    @cached_property
    def scene(self) -> Scene:
        """The scene shown now."""
        return self.world.scene_at(self.at_s)

    @cached_property
    def lasting(self) -> bool:
        """Whether the scene was on long enough to be seen, and stays until the question is over."""
        scene = self.scene
        return scene.start_s <= self.at_s - LOOK_S and self.at_s + LISTEN_S <= scene.end_s

    @cached_property
    def seen(self) -> tuple[Thing, ...]:
        """Objects and people seen so far, in order of their appearance."""
        return tuple(thing for thing in self.glimpsed if self.spans(thing))

    @cached_property
    def glimpsed(self) -> tuple[Thing, ...]:
        """The seen ones and those that were too short, or come until the question is over."""
        latest = self.at_s + LISTEN_S
        things = [
            thing
            for scene in self.world.until(latest)
            for thing in scene.things
            if thing.start_s <= latest
        ]
        return tuple(sorted(things, key=lambda thing: (thing.start_s, thing.id)))

    def about(self, chosen: Callable[[Thing], bool]) -> tuple[Thing, ...]:
        """The chosen ones of those seen, or nothing if another was only glimpsed."""
        glimpsed = tuple(thing for thing in self.glimpsed if chosen(thing))
        return glimpsed if all(self.spans(thing) for thing in glimpsed) else ()

    def spans(self, thing: Thing) -> tuple[Span, ...]:
        """When it could be seen until now: one stretch, or none if that was too short."""
        end = min(thing.end_s, self.at_s)
        return ((thing.start_s, end),) if end - thing.start_s >= LOOK_S else ()

    def still(self, thing: Thing) -> bool:
        """Whether it was at one place for a while and stays there until the question is over."""
        before, after = self.at_s - LOOK_S, self.at_s + LISTEN_S
        if not (thing.visible(before) and after <= thing.end_s):
            return False
        return thing.stay(before) == [s for s in thing.stays if s.start_s <= after][-1]

    @cached_property
    def now(self) -> tuple[Thing, ...]:
        """What stands still in the picture; empty while anything in it is changing."""
        latest = self.at_s + LISTEN_S
        around = [
            thing
            for thing in self.scene.things
            if thing.start_s <= latest and thing.end_s > self.at_s - LOOK_S
        ]
        return tuple(around) if self.lasting and all(map(self.still, around)) else ()

    def events(self, scene: Scene) -> tuple[Event, ...] | None:
        """What happened in a scene so far, or None if something is happening right now."""
        begun = [e for e in scene_events(scene) if e.start_s <= self.at_s + LISTEN_S]
        if any(e.end_s > self.at_s - LOOK_S for e in begun):
            return None
        return tuple(begun)

    def visits(self, room: str) -> tuple[Scene, ...]:
        """The scenes in a room that have begun."""
        return tuple(s for s in self.world.until(self.at_s + LISTEN_S) if s.room == room)
