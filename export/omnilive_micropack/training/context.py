"""Questions about one moment of a world, with what the prompt then shows and what it answers.

Retrieval is simulated: the prompt holds the clips that some of the questions are about, and a
question about anything else is rightly answered "not seen". It draws no picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from omnilive_micropack.question import Question
from omnilive_micropack.questions import ask
from omnilive_micropack.story import make_world
from omnilive_micropack.training.context_frames import Clip, clips_until, shown_seconds
from omnilive_micropack.vocabulary import PLACES, SILENCE, SOUNDS, SPEECH
from omnilive_micropack.wording import NOT_SEEN
from omnilive_micropack.world import World

Rng = np.random.Generator

KIND_WEIGHTS = {
    "now": 4,
    "colour": 2,
    "count": 5,
    "where": 4,
    "when_order": 5,
    "changed": 4,
    "who": 4,
    "this": 3,
    "implicit": 2,
    "exists": 4,
    "not_seen": 4,
}
"""How often each kind is tried; some can seldom be asked."""

MOST_OF_A_KIND = {"colour": 2, "implicit": 2, "this": 2, "changed": 2}
"""Questions of one kind in a context, at most; 3 of the others."""

LONE_KEPT = 0.3
"""Of the questions after a number whose answer is one, which is the usual answer."""

WORLD_SECONDS = (20.0, 240.0)
EARLIEST_S = 4.0
SHOWN_SHARE = 0.5
"""Moments at which something is held up, of the worlds in which anything is."""

MISSED_SHARE = 0.06
"""Most of a context's questions that are about clips it does not hold."""

NEWEST_SHARE, NEAR_MISS_SHARE = 0.3, 0.2
"""Contexts as a question about the present makes them, and as one does about a pair never shown
whose kind was: the newest clip is retrieved, or one with that kind. In the others it is the clips
of the evidence of a question, or of two."""

TWO_SHARE = 0.2
STRAY_SHARE = 0.3
"""Contexts that hold a clip nobody asks about, as retrieval may choose one."""

SOUND_SHARE, TYPED_SHARE = 0.06, 0.12
"""Utterances with the sound heard before them, and with a capital and a stop."""

TOLD_EACH_TIME = ("not seen", "no")
PRESENT = ("now", "count", "this")
"""Kinds that the newest frames answer."""


@dataclass(frozen=True)
class Asked:
    """One question in a context.

    Attributes:
        kind: what is scored together.
        answer: what the context says.
        groups: up to two sets of thing ids to look at, in this order; empty when nothing is shown.
        newest: whether only the newest frame counts.
    """

    kind: str
    form: str
    text: str
    answer: str
    accepted: tuple[str, ...]
    groups: tuple[frozenset[int], ...]
    newest: bool


@dataclass(frozen=True)
class Context:
    """What a prompt is made of.

    Attributes:
        seconds: times of the frames shown.
        clips: the clips until then; ``retrieved`` are indices of those selected.
    """

    world: World
    at_s: float
    clips: tuple[Clip, ...]
    retrieved: tuple[int, ...]
    seconds: tuple[int, ...]
    asked: tuple[Asked, ...]


def draw_context(rng: Rng, seeds: range, questions: int, most_frames: int) -> Context:
    """A context with up to ``questions`` questions about a world with a seed of ``seeds``."""
    while True:
        world = make_world(
            int(rng.integers(seeds.start, seeds.stop)), float(round(rng.uniform(*WORLD_SECONDS)))
        )
        at_s = _moment(rng, world)
        clips = clips_until(world, at_s)
        pool = _pool(rng, world, at_s, questions)
        retrieved = _retrieve(rng, world, pool, clips)
        seconds = shown_seconds(clips, retrieved, most_frames)
        asked = _answerable(rng, world, pool, seconds, questions)
        if asked:
            heard = tuple(replace(item, text=as_heard(rng, item.text, "?")) for item in asked)
            return Context(world, at_s, tuple(clips), retrieved, seconds, heard)


def _moment(rng: Rng, world: World) -> float:
    """When it is asked; often while something is held up."""
    shown = [
        (stay.start_s, end)
        for scene in world.scenes
        for thing in scene.things
        for stay, end in thing.spans()
        if stay.place == "shown" and end - stay.start_s > 7
    ]
    if shown and rng.random() < SHOWN_SHARE:
        start, end = shown[int(rng.integers(len(shown)))]
        return float(rng.integers(int(start) + 2, int(end) - 4))
    return float(rng.integers(int(EARLIEST_S), int(world.duration_s)))


def _pool(rng: Rng, world: World, at_s: float, questions: int) -> list[Question]:
    kinds = list(KIND_WEIGHTS)
    weights = np.array([KIND_WEIGHTS[kind] for kind in kinds], float)
    pool = []
    for kind in rng.choice(kinds, size=questions * 4, p=weights / weights.sum()):
        question = ask(world, at_s, rng, str(kind))
        if question is not None:
            pool.append(question)
    return pool


