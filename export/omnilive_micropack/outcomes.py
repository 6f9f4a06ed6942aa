"""What became of everything said or typed in a rendered stream, read from a run's event log.

It compares afterwards, when the run is over; the run itself never sees the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from omnilive.events import (
    AnswerCancelled,
    AnswerFinished,
    Event,
    SpeechEnded,
    Transcribed,
    Unanswered,
)
from omnilive_micropack.speech import SpokenTruth
from omnilive_micropack.truth import Asked, StreamTruth
from omnilive_micropack.wording import is_accepted

UNHEARD = "not heard"
NO_OUTCOME = "no outcome"


@dataclass(frozen=True)
class Outcome:
    """What became of one thing said or typed.

    Attributes:
        at_s: when it began, stream seconds.
        said: its words.
        asked: the question it was, or None for what needs no answer.
        heard: the words that were understood; empty when none were.
        answer: what was answered, or begun to be; None when nothing was.
        ending: ``finished``, ``cancelled``, or why there is no answer.
    """

    at_s: float
    said: str
    asked: Asked | None
    heard: str
    answer: str | None
    ending: str

    @property
    def right(self) -> bool:
        """Whether a question has an accepted answer, or what is no question has none."""
        if self.asked is None:
            return self.answer is None
        return self.answer is not None and is_accepted(self.answer, self.asked.question.accepted)


def outcomes(truth: StreamTruth, events: Iterable[Event]) -> list[Outcome]:
    """One outcome for each spoken item and typed question, in order of time."""
    log = _Log(events)
    asked = {id(one.item): one for one in truth.asked if one.item is not None}
    found = [
        log.outcome(said.start_us / 1e6, said.item.text, asked.get(id(said.item)), log.heard(said))
        for said in truth.spoken
    ]
    typed = [one for one in truth.asked if one.item is None]
    for one, utterance in zip(typed, log.typed([t.question.text for t in typed]), strict=True):
        found.append(log.outcome(one.question.asked_s, one.question.text, one, utterance))
    return sorted(found, key=lambda outcome: outcome.at_s)


class _Log:
    """A log by utterance."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._spans: dict[int, tuple[int, int]] = {}
        self._words: dict[int, Transcribed] = {}
        self._endings: dict[int, tuple[str | None, str]] = {}
        for event in events:
            if isinstance(event, SpeechEnded):
                self._spans[event.utterance] = (event.start_us, event.end_us)
            elif isinstance(event, Transcribed):
                self._words[event.utterance] = event
            elif isinstance(event, AnswerFinished):
                self._endings[event.utterance] = (event.text, "finished")
            elif isinstance(event, AnswerCancelled):
                self._endings[event.utterance] = (event.text or None, "cancelled")
            elif isinstance(event, Unanswered):
                self._endings[event.utterance] = (None, event.reason)

    def heard(self, said: SpokenTruth) -> int | None:
        """The utterance that overlaps a spoken item the longest."""
        overlaps = {
            utterance: min(end_us, said.end_us) - max(start_us, said.start_us)
            for utterance, (start_us, end_us) in self._spans.items()
        }
        best = max(overlaps, key=lambda utterance: overlaps[utterance], default=None)
        return best if best is not None and overlaps[best] > 0 else None

    def typed(self, texts: Sequence[str]) -> list[int | None]:
        """The utterance of each typed question; the same words come in the same order."""
        typed = [(u, words.text) for u, words in self._words.items() if words.typed]
        found: list[int | None] = []
        for text in texts:
            match = next((pair for pair in typed if pair[1] == text), None)
            if match is not None:
                typed.remove(match)
            found.append(None if match is None else match[0])
        return found

    def outcome(
        self, at_s: float, said: str, asked: Asked | None, utterance: int | None
    ) -> Outcome:
        """What became of it, given the utterance it was heard as."""
        if utterance is None:
            return Outcome(at_s, said, asked, "", None, UNHEARD)
        words = self._words.get(utterance)
        answer, ending = self._endings.get(utterance, (None, NO_OUTCOME))
        return Outcome(at_s, said, asked, "" if words is None else words.text, answer, ending)
