"""What a session is doing right now, as a value that each event replaces. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from omnilive import events


@dataclass(frozen=True)
class Status:
    """The state behind a live view. Times are microseconds of stream time.

    Attributes:
        hearing: an utterance is open.
        waiting: a question has no answer yet.
        spoken_until_us: where the last placed sentence ends.
    """

    at_us: int = 0
    frames: int = 0
    dropped: int = 0
    clip: int = 0
    cosine: float | None = None
    clips_in_memory: int = 0
    questions: int = 0
    answers: int = 0
    cancelled: int = 0
    hearing: bool = False
    waiting: bool = False
    spoken_until_us: int = 0
    heard: str = ""
    answer: str = ""
    generation: int = 0
    ended: bool = False

    @property
    def activity(self) -> str:
        """One word for what it is doing."""
        if self.ended:
            return "done"
        if self.hearing:
            return "hearing"
        if self.at_us < self.spoken_until_us:
            return "speaking"
        return "thinking" if self.waiting else "listening"


def advanced(status: Status, at_us: int, event: events.Event) -> Status:
    """The status after ``event``."""
    status = replace(status, at_us=max(status.at_us, at_us))
    if isinstance(event, events.FrameEncoded):
        return replace(status, frames=status.frames + 1, clip=event.clip, cosine=event.cosine)
    if isinstance(event, events.FrameDropped):
        return replace(status, dropped=status.dropped + 1)
    if isinstance(event, events.ClipCompressed):
        return replace(status, clips_in_memory=status.clips_in_memory + 1)
    if isinstance(event, events.SpeechStarted | events.SpeechContinued):
        return replace(status, hearing=True, waiting=False, heard="", answer="")
    if isinstance(event, events.SpeechEnded):
        return replace(status, hearing=False, waiting=True)
    return _answered(status, at_us, event)


def _answered(status: Status, at_us: int, event: events.Event) -> Status:
    if isinstance(event, events.Transcribed):
        return replace(
            status,
            questions=status.questions + 1,
            waiting=True,
            heard=event.text,
            answer="",
            generation=event.generation,
        )
    if isinstance(event, events.Unanswered):
        return replace(status, waiting=False)
    if isinstance(event, events.TokenDecoded):
        fresh = event.index == 0
        return replace(
            status, waiting=False, answer=event.text if fresh else status.answer + event.text
        )
    if isinstance(event, events.SentenceSpoken):
        return replace(status, spoken_until_us=max(status.spoken_until_us, event.end_us))
    if isinstance(event, events.AnswerFinished):
        return replace(status, waiting=False, answers=status.answers + 1, answer=event.text)
    if isinstance(event, events.AnswerCancelled):
        return replace(status, cancelled=status.cancelled + 1, spoken_until_us=at_us)
    if isinstance(event, events.SessionEnded):
        return replace(status, ended=True, hearing=False, waiting=False)
    return status
