"""What a world is: which rooms are shown when, and what stands, moves, is held and leaves in them.

Data and look-ups only, all of it ground truth. It draws no picture and no random number;
``story.py`` invents worlds.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from omnilive_micropack.vocabulary import FIGURES

HELD = "held"
"""In the hands of a person, who is the stay's holder."""

SHOWN = "shown"
"""Held up large in front of the camera by the one who asks."""

STANDING = "standing"
"""Where people are."""


@dataclass(frozen=True)
class Stay:
    """From ``start_s`` on a thing is at ``place``, until its next stay or its end.

    Attributes:
        place: one of the vocabulary's places, HELD, SHOWN or STANDING.
        holder: the ``Thing.id`` of who holds it; only with HELD.
    """

    start_s: float
    place: str
    holder: int | None = None


@dataclass(frozen=True)
class Thing:
    """One object or person of one scene.

    Attributes:
        id: unique in its world.
        stays: where it is, in order of time; the first begins when it appears.
        end_s: when it is gone; times are stream seconds.
        column: for people, which of the two standing places is theirs (0 or 1).
    """

    id: int
    kind: str
    colour: str
    stays: tuple[Stay, ...]
    end_s: float
    column: int = 0

    @property
    def start_s(self) -> float:
        """When it appears, stream seconds."""
        return self.stays[0].start_s

    @property
    def is_figure(self) -> bool:
        """Whether it is a person."""
        return self.kind in FIGURES

    @property
    def pair(self) -> tuple[str, str]:
        """Kind and colour."""
        return self.kind, self.colour

    def visible(self, at_s: float) -> bool:
        """Whether it is in the picture at a time."""
        return self.start_s <= at_s < self.end_s

    def stay(self, at_s: float) -> Stay:
        """Its stay at a time. Raises ValueError when it is not visible."""
        if not self.visible(at_s):
            raise ValueError(f"the {self.colour} {self.kind} is not visible at {at_s} s")
        return [s for s in self.stays if s.start_s <= at_s][-1]

    def spans(self) -> tuple[tuple[Stay, float], ...]:
        """Each stay with the time at which it ends."""
        ends = [*(s.start_s for s in self.stays[1:]), self.end_s]
        return tuple(zip(self.stays, ends, strict=True))


@dataclass(frozen=True)
class Scene:
    """One room, shown from ``start_s`` to ``end_s`` (stream seconds)."""

    room: str
    start_s: float
    end_s: float
    brightness: float
    things: tuple[Thing, ...]

    def visible(self, at_s: float) -> tuple[Thing, ...]:
        """What is in the picture at a time."""
        return tuple(thing for thing in self.things if thing.visible(at_s))


@dataclass(frozen=True)
class World:
    """A whole video; scenes follow each other without a gap from 0.

    Attributes:
        holdout: whether kinds may be seen, and asked about, in colours held out from training.
    """

    seed: int
    holdout: bool
    scenes: tuple[Scene, ...]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.scenes[-1].end_s

    @property
    def cuts_s(self) -> tuple[float, ...]:
        """Times at which the picture changes to another scene, seconds."""
        return tuple(scene.start_s for scene in self.scenes[1:])

    @cached_property
    def _ends(self) -> list[float]:
        return [scene.end_s for scene in self.scenes]

    def scene_at(self, at_s: float) -> Scene:
        """The scene shown at a time; the last one from its start on."""
        return self.scenes[min(bisect.bisect_right(self._ends, at_s), len(self.scenes) - 1)]

    def until(self, at_s: float) -> Iterator[Scene]:
        """The scenes that have begun by a time, in order."""
        return (scene for scene in self.scenes if scene.start_s <= at_s)
