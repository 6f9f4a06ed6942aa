"""Events as lines for people. Pure; no line ever holds a control character."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from omnilive import events

_OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories a terminal or a reader's eye obeys: controls, formats, separators."""


_UNANSWERED = {
    "filler": "no instruction",
    "no_words": "no words",
    "too_long": "longer than the engines take",
    "superseded": "something newer was said first",
}

_STAND_IN = {
    "best_clip": ", the best, though none is probable",
    "last_frames": "; the newest frames stand in",
    "all_frames": "; frames of all clips stand in",
}


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


def counted(number: int, what: str) -> str:
    """``1 clip``, ``2 clips``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def report_line(report: Path) -> str:
    """Where the results are."""
    return f"report: {printable(str(report))}; the other results lie beside it"


def line_for(at_us: int, event: events.Event) -> Line | None:
    """What to say about an event, or None for those that only move the status."""
    if isinstance(event, events.Transcribed):
        how = "asked" if event.typed else "heard"
        words = printable(event.text) or "(no words)"
        return Line(at_us, f"{how} ({printable(event.language) or '?'}): {words}", "bold")
    if isinstance(event, events.Unanswered):
        why = _UNANSWERED.get(event.reason, printable(event.reason))
        return Line(at_us, f"not answered: {why}", "dim")
    if isinstance(event, events.AnswerFinished):
        return Line(at_us, f"answer: {printable(event.text) or '(empty)'}", "green")
    if isinstance(event, events.AnswerCancelled):
        said = printable(event.text)
        kept = f" after {said!r}" if said else ""
        tokens = counted(event.tokens, "token")
        silenced = f"{event.silenced_us / 1e6:.2f} s silenced"
        return Line(at_us, f"cancelled{kept}: {tokens}, {silenced}", "yellow")
    if isinstance(event, events.SceneRefreshed):
        frames = counted(len(event.frames), "frame")
        text = f"looked again: the scene changed (cosine {event.cosine:.3f}), {frames} shown"
        return Line(at_us, text, "cyan")
    if isinstance(event, events.SourceNotice):
        return Line(at_us, f"notice: {printable(event.what)}", "yellow")
    return _detail_for(at_us, event)


def _detail_for(at_us: int, event: events.Event) -> Line | None:
    if isinstance(event, events.ClipClosed):
        seconds = (event.end_us - event.start_us) / 1e6
        text = (
            f"clip {event.clip}: {counted(event.frames, 'frame')}, {seconds:.1f} s ({event.reason})"
        )
    elif isinstance(event, events.FrameDropped):
        text = f"frame at {event.pts_us / 1e6:.2f} s dropped: memory cannot keep up"
    elif isinstance(event, events.SpeechStarted):
        text = f"speech since {event.onset_us / 1e6:.2f} s"
    elif isinstance(event, events.SpeechContinued):
        text = "speech goes on"
    elif isinstance(event, events.Grounded):
        numbers = ", ".join(map(str, event.selected))
        chosen = f": {numbers}" if numbers else ""
        instead = _STAND_IN.get(event.fallback, "") if event.clips else ""
        of = counted(len(event.clips), "clip")
        text = f"retrieved {len(event.selected)} of {of}{chosen}{instead}"
    elif isinstance(event, events.EvidenceChosen):
        text = (
            f"evidence: {counted(len(event.frames), 'frame')}, {event.visual_tokens} visual +"
            f" {event.memory_tokens} memory + {event.text_tokens} text tokens"
        )
    elif isinstance(event, events.AnswerInterrupted):
        text = f"interrupted: {event.silenced_us / 1e6:.2f} s silenced"
    elif isinstance(event, events.AnswerResumed):
        text = f"goes on after {printable(event.spoken)!r}"
    elif isinstance(event, events.SentenceSpoken):
        seconds = (event.end_us - event.start_us) / 1e6
        text = (
            f"speaks at {event.start_us / 1e6:.2f} s for {seconds:.2f} s: {printable(event.text)}"
        )
    elif isinstance(event, events.SessionEnded):
        text = (
            f"done: {counted(event.frames, 'frame')} ({event.frames_dropped} dropped),"
            f" {counted(event.clips, 'clip')}, {counted(event.utterances, 'utterance')},"
            f" {counted(event.answers, 'answer')}, {event.cancelled} cancelled"
        )
    else:
        return None
    return Line(at_us, text, "dim", detail=True)


def _obeyed(character: str) -> bool:
    return unicodedata.category(character) in _OBEYED
