"""Seeing and answering, a stream at a time: cuts, retrieval, and answers to typed questions.

One memory of a stream serves all its questions and every variant that remembers alike. Truth is
only compared with, after an answer or a choice is there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from omnilive.memory.clip import Clip
from omnilive.memory.cut_fit import matches
from omnilive.memory.selection import ranking
from omnilive.session import evidence
from omnilive.sources.types import US_PER_SECOND
from omnilive_micropack.painting import paint
from omnilive_micropack.question import Question
from omnilive_micropack.questions import KINDS
from omnilive_micropack.story import make_world
from omnilive_micropack.wording import NOT_SEEN_FORMS, is_accepted
from omnilive_micropack.world import World
from scoring.asking import age_s, by_second, questions_of_ages, questions_of_kinds
from scoring.bars import AGES_S, recall_name
from scoring.groups import Scale
from scoring.result import Item, Tallies, baseline_of, right
from scoring.seeding import test_seed
from scoring.variants import AUDIO, Variant
from scoring.watching import Answering, Memory, Watching, keyframe_store

FRAME_SIZE = (640, 360)
RECALLS = ("explicit", "implicit", "present")
DEPTHS = (1, 4)
"""k of recall@k."""

LONG_ITEMS = 340
"""Questions of each age in a long stream."""

CUTS_PER_SECOND = 0.05
"""At least so many scenes begin in a second of the world."""


@dataclass(frozen=True)
class _Part:
    """A stream and what is asked about it."""

    world: World
    questions: tuple[Question, ...]
    is_long: bool


class Seeing:
    """A ``Group``: see there. Its last parts are the long streams, which are asked by age only."""

    name = "seeing"

    def __init__(self, seed: int, scale: Scale) -> None:
        self._seed = seed
        self._scale = scale
        self._streams = max(1, math.ceil(scale.items / (CUTS_PER_SECOND * scale.stream_s) * 1.2))
        self._per_kind = math.ceil(scale.items / self._streams)
        self._long_streams = math.ceil(scale.items / LONG_ITEMS) if scale.long_stream_s else 0
        self.parts = self._streams + self._long_streams
        self.identity = f"{self.name} {seed} {scale}"

    def measures(self) -> tuple[str, ...]:
        """See ``Group``."""
        recalls = [recall_name(k, part) for k in DEPTHS for part in (*RECALLS, *AGES_S)]
        answers = [f"text_{kind}" for kind in KINDS]
        return ("cut_f1", *recalls, *answers, "text_wrongly_not_seen")

    def seconds(self, part: int) -> float:
        """See ``Group``."""
        if part >= self._streams:
            return 0.02 * self._scale.long_stream_s + 0.06 * len(AGES_S) * self._per_age
        return 0.02 * self._scale.stream_s + 0.15 * len(KINDS) * self._per_kind

    @property
    def _per_age(self) -> int:
        return math.ceil(self._scale.items / self._long_streams)

    def wanted(self, variant: Variant) -> bool:
        """See ``Group``: without the sound nothing changes here."""
        return variant.ablated != {AUDIO}

    def score(
        self, part: int, variants: Sequence[Variant], folder: Path
    ) -> Iterator[tuple[Variant, Tallies]]:
        """See ``Group``."""
        material = self._material(part)
        ordered = sorted(variants, key=_remembers)
        for i, (_, alike) in enumerate(groupby(ordered, key=_remembers)):
            together = list(alike)
            found = _watched(part, material, together, folder / str(i))
            yield from zip(together, found, strict=True)

    def _material(self, part: int) -> _Part:
        scale = self._scale
        is_long = part >= self._streams
        seconds = scale.long_stream_s if is_long else scale.stream_s
        world = make_world(test_seed(self._seed, self.name, part), seconds)
        if is_long:
            asked = questions_of_ages(world, self._per_age)
        else:
            asked = questions_of_kinds(world, self._per_kind)
        return _Part(world, tuple(asked), is_long)


def _remembers(variant: Variant) -> str:
    """Variants with the same of this have the same memory of a stream."""
    config = variant.config
    parts = (
        config.segmentation,
        config.compression,
        config.long_term,
        config.store,
        config.keyframes,
        config.source,
    )
    return f"{variant.pack.path} {parts}"


def _watched(
    part: int, material: _Part, variants: Sequence[Variant], folder: Path
) -> list[dict[str, list[Item]]]:
    """The items of each variant over one stream; they remember alike."""
    first = variants[0]
    keyframes = keyframe_store(folder, first.config)
    watching = Watching(first.pack, first.config, keyframes)
    judges = [_Judge(part, v, Answering(v.pack, v.config, keyframes)) for v in variants]
    asked = by_second(material.questions)
    cuts: list[int] = []
    for second in range(int(material.world.duration_s)):
        rgb = paint(material.world, float(second), FRAME_SIZE)
        if watching.see(second * US_PER_SECOND, rgb) == "cut":
            cuts.append(second)
        questions = asked.get(second, ())
        if questions:
            memory = watching.memory()
            for judge in judges:
                for question in questions:
                    judge.take(question, memory, answered=not material.is_long)
    keyframes.clear()
    truth = [int(cut) for cut in material.world.cuts_s]
    cut = Item(str(part), 2 * matches(cuts, truth), len(cuts) + len(truth))
    return [{"cut_f1": [cut], **judge.found} for judge in judges]


class _Judge:
    """Asks one variant and keeps its items."""

    def __init__(self, part: int, variant: Variant, answering: Answering) -> None:
        self.found: dict[str, list[Item]] = {}
        self._part = part
        self._answering = answering
        self._unseeing: dict[str, str] = {}

    def take(self, question: Question, memory: Memory, *, answered: bool) -> None:
        """Ask ``question``; without ``answered`` only what it brings back is scored."""
        grounded = self._answering.ground(question.text, memory)
        key = f"{self._part}.{question.asked_s:.3f} {question.text}"
        if question.evidence:
            self._retrieved(key, question, grounded, by_age=not answered)
        if answered:
            self._answered(key, question, self._answering.answer(grounded))

    def _retrieved(
        self, key: str, question: Question, grounded: evidence.Question, *, by_age: bool
    ) -> None:
        shows = [overlaps(clip, question.evidence) for clip in grounded.known]
        order = ranking(grounded.scores.tolist())
        age = age_s(question)
        parts: list[str | int] = list([upper for upper in AGES_S if 0 < age <= upper][:1])
        if not by_age:
            # Nothing has to be found for what is to be seen at this moment.
            past = "implicit" if question.implicit else "explicit"
            parts.append(past if age > 0 else "present")
        for k in DEPTHS:
            hit = any(shows[i] for i in order[:k])
            chance = 1 - missed_by_chance(len(shows), sum(shows), k)
            for part in parts:
                name = recall_name(k, part)
                self._add(name, right(key, hit))
                self._add(baseline_of(name), Item(key, chance))

    def _answered(self, key: str, question: Question, said: str) -> None:
        name = f"text_{question.kind}"
        if question.text not in self._unseeing:
            self._unseeing[question.text] = self._answering.answer_unseeing(question.text)
        blind = self._unseeing[question.text]
        self._add(name, right(key, is_accepted(said, question.accepted)))
        self._add(baseline_of(name), right(key, is_accepted(blind, question.accepted)))
        if question.kind != "not_seen":
            name = "text_wrongly_not_seen"
            self._add(name, right(key, is_accepted(said, NOT_SEEN_FORMS)))
            self._add(baseline_of(name), right(key, is_accepted(blind, NOT_SEEN_FORMS)))

    def _add(self, name: str, item: Item) -> None:
        self.found.setdefault(name, []).append(item)


def overlaps(clip: Clip, spans: Sequence[tuple[float, float]]) -> bool:
    """Whether a clip overlaps one of these intervals, seconds."""
    start_s, end_s = clip.start_us / US_PER_SECOND, clip.end_us / US_PER_SECOND
    return any(start_s < end and start < end_s for start, end in spans)


def missed_by_chance(clips: int, showing: int, k: int) -> float:
    """How probably none of ``k`` clips drawn at random is one of those ``showing``."""
    return math.comb(clips - showing, k) / math.comb(clips, k) if clips >= k else float(not showing)
