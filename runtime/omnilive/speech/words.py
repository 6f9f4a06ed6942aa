"""Which word sounds when: the words of a text tied to samples of its audio. Pure arithmetic."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from omnilive.engine.interface import F32

AUDIBLE = 1e-3
"""A sample no louder than this is silence (-60 dB of full scale)."""

_CJK = "\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]|[^\s{_CJK}]+")


@dataclass(frozen=True)
class Word:
    """One unit of speech: it reaches from ``start`` to the next word's start.

    Attributes:
        start: index of its first character in the text; 0 for the first word.
        ends_at: index just after its last audible sample.
    """

    start: int
    ends_at: int


@dataclass(frozen=True, eq=False)
class Spoken:
    """A text said aloud.

    Attributes:
        text: all of it, as it was given.
        samples: float32 [n] in [-1, 1], 16 kHz mono; empty when nothing of it is sayable.
        words: in the order of the text, ascending in both fields; none without samples.
    """

    text: str
    samples: F32
    words: tuple[Word, ...]

    def said(self, played: int) -> int:
        """Characters of the text whose words have ended within the first ``played`` samples."""
        for word in self.words:
            if word.ends_at > played:
                return word.start
        return len(self.text)


def word_starts(text: str) -> tuple[int, ...]:
    """Where each word begins, the first one at 0.

    A word is a CJK character or a run of others between spaces; a run without a letter or digit
    (a dash, a bracket) belongs to the word before it. Nothing else than spaces gives ``(0,)``.
    """
    starts = [m.start() for m in _WORD.finditer(text) if any(c.isalnum() for c in m.group())]
    return (0, *starts[1:])


def timed(text: str, samples: F32, began: Iterable[tuple[int, int]]) -> Spoken:
    """``text`` with the word times a voice told.

    Args:
        text: what was said.
        samples: its audio.
        began: character index and sample index of the beginning of each word, as the voice saw
            them. It may begin one word twice (a number) or leave one out (two said as one): the
            first beginning counts, and a word left out belongs to the one before it.
    """
    if not len(samples):
        return Spoken(text, samples, ())
    starts = word_starts(text)
    first: list[tuple[int, int]] = []
    for at, sample in began:
        start = starts[max(0, bisect_right(starts, at) - 1)]
        sample = min(max(sample, 0), len(samples))
        if not first or (start > first[-1][0] and sample >= first[-1][1]):
            first.append((start, sample))
    if not first:
        return proportional(text, samples)
    ends = [sample for _, sample in first[1:]] + [len(samples)]
    words = [
        Word(0 if i == 0 else start, _audible_end(samples, sample, end))
        for i, ((start, sample), end) in enumerate(zip(first, ends, strict=True))
    ]
    return Spoken(text, samples, tuple(words))


def proportional(text: str, samples: F32) -> Spoken:
    """``text`` with word times in proportion to its characters, for voices that tell none."""
    if not len(samples):
        return Spoken(text, samples, ())
    starts = word_starts(text)
    begin, end = _audible(samples)
    ends = [*starts[1:], len(text)]
    words = [
        Word(start, begin + (end - begin) * until // max(1, len(text)))
        for start, until in zip(starts, ends, strict=True)
    ]
    return Spoken(text, samples, tuple(words))


def _audible_end(samples: F32, begin: int, end: int) -> int:
    """Index just after the last audible sample in [begin, end), or ``end`` without any."""
    loud = np.flatnonzero(np.abs(samples[begin:end]) > AUDIBLE)
    return begin + int(loud[-1]) + 1 if len(loud) else end


def _audible(samples: F32) -> tuple[int, int]:
    """From the first audible sample to just after the last; all of them without any."""
    loud = np.flatnonzero(np.abs(samples) > AUDIBLE)
    return (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(samples))