def _retrieve(
    rng: Rng, world: World, pool: Sequence[Question], clips: Sequence[Clip]
) -> tuple[int, ...]:
    """The clips that a session might select, of which ``pool`` are then asked."""
    drawn = rng.random()
    if drawn < NEWEST_SHARE:
        chosen = {len(clips) - 1}
    elif drawn < NEWEST_SHARE + NEAR_MISS_SHARE:
        chosen = _of_missed_kind(rng, world, pool, clips)
    else:
        chosen = _of_evidence(rng, pool, clips)
    if rng.random() < STRAY_SHARE:
        chosen.add(int(rng.integers(len(clips))))
    return tuple(sorted(chosen)[:4])


def _of_evidence(rng: Rng, pool: Sequence[Question], clips: Sequence[Clip]) -> set[int]:
    """A clip of each evidence of one question or two about the past."""
    chosen: set[int] = set()
    past = [q for q in pool if q.evidence and q.kind not in PRESENT]
    for _ in range(1 + int(rng.random() < TWO_SHARE) if past else 0):
        question = past[int(rng.integers(len(past)))]
        for start, end in question.evidence:
            there = [i for i, clip in enumerate(clips) if _overlaps(clip, start, end)]
            if there:
                chosen.add(there[int(rng.integers(len(there)))])
    return chosen


def _of_missed_kind(
    rng: Rng, world: World, pool: Sequence[Question], clips: Sequence[Clip]
) -> set[int]:
    """A clip with the kind that a question names about whose pair was never shown."""
    named = {word for q in pool if not q.evidence for word in q.text.split()}
    alike = [t for scene in world.scenes for t in scene.things if t.kind in named]
    there = [i for i, c in enumerate(clips) if any(t.visible(s) for t in alike for s in c.seconds)]
    return {there[int(rng.integers(len(there)))]} if there else set()


def _overlaps(clip: Clip, start: float, end: float) -> bool:
    return any(start <= second < end for second in clip.seconds)


def _answerable(
    rng: Rng, world: World, pool: Sequence[Question], seconds: Sequence[int], wanted: int
) -> list[Asked]:
    missed = round(wanted * MISSED_SHARE)
    asked: list[Asked] = []
    for question in pool:
        item = _as_shown(world, question, seconds)
        if item is None:
            continue
        most = MOST_OF_A_KIND.get(item.kind, 3)
        if sum(other.kind == item.kind for other in asked) >= most:
            continue
        if item.kind == "count" and item.answer == "one" and rng.random() > LONE_KEPT:
            continue
        if question.evidence and item.answer in TOLD_EACH_TIME and not item.groups:
            if not missed:
                continue
            missed -= 1
        asked.append(item)
        if len(asked) == wanted:
            break
    return asked


def _as_shown(world: World, question: Question, seconds: Sequence[int]) -> Asked | None:
    """The question with the answer that frames at ``seconds`` give; None when they are unclear."""
    if not question.evidence:
        return _told(question, question.answer, (), newest=False)
    hits = [any(start <= s < end for s in seconds) for start, end in question.evidence]
    things = {t.id: t for scene in world.scenes for t in scene.things}
    seen = {i for i in question.referents if any(things[i].visible(float(s)) for s in seconds)}
    newest = question.kind in PRESENT or (question.form == "who_there" and " now" in question.text)
    if question.kind == "changed":
        return _changed(question, seconds)
    if question.form.startswith("order"):
        first, second = question.referents
        if not {first, second} <= seen:
            return None
        return _told(question, question.answer, ({first}, {second}), newest=False)
    if question.form in ("what_before", "what_after"):
        *found, thing = question.referents
        if not ({thing, *found} <= seen and all(hits)):
            return None
        return _told(question, question.answer, ({thing}, set(found)), newest=False)
    if question.form == "when":
        return _told(question, question.answer, (seen,), newest=False) if seen else None
    if not any(hits):
        if seen:
            return None
        said = "no" if question.kind == "exists" else NOT_SEEN
        return _told(question, said, (), newest=False)
    if question.form == "where" and len(_places_of(question)) > 1:
        return None
    if question.form == "who_did":
        thing, person = question.referents
        return _told(question, question.answer, ({thing}, {person}), newest=False)
    return _told(question, question.answer, (seen,), newest=newest)


def _places_of(question: Question) -> tuple[str, ...]:
    return tuple(form for form in question.accepted if form in PLACES)


def _changed(question: Question, seconds: Sequence[int]) -> Asked | None:
    ((start, end),) = question.evidence
    inside = [s for s in seconds if start <= s <= end]
    if len(inside) < 2 or max(inside) - min(inside) < (end - start) / 2:
        return None
    return _told(question, question.answer, (set(question.referents),), newest=False)


def _told(question: Question, answer: str, groups: tuple[set[int], ...], *, newest: bool) -> Asked:
    return Asked(
        question.kind if answer != NOT_SEEN else "not_seen",
        question.form,
        question.text,
        answer,
        question.accepted,
        tuple(frozenset(group) for group in groups if group),
        newest,
    )


def as_heard(rng: Rng, text: str, stop: str = "") -> str:
    """The sentence, sometimes as somebody types it, sometimes with a sound before it (spec §3.2).

    ``stop`` is what ends it when it is typed.
    """
    if rng.random() < TYPED_SHARE:
        text = text[0].upper() + text[1:] + stop
    if rng.random() < SOUND_SHARE:
        labels = [sound for sound in SOUNDS if sound not in (SPEECH, SILENCE)]
        text = f"Sound classification: {labels[int(rng.integers(len(labels)))]}. {text}"
    return text
