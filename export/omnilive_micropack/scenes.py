"""The script of a video: which rooms are shown when, and what appears, moves and leaves in them.

The script is the ground truth: it is made first, from a seed, and the pictures follow from it. It
draws nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnilive_micropack.rooms import PLACE_ANCHORS
from omnilive_micropack.seeds import generator
from omnilive_micropack.vocabulary import COLOURS, FIGURES, OBJECTS, ROOMS

OBJECT_HEIGHT = 0.24
"""Height of an object in fractions of the picture's height; its width in pixels is the same."""

FIGURE_HEIGHT = 0.6
FIGURE_PLACES = ("on the left", "in the middle", "on the right", "on the floor")
MOVE_SECONDS = 1.5
"""How long a move from one place to another takes."""

FIGURE_SHARE = 0.7
"""Share of scenes with a person in them."""

SHORTEST_SCENE_S = 4.0


@dataclass(frozen=True)
class Stay:
    """From ``start_s`` on a thing is at ``place``, until its next stay or its end."""

    start_s: float
    place: str


@dataclass(frozen=True)
class Thing:
    """One object or person of a scene.

    Attributes:
        stays: where it is, in order of time; the first begins when it appears.
        end_s: when it is gone; times are stream seconds.
    """

    kind: str
    colour: str
    stays: tuple[Stay, ...]
    end_s: float

    @property
    def start_s(self) -> float:
        """When it appears, stream seconds."""
        return self.stays[0].start_s

    def visible(self, at_s: float) -> bool:
        """Whether it is in the picture at a time."""
        return self.start_s <= at_s < self.end_s

    def place(self, at_s: float) -> str:
        """The place it is at or moving to. Raises ValueError when it is not visible."""
        if not self.visible(at_s):
            raise ValueError(f"the {self.colour} {self.kind} is not visible at {at_s} s")
        return [s.place for s in self.stays if s.start_s <= at_s][-1]

    def foot(self, at_s: float) -> tuple[float, float]:
        """Middle of its lower edge in fractions of the picture (see PLACE_ANCHORS)."""
        x, y = PLACE_ANCHORS[self.place(at_s)]
        reached = [s for s in self.stays if s.start_s <= at_s]
        if len(reached) == 1:
            return x, y
        part = min(1.0, (at_s - reached[-1].start_s) / MOVE_SECONDS)
        from_x, from_y = PLACE_ANCHORS[reached[-2].place]
        return from_x + part * (x - from_x), from_y + part * (y - from_y)


@dataclass(frozen=True)
class Scene:
    """One room, shown from ``start_s`` to ``end_s`` (stream seconds)."""

    room: str
    start_s: float
    end_s: float
    brightness: float
    things: tuple[Thing, ...]


@dataclass(frozen=True)
class Script:
    """A whole video; scenes follow each other without a gap from 0."""

    seed: int
    scenes: tuple[Scene, ...]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.scenes[-1].end_s

    @property
    def cuts_s(self) -> tuple[float, ...]:
        """Times at which the picture changes to another scene, seconds."""
        return tuple(scene.start_s for scene in self.scenes[1:])

    def scene_at(self, at_s: float) -> Scene:
        """The scene shown at a time; the last one from its start on."""
        for scene in self.scenes:
            if at_s < scene.end_s:
                return scene
        return self.scenes[-1]


def make_script(
    seed: int, seconds: float, *, scene_seconds: tuple[float, float] = (7.0, 15.0)
) -> Script:
    """A script of about ``seconds``: each scene as long as drawn from ``scene_seconds``.

    Rooms differ from one scene to the next. Times are whole seconds, so that frames sampled
    once a second see exact cuts.

    Raises:
        ValueError: scenes too short to hold anything, or no time at all.
    """
    shortest, longest = scene_seconds
    if not SHORTEST_SCENE_S <= shortest <= longest or seconds < shortest:
        raise ValueError(f"no scenes of {shortest} to {longest} s fit into {seconds} s")
    rng = generator(seed, "script")
    scenes: list[Scene] = []
    start = 0.0
    while start < seconds:
        length = float(round(rng.uniform(shortest, longest)))
        end = start + length
        if seconds - end < shortest:
            end = float(seconds)
        others = [room for room in ROOMS if not scenes or room != scenes[-1].room]
        scenes.append(_make_scene(rng, str(rng.choice(others)), start, end))
        start = end
    return Script(seed, tuple(scenes))


def _make_scene(rng: np.random.Generator, room: str, start: float, end: float) -> Scene:
    places = [str(p) for p in rng.permutation(list(PLACE_ANCHORS))]
    things = []
    if rng.random() < FIGURE_SHARE:
        # a person covers what stands behind them, so theirs are nobody else's places
        here, there = (str(p) for p in rng.choice(FIGURE_PLACES, size=2, replace=False))
        places = [p for p in places if p not in (here, there)]
        stays, gone = _stays(rng, here, [there], start, end)
        things.append(Thing(str(rng.choice(FIGURES)), str(rng.choice(COLOURS)), stays, gone))
    kinds = rng.choice(OBJECTS, size=int(rng.integers(2, 5)), replace=False)
    taken, free = places[: len(kinds)], places[len(kinds) :]
    for kind, place in zip(kinds, taken, strict=True):
        stays, gone = _stays(rng, place, free, start, end)
        things.append(Thing(str(kind), str(rng.choice(COLOURS)), stays, gone))
    return Scene(room, start, end, float(rng.uniform(0.85, 1.1)), tuple(things))


def _stays(
    rng: np.random.Generator, place: str, free: list[str], start: float, end: float
) -> tuple[tuple[Stay, ...], float]:
    """A thing's fate: it stays, comes late, moves once (to a place of ``free``) or leaves early."""
    length = end - start
    early, middle, late = (start + round(length * part) for part in (0.25, 0.5, 0.75))
    fate = rng.choice(["stays", "comes", "moves", "leaves"], p=[0.45, 0.2, 0.2, 0.15])
    if fate == "comes":
        return (Stay(early, place),), end
    if fate == "moves" and free:
        return (Stay(start, place), Stay(middle, free.pop())), end
    if fate == "leaves":
        return (Stay(start, place),), late
    return (Stay(start, place),), end
