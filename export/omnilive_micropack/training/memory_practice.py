"""The memory's last lessons: clips of many worlds at once, everything that they show asked about.

What is drawn for a step, and what is in it to be learned; it moves no weights. Three things are
learned together: which clips show what a question names, told apart from hundreds of others; that
a question about the present means the newest row of long-term memory; and both at once, as they
are met in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnilive_micropack.questions import ask
from omnilive_micropack.sightings import LOOK_S, Event, scene_events
from omnilive_micropack.training.memory_asks import Asked, draw_asked
from omnilive_micropack.training.memory_batches import LONGEST_OFFSET_S, overlaps, seen_clips
from omnilive_micropack.training.memory_data import Bools, EncodedClip, EncodedWorld
from omnilive_micropack.training.memory_rows import IN_SIGHT, NEARLY, SORTS, RowFacts
from omnilive_micropack.training.memory_things import ClipThings, Shown, things_of
from omnilive_micropack.vocabulary import ROOMS

Rng = np.random.Generator

CLIPS = ((1, 24, 1), (4, 8, 1), (8, 8, 6), (16, 5, 9))
"""Frames of a clip at most, how many such clips, and the frames their whole clips have at least."""

QUESTIONS = 112
REMEMBERING = 28
"""Questions of a step that come after long-term memory."""

VISITED_CLIPS = 45
FEWEST_CLIPS = 4
LONGEST_WINDOW, SLIDE = 32, 8
"""Most rows of long-term memory; of a longer stream there are up to ``SLIDE`` - 1 fewer."""

WHOLE_WINDOW_SHARE = 0.7
VISIT_KINDS = (
    *("now", "now", "count", "this", "exists", "exists", "exists", "exists", "colour"),
    *("implicit", "implicit", "changed", "changed", "changed", "changed", "changed", "changed"),
    *("who", "who", "who", "who", "who", "who", "where", "where", "where", "where", "where"),
    *("when_order", "when_order", "when_order", "when_order", "when_order", "when_order"),
)
MOST_ASKED = 24
EARLIEST_S = 20.0
OFFSET_SHARE = 0.5
SEEDS_APART = 100_000
"""No world is so many seconds long."""

AFTER_DEED_SHARE = 0.4
"""Of the moments of a visit: those soon after somebody did something."""

FRESH_S, LASTING_S = 2.1, 5.1
"""What was done is over so long, and its scene still goes on so long, when it is asked about."""


@dataclass(frozen=True, eq=False)
class Practice:
    """Clips of any worlds and questions about them.

    Attributes:
        shown: what each clip shows, in the order of ``clips``.
    """

    clips: tuple[EncodedClip, ...]
    shown: tuple[Shown, ...]
    asked: tuple[Asked, ...]
    offset_s: int


@dataclass(frozen=True, eq=False)
class Visit:
    """A stretch of a world as it is remembered at one moment, and questions asked then.

    Attributes:
        clips: in order of time; the last ``window`` are in long-term memory.
        facts: of each of those ``window``.
        shown: what each clip shows.
        shows: which clips show the answer: bool [questions, clips], each at least one.
    """

    clips: tuple[EncodedClip, ...]
    window: int
    facts: tuple[RowFacts, ...]
    shown: tuple[Shown, ...]
    texts: tuple[str, ...]
    shows: Bools
    offset_s: int


class Things:
    """The things of the clips of the worlds of a step, found once for each world."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[EncodedWorld, tuple[ClipThings, ...]]] = {}

    def of(self, worlds: Sequence[EncodedWorld]) -> list[tuple[EncodedClip, ClipThings]]:
        """Every clip of the worlds with its things; other worlds are forgotten."""
        known = {}
        for encoded in worlds:
            found = self._known.get(id(encoded))
            things = (
                found[1]
                if found
                else tuple(things_of(encoded.world, clip) for clip in encoded.clips)
            )
            known[id(encoded)] = (encoded, things)
        self._known = known
        pairs = [zip(encoded.clips, things, strict=True) for encoded, things in known.values()]
        return [pair for one in pairs for pair in one]


