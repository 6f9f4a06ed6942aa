"""Draws the sentences users say, and tells which of them training may hear.

Whether a sentence is held out follows from its words alone, so that every part of the project
agrees on it. It speaks nothing and knows no scene.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from omnilive_micropack.small_talk import CHINESE, FILLERS, REMARKS
from omnilive_micropack.templates import FORMS, IMPLICIT, SLOTS, fill, slots

TEST_PERCENT = 8
VALIDATION_PERCENT = 4
"""Shares of all sentences that training never hears: 12 % together."""

LONGEST_WORDS = 13

TRAINING, VALIDATION, TEST = "training", "validation", "test"

FILLER, REMARK = "filler", "remark"

KIND_SHARES = {"explicit": 0.42, "implicit": 0.18, REMARK: 0.3, FILLER: 0.1}
"""How often each part of the grammar is drawn."""

OPENER_SHARE = 0.15
"""Share of questions that begin with a filler word."""

WORD_LIST_SHARE = 0.12
"""Share of training texts that are words in random order, which only the sound can tell."""

SPLICE_SHARE = 0.18
"""Share of training texts made of the beginning of one sentence and the end of another, so that
every word meets many neighbours."""

CHINESE_SHARE = 0.03


@dataclass(frozen=True)
class Sentence:
    """Something said.

    Attributes:
        text: lower case, without punctuation.
        kind: a question's kind (see ``templates.Form``), ``filler`` or ``remark``.
        language: ``en`` or ``zh``.
    """

    text: str
    kind: str
    language: str = "en"

    @property
    def is_question(self) -> bool:
        """Whether it asks for an answer."""
        return self.kind not in (FILLER, REMARK)


def split(text: str) -> str:
    """Whether a sentence belongs to training, validation or test."""
    part = zlib.crc32(f"sentence {text}".encode()) % 100
    if part < TEST_PERCENT:
        return TEST
    return VALIDATION if part < TEST_PERCENT + VALIDATION_PERCENT else TRAINING


def vocabulary() -> tuple[str, ...]:
    """Every English word of the grammar, sorted."""
    templates = [t for form in FORMS.values() for t in form.templates]
    templates += [t for group in IMPLICIT.values() for t in group]
    templates += [*FILLERS, *REMARKS]
    texts = [fill(t, {name: " " for name in slots(t)}) for t in templates]
    texts += [value for values in SLOTS.values() for value in values]
    return tuple(sorted({word for text in texts for word in text.split()} | {"an"}))


def draw(rng: np.random.Generator) -> Sentence:
    """An English sentence of the grammar, held out or not."""
    part = str(rng.choice(list(KIND_SHARES), p=list(KIND_SHARES.values())))
    if part == FILLER:
        return Sentence(_pick(rng, FILLERS), FILLER)
    if part == REMARK:
        return Sentence(_filled(rng, _pick(rng, REMARKS)), REMARK)
    if part == "implicit":
        kind, template = part, _pick(rng, IMPLICIT[_pick(rng, tuple(IMPLICIT))])
    else:
        form = FORMS[_pick(rng, tuple(FORMS))]
        kind, template = form.kind, _pick(rng, form.templates)
    if rng.random() < OPENER_SHARE:
        template = "{opener} " + template
    return Sentence(_filled(rng, template), kind)


def draw_held_out(rng: np.random.Generator, part: str) -> Sentence:
    """An English sentence of ``TEST`` or ``VALIDATION``."""
    while split((sentence := draw(rng)).text) != part:
        pass
    return sentence


def draw_training(rng: np.random.Generator, words: tuple[str, ...]) -> Sentence:
    """A sentence, splice or word list that training may hear.

    Args:
        rng: where it is drawn from.
        words: the ``vocabulary()``, made once by the caller.
    """
    while split((sentence := _draw_training(rng, words)).text) != TRAINING:
        pass
    return sentence


def _draw_training(rng: np.random.Generator, words: tuple[str, ...]) -> Sentence:
    what = rng.random()
    if what < CHINESE_SHARE:
        return Sentence(_pick(rng, CHINESE), "chinese", "zh")
    if what < CHINESE_SHARE + WORD_LIST_SHARE:
        count = int(rng.integers(1, 7))
        return Sentence(" ".join(_pick(rng, words) for _ in range(count)), "words")
    if what < CHINESE_SHARE + WORD_LIST_SHARE + SPLICE_SHARE:
        return Sentence(_splice(rng), "splice")
    return draw(rng)


def _splice(rng: np.random.Generator) -> str:
    first, second = draw(rng).text.split(), draw(rng).text.split()
    head = first[: int(rng.integers(1, len(first) + 1))]
    tail = second[int(rng.integers(0, len(second))) :]
    return " ".join((head + tail)[:LONGEST_WORDS])


def _filled(rng: np.random.Generator, template: str) -> str:
    values: dict[str, str] = {}
    for name in slots(template):
        values[name] = _pick(rng, tuple(v for v in SLOTS[name] if v not in values.values()))
    return fill(template, values)


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
