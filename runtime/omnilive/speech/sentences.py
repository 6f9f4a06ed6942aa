"""Cuts a growing answer into sentences to speak. It never changes, drops or reorders text.

The cut depends on the text alone, not on the pieces it came in: every decision is taken left to
right and waits for the one character after a possible end.
"""

from __future__ import annotations

import re

from omnilive.speech.config import SentenceConfig

_ENDS = frozenset(".!?。！？…")
_CJK_ENDS = frozenset("。！？…")
_CLOSERS = frozenset("\"'”’)]}」』》）】*_`")
_COMMAS = frozenset(",;:")
_CJK_COMMAS = frozenset("，、；：")
_OPENERS = "\"'“‘([{「『《（【*_`"

_ABBREVIATIONS = frozenset(
    (
        *("approx", "capt", "cf", "co", "corp", "dept", "dr", "e.g", "est", "etc", "fig", "gen"),
        *("i.e", "inc", "jr", "lt", "ltd", "max", "min", "mr", "mrs", "ms", "mt", "prof", "sgt"),
        *("sr", "st", "vs"),
    )
)
"""Words whose full stop is part of the word. A sentence that does end in one is spoken together
with the next, which costs a little time and no sense."""

_DOTTED = re.compile(r"(?:[a-z]\.)+[a-z]", re.IGNORECASE)
"""Dotted letters as in ``a.m.`` or ``U.S.``, without the last full stop."""

_CJK_WEIGHT = 3
"""A CJK character takes about as long to say as this many Latin letters."""


class SentenceSplitter:
    """Turns text deltas into sentences; one splitter per answer."""

    def __init__(self, config: SentenceConfig) -> None:
        config.validate()
        self._config = config
        self._pending = ""
        self._first = True

    def push(self, text_delta: str) -> list[str]:
        """Add text; return the sentences that are now complete, without surrounding space."""
        self._pending += text_delta
        return self._complete(final=False)

    def flush(self) -> list[str]:
        """End the answer: return what is left as sentences and be ready for the next answer."""
        sentences = self._complete(final=True)
        rest = self._pending.strip()
        self._pending = ""
        self._first = True
        return [*sentences, rest] if rest else sentences

    def _complete(self, *, final: bool) -> list[str]:
        sentences: list[str] = []
        while True:
            self._pending = self._pending.lstrip()
            break_at = self._config.first_break_chars if self._first else 0
            end = sentence_end(
                self._pending, comma_from=break_at, max_chars=self._config.max_chars, final=final
            )
            if end is None:
                return sentences
            sentences.append(self._pending[:end].strip())
            self._pending = self._pending[end:]
            self._first = False


def sentence_end(text: str, *, comma_from: int, max_chars: int, final: bool) -> int | None:
    """Index just after the first sentence of ``text``, or None while it is undecided.

    Args:
        text: starts with no white space.
        comma_from: a comma at or after this weight of text ends it too; 0 for never.
        max_chars: longest sentence.
        final: no more text will come, so the end of ``text`` decides what waits for it.
    """
    weight = 0
    at = 0
    while at < len(text):
        if at >= max_chars:
            return _forced_cut(text, max_chars)
        c = text[at]
        if c == "\n":
            return at + 1
        after = at + 1
        if c in _ENDS:
            after = _skip(text, _skip(text, at, _ENDS, max_chars), _CLOSERS, max_chars)
        if after > at + 1 or c in _ENDS or c in _COMMAS or c in _CJK_COMMAS:
            if after >= max_chars:
                return max_chars
            if after == len(text) and not final:
                return None
            following = text[after : after + 1]
            if c in _ENDS and _ends(text[:at], text[at:after], following):
                return after
            if comma_from and weight >= comma_from and _breaks(c, following):
                return after
        weight += sum(_CJK_WEIGHT if is_cjk(ch) else 1 for ch in text[at:after])
        at = after
    return None


def is_cjk(c: str) -> bool:
    """Whether ``c`` is a CJK ideograph (unified block, extension A, compatibility)."""
    return "\u4e00" <= c <= "\u9fff" or "\u3400" <= c <= "\u4dbf" or "\uf900" <= c <= "\ufaff"


def _skip(text: str, start: int, characters: frozenset[str], limit: int) -> int:
    """Index of the first character at or after ``start`` that is not among ``characters``."""
    at = start
    while at < min(len(text), limit) and text[at] in characters:
        at += 1
    return at


def _ends(before: str, mark: str, following: str) -> bool:
    """Whether ``mark`` (end marks and closers) after ``before`` ends the sentence."""
    stops = [c for c in mark if c in _ENDS]
    if any(c in _CJK_ENDS for c in stops):
        return True
    if following and not following.isspace() and not is_cjk(following):
        return False  # 3.14, example.com, ?a=b
    if len(stops) > 1 or stops[0] != ".":
        return True
    if before.isdigit():
        return False  # the number of a list item
    words = before.split()
    word = words[-1].lstrip(_OPENERS) if words else ""
    if word.lower() in _ABBREVIATIONS or _DOTTED.fullmatch(word):
        return False
    return not (len(word) == 1 and word.isascii() and word.isupper() and word != "I")


def _breaks(c: str, following: str) -> bool:
    """Whether a comma is one between words, not inside a number or a time."""
    return c in _CJK_COMMAS or (c in _COMMAS and (not following or following.isspace()))


def _forced_cut(text: str, max_chars: int) -> int:
    """Where to cut a sentence that is too long: after its last space, else at the limit."""
    space = max(text.rfind(" ", 0, max_chars), text.rfind("\t", 0, max_chars))
    return space + 1 if space > 0 else max_chars