def draw_practice(clips: Sequence[tuple[EncodedClip, ClipThings]], rng: Rng) -> Practice:
    """Some of the clips, single frames, thinned and whole ones, and questions about them."""
    chosen, shown = [], []
    for most, count, least in CLIPS:
        fitting = [i for i, (clip, _) in enumerate(clips) if len(clip.features) >= least]
        for i in rng.choice(fitting or range(len(clips)), count):
            clip, things = clips[int(i)]
            frames = _frames(len(clip.features), most, rng)
            alone = len(frames) == 1
            chosen.append(clip.only(int(frames[0])) if alone else clip.of(frames))
            shown.append(things.shown(frames))
    asked = draw_asked(shown, rng, QUESTIONS)
    return Practice(tuple(chosen), tuple(shown), tuple(asked), int(rng.integers(LONGEST_OFFSET_S)))


def _frames(count: int, most: int, rng: Rng) -> npt.NDArray[np.int64]:
    """One frame of each of ``most`` equal parts of a clip, or all of its frames."""
    if count <= most:
        return np.arange(count)
    return ((np.arange(most) + rng.random(most)) * count / most).astype(np.int64)


def draw_visit(worlds: Sequence[EncodedWorld], rng: Rng) -> Visit:
    """A moment of one of the worlds."""
    while True:
        encoded = worlds[int(rng.integers(len(worlds)))]
        at_s = _moment(encoded, rng)
        clips = seen_clips(encoded.clips, at_s)[-VISITED_CLIPS:]
        if len(clips) < FEWEST_CLIPS:
            continue
        tried = [ask(encoded.world, at_s, rng, kind) for kind in VISIT_KINDS]
        spans = {q.text: q.evidence for q in tried if q is not None}
        shows = {t: [overlaps(clip, evidence) for clip in clips] for t, evidence in spans.items()}
        texts = [text for text, shown in shows.items() if any(shown)]
        if texts:
            texts = [texts[int(i)] for i in rng.permutation(len(texts))[:MOST_ASKED]]
            window = min(len(clips), LONGEST_WINDOW - int(rng.integers(SLIDE)))
            if rng.random() > WHOLE_WINDOW_SHARE:
                window = int(rng.integers(1, window + 1))
            things = [things_of(encoded.world, clip) for clip in clips]
            return Visit(
                clips,
                window,
                tuple(
                    _facts(encoded, clip, seen)
                    for clip, seen in zip(clips[-window:], things[-window:], strict=True)
                ),
                tuple(
                    t.shown(np.arange(len(c.features))) for t, c in zip(things, clips, strict=True)
                ),
                tuple(texts),
                np.array([shows[text] for text in texts], bool),
                int(rng.integers(LONGEST_OFFSET_S)) if rng.random() < OFFSET_SHARE else 0,
            )


def _moment(encoded: EncodedWorld, rng: Rng) -> float:
    world = encoded.world
    if rng.random() < AFTER_DEED_SHARE:
        spans = [
            (event.end_s + FRESH_S, scene.end_s - LASTING_S)
            for scene in world.scenes
            for event in scene_events(scene)
        ]
        spans = [(start, end) for start, end in spans if start < end]
        if spans:
            return float(rng.uniform(*spans[int(rng.integers(len(spans)))]))
    return float(rng.uniform(EARLIEST_S, world.duration_s - LASTING_S))


def _facts(encoded: EncodedWorld, clip: EncodedClip, things: ClipThings) -> RowFacts:
    scene = encoded.world.scene_at(clip.end_s - 1)
    events = scene_events(scene)
    begun = [e.kind for e in events if e.start_s < clip.end_s]
    world = encoded.world.seed * SEEDS_APART
    return RowFacts(
        clip=world + clip.start_s,
        scene=world + int(scene.start_s),
        room=ROOMS.index(scene.room),
        somebody=bool(things.people.any()),
        sight=tuple(max([0, *(_sight(e, clip) for e in events if e.kind == s)]) for s in SORTS),
        counts=tuple(begun.count(sort) for sort in SORTS),
    )


def _sight(event: Event, clip: EncodedClip) -> int:
    """How much of a change a clip shows."""
    if event.start_s < clip.end_s and clip.start_s <= event.end_s:
        return IN_SIGHT
    near = event.start_s - LOOK_S < clip.end_s and clip.start_s < event.end_s + LOOK_S
    return NEARLY if near else 0
