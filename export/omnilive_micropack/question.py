"""What a question is, with its true answer. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from omnilive_micropack.sightings import Span
from omnilive_micropack.wording import NOT_SEEN, NOT_SEEN_FORMS


@dataclass(frozen=True)
class Question:
    """A question that has one right answer at the time it is asked.

    Attributes:
        kind: what is scored together; one of ``questions.KINDS``.
        form: the form of ``templates.py`` it is put in, or ``implicit``.
        text: lower case, without punctuation, as speech recognition gives it.
        asked_s: when it begins, stream seconds.
        evidence: when what answers it can be seen, stream seconds; empty when nothing does.
        answer: the canonical answer.
        accepted: all the ways of putting right answers, ``answer`` among them.
        implicit: the thing asked about is meant and not named.
        referents: ids of the things it is about. For training's supervision only.
    """

    kind: str
    form: str
    text: str
    asked_s: float
    evidence: tuple[Span, ...]
    answer: str
    accepted: tuple[str, ...]
    implicit: bool = False
    referents: tuple[int, ...] = ()


def not_seen(form: str, text: str, asked_s: float, *, implicit: bool = False) -> Question:
    """A question about what was never shown."""
    return Question("not_seen", form, text, asked_s, (), NOT_SEEN, NOT_SEEN_FORMS, implicit)
