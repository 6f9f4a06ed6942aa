"""What a clip shows of every object, frame by frame, and which of its clips a question is about.

Truth from the story, in arrays; it puts nothing into words and knows no network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnilive_micropack.sightings import LOOK_S, scene_events
from omnilive_micropack.training.memory_data import Bools, EncodedClip
from omnilive_micropack.vocabulary import COLOURS, OBJECTS, ROOMS
from omnilive_micropack.world import HELD, Scene, Thing, World

SEEN, IN_HANDS, ARRIVED, FOLLOWED = range(4)
"""What may be asked of an object: that it is seen; that somebody holds it; that it came into a
picture already begun; that something came into the picture after it."""

ASPECTS = 4
ANY = len(COLOURS)
"""Colour of a subject that is named by its kind alone."""

SOMEBODY, DEED = range(2)
"""What may be asked of a room: who was there; what changed there."""

ROOM_ASPECTS = 2

RIGHT, WRONG, UNCLEAR = 1, 0, -1
CLEAR_FRAMES = 2
"""What is in fewer frames of a longer clip is neither right nor wrong to find."""

Rights = npt.NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Shown:
    """What some frames show.

    Attributes:
        objects: right, wrong or unclear, int8 [ASPECTS, kinds, colours + 1].
        rooms: right, wrong or unclear, int8 [ROOM_ASPECTS, rooms].
    """

    objects: Rights
    rooms: Rights


@dataclass(frozen=True, eq=False)
class ClipThings:
    """The objects of one clip.

    Attributes:
        kinds, colours: int64 [things].
        seen, held: bool [things, frames].
        late: whether each came after its scene had begun.
        followers: positions of the things that came next after each in its scene.
        people: whether somebody is there: bool [frames].
        unheld: whether something came, left or moved in nobody's hands about then.
        room: index of the clip's room.
    """

    kinds: npt.NDArray[np.int64]
    colours: npt.NDArray[np.int64]
    seen: Bools
    held: Bools
    late: Bools
    followers: tuple[tuple[int, ...], ...]
    people: Bools
    unheld: bool
    room: int

    def shown(self, frames: npt.NDArray[np.int64]) -> Shown:
        """What these frames of the clip show."""
        objects = np.zeros((ASPECTS, len(OBJECTS), ANY + 1), np.int8)
        count = self.seen[:, frames].sum(axis=1)
        held: Bools = np.any(self.held[:, frames], axis=1)
        clear = count >= min(CLEAR_FRAMES, len(frames))
        came: Bools = np.logical_and(self.late, ~self.seen[:, frames[0]])
        for i in count.nonzero()[0]:
            followed = any(count[j] for j in self.followers[i])
            for colour in (self.colours[i], ANY):
                one = objects[:, self.kinds[i], colour]
                one[SEEN] = RIGHT if clear[i] or one[SEEN] == RIGHT else UNCLEAR
                one[IN_HANDS] |= held[i]
                one[FOLLOWED] |= followed
                if came[i]:
                    one[ARRIVED] = RIGHT
                elif self.late[i] and len(frames) == 1 and one[ARRIVED] == WRONG:
                    one[ARRIVED] = UNCLEAR
        rooms = np.zeros((ROOM_ASPECTS, len(ROOMS)), np.int8)
        rooms[:, self.room] = self.people[frames].any(), held.any()
        if self.unheld and not held.any():
            rooms[DEED, self.room] = UNCLEAR
        return Shown(objects, rooms)


def things_of(world: World, clip: EncodedClip) -> ClipThings:
    """The objects of a clip that still has all its frames."""
    times = np.arange(clip.start_s, clip.end_s)
    scenes = [s for s in world.scenes if s.start_s < clip.end_s and clip.start_s < s.end_s]
    found = [
        (scene, thing, seen)
        for scene in scenes
        for thing in scene.things
        if (seen := (thing.start_s <= times) & (times < thing.end_s)).any()
    ]
    objects = [(scene, thing, seen) for scene, thing, seen in found if not thing.is_figure]
    at = {thing.id: i for i, (_, thing, _) in enumerate(objects)}
    shape = (len(objects), len(times))
    held = [_held(thing, seen, times) for _, thing, seen in objects]
    people = np.array([seen for _, thing, seen in found if thing.is_figure], bool)
    somebody: Bools = np.any(people.reshape(-1, len(times)), axis=0)
    return ClipThings(
        np.array([OBJECTS.index(thing.kind) for _, thing, _ in objects], np.int64),
        np.array([COLOURS.index(thing.colour) for _, thing, _ in objects], np.int64),
        np.array([seen for _, _, seen in objects], bool).reshape(shape),
        np.array(held, bool).reshape(shape),
        np.array([thing.start_s > scene.start_s for scene, thing, _ in objects], bool),
        tuple(
            tuple(at[i] for i in _followers(scene, thing) if i in at) for scene, thing, _ in objects
        ),
        somebody,
        any(_unheld(scene, clip) for scene in scenes),
        clip.room,
    )


def _unheld(scene: Scene, clip: EncodedClip) -> bool:
    return any(
        event.person is None
        and event.start_s - LOOK_S < clip.end_s
        and clip.start_s < event.end_s + LOOK_S
        for event in scene_events(scene)
    )


def _held(thing: Thing, seen: Bools, times: npt.NDArray[np.int64]) -> list[bool]:
    pairs = zip(seen, times, strict=True)
    return [bool(there) and thing.stay(float(at_s)).place == HELD for there, at_s in pairs]


def _followers(scene: Scene, thing: Thing) -> list[int]:
    """Ids of the objects that came next after a thing, as ``asking_events`` understands it."""
    later = [t for t in scene.things if not t.is_figure and t.start_s > thing.start_s]
    if not later:
        return []
    first = min(t.start_s for t in later)
    return [t.id for t in later if t.start_s <= first + LOOK_S]
