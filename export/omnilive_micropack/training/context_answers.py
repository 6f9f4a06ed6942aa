"""What frames of a world answer to questions about it.

A question about anything that they do not show is rightly answered "not seen". It chooses no frames
and draws no picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnilive_micropack.question import Question
from omnilive_micropack.vocabulary import PLACES, SILENCE, SOUNDS, SPEECH
from omnilive_micropack.wording import NOT_SEEN
from omnilive_micropack.world import World

Rng = np.random.Generator

MOST_OF_A_KIND = {"count": 3, "now": 3, "where": 3, "when_order": 3, "who": 3}
"""Questions of one kind in a context, at most; 2 of the others."""

MOST_DENIED = 1
"""Questions of a kind with the answer that it was not seen: such can always be asked."""

LONE_KEPT = 0.3
"""Of the questions after a number whose answer is one, which is the usual answer."""

MOMENT, MOMENT_KEPT = "a moment ago", 0.15
"""An answer that is usual in the short worlds of training, and how many of them are kept: in a
session most of what is asked about was seen minutes ago."""

MISSED_SHARE = 0.06
"""Most of a context's questions that are about clips it does not hold."""

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


def answerable(
    rng: Rng, world: World, pool: Sequence[Question], seconds: Sequence[int], wanted: int
) -> list[Asked]:
    """Up to ``wanted`` questions of ``pool`` with the answers that frames at ``seconds`` give.

    Those to which they give no clear answer are left out.
    """
    missed = round(wanted * MISSED_SHARE)
    asked: list[Asked] = []
    for question in pool:
        item = _as_shown(world, question, seconds)
        if item is None:
            continue
        denied = item.answer in TOLD_EACH_TIME and not item.groups
        most = MOST_DENIED if denied else MOST_OF_A_KIND.get(item.kind, 2)
        alike = (
            a for a in asked if a.kind == item.kind and (a.answer == item.answer or not denied)
        )
        if sum(1 for _ in alike) >= most:
            continue
        if item.kind == "count" and item.answer == "one" and rng.random() > LONE_KEPT:
            continue
        if item.answer == MOMENT and rng.random() > MOMENT_KEPT:
            continue
        if question.evidence and denied:
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
