"""Events as lines for people. Pure; no line ever holds a control character."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from omnilive import events

_OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories a terminal or a reader's eye obeys: controls, formats, separators."""


@dataclass(frozen=True)
class Line:
    """One line. ``style`` is a rich style.

    ``detail`` lines are for a log only: a live view shows the same in its status.
    """

    at_us: int
    text: str
    style: str = ""
    detail: bool = False


def printable(text: str) -> str:
    """``text`` on one line without anything a terminal would obey.

    White space becomes a space; escape sequences, other control and format characters (which
    could hide or reorder what is shown) and lone surrogates become U+FFFD.
    """
    shown = "".join(
        " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" if _obeyed(c) else c for c in text
    )
    return " ".join(shown.split())


def moment(at_us: int) -> str:
    """Stream time in front of a line: ``[  12.34 s]``."""
    return f"[{at_us / 1e6:7.2f} s]"


def line_for(at_us: int, event: events.Event) -> Line | None:
    """What to say about an event, or None for those that only move the status."""
    if isinstance(event, events.Transcribed):
        how = "asked" if event.typed else "heard"
        words = printable(event.text) or "(no words)"
        return Line(at_us, f"{how} ({printable(event.language) or '?'}): {words}", "bold")
    if isinstance(event, events.Unanswered):
        why = {"filler": "no instruction", "no_words": "no words"}
        return Line(at_us, f"not answered: {why.get(event.reason, printable(event.reason))}", "dim")
    if isinstance(event, events.AnswerFinished):
        return Line(at_us, f"answer: {printable(event.text) or '(empty)'}", "green")
    if isinstance(event, events.AnswerCancelled):
        said = printable(event.text)
        kept = f" after {said!r}" if said else ""
        return Line(
            at_us,
            f"cancelled{kept}: {event.tokens} tokens, {event.silenced_us / 1e6:.2f} s silenced",
            "yellow",
        )
    if isinstance(event, events.SourceNotice):
        return Line(at_us, f"notice: {printable(event.what)}", "yellow")
    return _detail_for(at_us, event)


def _detail_for(at_us: int, event: events.Event) -> Line | None:
    if isinstance(event, events.ClipClosed):
        seconds = (event.end_us - event.start_us) / 1e6
        text = f"clip {event.clip}: {event.frames} frames, {seconds:.1f} s ({event.reason})"
    elif isinstance(event, events.FrameDropped):
        text = f"frame at {event.pts_us / 1e6:.2f} s dropped: the see lane is full"
    elif isinstance(event, events.SpeechStarted):
        text = f"speech since {event.onset_us / 1e6:.2f} s"
    elif isinstance(event, events.SpeechContinued):
        text = "speech goes on"
    elif isinstance(event, events.Grounded):
        chosen = ", ".join(map(str, event.selected)) or "none"
        fallback = ", newest frames instead" if event.fallback else ""
        text = f"retrieved clips: {chosen} of {len(event.clips)}{fallback}"
    elif isinstance(event, events.EvidenceChosen):
        text = (
            f"evidence: {len(event.frames)} frames, {event.visual_tokens} visual +"
            f" {event.memory_tokens} memory + {event.text_tokens} text tokens"
        )
    elif isinstance(event, events.SentenceSpoken):
        seconds = (event.end_us - event.start_us) / 1e6
        text = f"speaks at {event.start_us / 1e6:.2f} s for {seconds:.2f} s"
    elif isinstance(event, events.SessionEnded):
        text = (
            f"done: {event.frames} frames ({event.frames_dropped} dropped), {event.clips} clips,"
            f" {event.utterances} utterances, {event.answers} answers, {event.cancelled} cancelled"
        )
    else:
        return None
    return Line(at_us, text, "dim", detail=True)


def _obeyed(character: str) -> bool:
    return unicodedata.category(character) in _OBEYED
