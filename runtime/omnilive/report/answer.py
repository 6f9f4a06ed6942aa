"""The part of a card that holds the answer: its words, where it looked again, how it ended."""

from __future__ import annotations

from collections.abc import Iterable

from omnilive import events
from omnilive.report.markup import (
    MAX_TEXT,
    clock,
    definitions,
    duration,
    esc,
    frame_name,
    span,
    thinned,
)
from omnilive.report.questions import Question, Refresh
from omnilive.report.thumbnails import Thumbnails

MAX_REFRESHES = 12
"""Marks in one answer, evenly spread."""


def answer_section(question: Question, thumbnails: Thumbnails, pictures: int, sound: str) -> str:
    """The answer of a question; nothing where there is none.

    Args:
        question: whose answer.
        thumbnails: where its pictures come from.
        pictures: so many are shown each time it looked again.
        sound: file to hear the answer in, or empty.
    """
    if question.unanswered or not (question.answer or question.tokens_at or question.cancelled):
        return ""
    refreshed = thinned(question.refreshed, MAX_REFRESHES)
    return (
        f"<section><h4>Answer{_hear(question, sound)}</h4>"
        f'<blockquote lang="{esc(question.language)}">'
        f"{_words(question.answer, refreshed) or '<i>no text</i>'}</blockquote>"
        f"{_seen_again(question, refreshed, thumbnails, pictures)}"
        f"{definitions(_facts(question))}</section>"
    )


def _facts(question: Question) -> Iterable[tuple[str, str]]:
    tokens = len(question.tokens_at)
    if question.finished is not None:
        tokens = question.finished.event.tokens
        yield "ended by", question.finished.event.reason
    yield "tokens", str(tokens)
    if tokens > 1 and len(question.tokens_at) > 1:
        took = question.tokens_at[-1] - question.tokens_at[0]
        if took > 0:
            yield "decoding", f"{(len(question.tokens_at) - 1) / took * 1e6:.1f} tokens/s"
    if question.resumed:
        yield "went on", _resumptions(question)
    if question.cancelled is not None:
        yield from _cancellation(question.cancelled.at_us, question.cancelled.event)


def _words(answer: str, refreshed: tuple[Refresh, ...]) -> str:
    """The answer with a mark at each place where it looked again."""
    answer = answer if len(answer) <= MAX_TEXT else answer[: MAX_TEXT - 1] + "…"
    parts, reached = [], 0
    for refresh in refreshed:
        place = max(reached, _place(answer, refresh.text))
        mark = f'<span class="again">looked again at {clock(refresh.at_us)}</span>'
        parts += [esc(answer[reached:place]), f" {mark} "]
        reached = place
    return "".join(parts) + esc(answer[reached:])


def _place(answer: str, said: str) -> int:
    """How far ``said`` reaches into the answer, which may have other white space."""
    letters = sum(not c.isspace() for c in said)
    for place, character in enumerate(answer):
        if letters <= 0:
            return place
        letters -= not character.isspace()
    return len(answer)


def _seen_again(
    question: Question, refreshed: tuple[Refresh, ...], thumbnails: Thumbnails, pictures: int
) -> str:
    """The frames that each look brought in, beside those shown before it."""
    before = set(question.evidence.event.frames) if question.evidence is not None else set()
    parts = []
    for refresh in refreshed:
        fresh = [frame for frame in refresh.event.frames if frame not in before]
        before = set(refresh.event.frames)
        shown = "".join(
            thumbnails.inline(frame, f"shown: {frame_name(frame)}")
            for frame in thinned(fresh, pictures)
        )
        frames = f"{len(fresh)} new {'frame' if len(fresh) == 1 else 'frames'}"
        parts.append(
            f'<p class="meta">looked again at {clock(refresh.at_us)}: the scene was another'
            f" (cosine {refresh.event.cosine:.3f}), {frames}</p>"
            f'<div class="pictures-row">{shown}</div>'
        )
    return "".join(parts)


def _hear(question: Question, sound: str) -> str:
    """A link to the moment in the sound file at which the answer is heard."""
    if not sound or not question.sentences:
        return ""
    first, last = question.sentences[0].event, question.sentences[-1].event
    start_us, end_us = first.start_us, question.heard_until_us(last)
    if end_us <= start_us:
        return ""
    where = f"{esc(sound)}#t={start_us / 1e6:.2f},{end_us / 1e6:.2f}"
    return f' <small><a href="{where}">hear {span(start_us, end_us)}</a></small>'


def _cancellation(at_us: int, cancelled: events.AnswerCancelled) -> Iterable[tuple[str, str]]:
    yield "cancelled", f"at {clock(at_us)} by generation {cancelled.by_generation}"
    yield "silenced", duration(cancelled.silenced_us)
    if cancelled.spoken and cancelled.spoken != cancelled.text:
        yield "spoken", cancelled.spoken


def _resumptions(question: Question) -> str:
    """How often an answer went on after an interruption that was none, and when it stopped."""
    stops = ", ".join(clock(s.at_us) for s in question.interrupted[: question.resumed])
    return f"after it was interrupted for nothing at {stops}"
