"""What a session is doing right now, as a value that each event replaces. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from omnilive import events


@dataclass(frozen=True)
class Status:
    """The state behind a live view. Times are microseconds of stream time.

    Attributes:
        live: stream time runs with the wall clock, also between events.
        heard: words of the newest utterance or typed question.
        spoken, typed: utterances with words so far, and typed questions; however often an
            utterance is split or reopened, it is one.
        hearing: an utterance is open.
        waiting: a question has no answer yet.
        answering: an answer's tokens are coming.
        spoken_until_us: where the last placed sentence ends.
        newest: the newest utterance that counts in ``spoken``.
        kept: words of the open utterance's parts that were split off.
        parts_due: parts split off whose words are not known yet.
    """

    at_us: int = 0
    live: bool = False
    frames: int = 0
    dropped: int = 0
    clip: int = 0
    cosine: float | None = None
    clips_in_memory: int = 0
    spoken: int = 0
    typed: int = 0
    answers: int = 0
    cancelled: int = 0
    hearing: bool = False
    waiting: bool = False
    answering: bool = False
    spoken_until_us: int = 0
    heard: str = ""
    answer: str = ""
    ended: bool = False
    newest: int = -1
    kept: str = ""
    parts_due: int = 0

    @property
    def activity(self) -> str:
        """One word for what it is doing."""
        if self.ended:
            return "done"
        if self.hearing:
            return "hearing"
        if self.at_us < self.spoken_until_us:
            return "speaking"
        if self.answering:
            return "answering"
        return "thinking" if self.waiting else "listening"


def advanced(status: Status, at_us: int, event: events.Event) -> Status:
    """The status after ``event``."""
    status = replace(status, at_us=max(status.at_us, at_us))
    if isinstance(event, events.SessionStarted):
        return replace(status, live=event.clock == "monotonic")
    if isinstance(event, events.FrameEncoded):
        return replace(status, frames=status.frames + 1, clip=event.clip, cosine=event.cosine)
    if isinstance(event, events.FrameDropped):
        return replace(status, dropped=status.dropped + 1)
    if isinstance(event, events.ClipCompressed):
        return replace(status, clips_in_memory=status.clips_in_memory + 1)
    if isinstance(event, events.SpeechStarted):
        return _hearing(replace(status, kept="", parts_due=0))
    if isinstance(event, events.SpeechContinued):
        return _hearing(status)
    if isinstance(event, events.SpeechEnded):
        if event.split:
            return replace(status, parts_due=status.parts_due + 1)
        return replace(status, hearing=False, waiting=True)
    if isinstance(event, events.Transcribed):
        return _with_words(status, event)
    return _answered(status, at_us, event)


def _hearing(status: Status) -> Status:
    return replace(status, hearing=True, waiting=False, heard=status.kept, answer="")


def _with_words(status: Status, event: events.Transcribed) -> Status:
    if event.typed:
        return replace(status, typed=status.typed + 1, waiting=True, heard=event.text, answer="")
    words = " ".join(part for part in (status.kept, event.text) if part)
    split_off = status.parts_due > 0
    return replace(
        status,
        spoken=status.spoken + (event.utterance > status.newest),
        newest=max(status.newest, event.utterance),
        heard=words,
        answer="",
        kept=words if split_off else status.kept,
        parts_due=status.parts_due - split_off,
    )


def _answered(status: Status, at_us: int, event: events.Event) -> Status:
    if isinstance(event, events.Unanswered):
        return replace(status, waiting=False)
    if isinstance(event, events.TokenDecoded):
        before = "" if event.index == 0 else status.answer
        return replace(status, waiting=False, answering=True, answer=before + event.text)
    if isinstance(event, events.SentenceSpoken):
        return replace(status, spoken_until_us=max(status.spoken_until_us, event.end_us))
    if isinstance(event, events.AnswerFinished):
        return replace(
            status, waiting=False, answering=False, answers=status.answers + 1, answer=event.text
        )
    if isinstance(event, events.AnswerInterrupted):
        return replace(status, answering=False, spoken_until_us=min(status.spoken_until_us, at_us))
    if isinstance(event, events.AnswerResumed):
        return replace(status, answering=True, answer=event.spoken)
    if isinstance(event, events.AnswerCancelled):
        return replace(
            status,
            answering=False,
            cancelled=status.cancelled + 1,
            spoken_until_us=min(status.spoken_until_us, at_us),
        )
    if isinstance(event, events.SessionEnded):
        return replace(status, ended=True, hearing=False, waiting=False, answering=False)
    return status
