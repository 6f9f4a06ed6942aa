"""Folds the events of each turn into one question with its answer. It draws nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from omnilive import events
from omnilive.report.reading import Stamped

_UNANSWERED = {
    "filler": "filler, not answered",
    "no_words": "no words, not answered",
    "too_long": "too long, not answered",
    "superseded": "superseded, not answered",
}

_STAND_IN = {
    "best_clip": "nothing passed the rule: the best clip stands in",
    "last_frames": "nothing passed the rule: the newest frames stand in",
    "all_frames": "nothing passed the rule: frames of all clips stand in",
}


@dataclass(frozen=True)
class Refresh:
    """It looked again at ``at_us``, when the answer was as far as ``text``."""

    at_us: int
    text: str
    event: events.SceneRefreshed


@dataclass(frozen=True)
class Question:
    """Everything the log says about one utterance, or one typed question.

    Events of a reopened utterance are those of its last opening. Times are microseconds of
    stream time; None or empty where the log holds no such event.

    Attributes:
        ended: the last endpoint; its ``end_us`` is the last voiced sample by the VAD's view.
        transcripts: more than one when the utterance was split at its maximum length; parts split
            off before it was reopened stay.
        tokens_at: when each answer token was logged.
        reopened: how often speech resumed after an endpoint.
        interrupted: each time its answer was stopped; it may have gone on.
        resumed: how often it went on.
        refreshed: each time its answer went on with the newest frames, since the scene changed.
    """

    utterance: int
    generation: int
    onset_us: int | None = None
    ended: Stamped[events.SpeechEnded] | None = None
    sound: str = ""
    transcripts: tuple[Stamped[events.Transcribed], ...] = ()
    checked: Stamped[events.InstructionChecked] | None = None
    unanswered: str = ""
    grounded: Stamped[events.Grounded] | None = None
    evidence: Stamped[events.EvidenceChosen] | None = None
    tokens_at: tuple[int, ...] = ()
    sentences: tuple[Stamped[events.SentenceSpoken], ...] = ()
    decoded: str = ""
    finished: Stamped[events.AnswerFinished] | None = None
    cancelled: Stamped[events.AnswerCancelled] | None = None
    reopened: int = 0
    interrupted: tuple[Stamped[events.AnswerInterrupted], ...] = ()
    resumed: int = 0
    refreshed: tuple[Refresh, ...] = ()

    @property
    def typed(self) -> bool:
        """Whether it was typed rather than spoken."""
        return any(t.event.typed for t in self.transcripts)

    @property
    def text(self) -> str:
        """What was heard, all parts of a split utterance together."""
        return " ".join(t.event.text for t in self.transcripts if t.event.text)

    @property
    def language(self) -> str:
        """Language code of the last part, or empty."""
        return self.transcripts[-1].event.language if self.transcripts else ""

    @property
    def answer(self) -> str:
        """The answer's text as far as it came."""
        if self.finished is not None:
            return self.finished.event.text
        return self.cancelled.event.text if self.cancelled is not None else self.decoded

    @property
    def asked_us(self) -> int:
        """The moment it belongs to on a timeline: end of speech, or when it was typed."""
        if self.ended is not None:
            return self.ended.event.end_us
        if self.transcripts:
            return self.transcripts[0].at_us
        return self.onset_us or 0

    @property
    def outcome(self) -> str:
        """One or two words: what became of it."""
        if self.unanswered:
            return _UNANSWERED.get(self.unanswered, self.unanswered)
        if self.cancelled is not None:
            return "cancelled"
        return "answered" if self.finished is not None else "unfinished"

    def heard_until_us(self, sentence: events.SentenceSpoken) -> int:
        """Where ``sentence`` falls silent: its end, or the barge-in that cut it."""
        stops = [s for s in (*self.interrupted, self.cancelled) if s is not None]
        cut = [s.at_us for s in stops if s.event.generation == sentence.generation]
        return max(sentence.start_us, min([sentence.end_us, *cut]))


@dataclass(frozen=True)
class Step:
    """One part of the wait for an answer, microseconds of stream time."""

    name: str
    start_us: int
    end_us: int


def steps(question: Question) -> tuple[Step, ...]:
    """The wait from the end of speech to the first audio, part by part without gaps.

    A stage the log does not hold is left out; the next one then covers its time.
    """
    moments: list[tuple[str, int | None]] = [
        ("endpoint", question.ended.at_us if question.ended else None),
        ("transcript", question.transcripts[-1].at_us if question.transcripts else None),
        ("instruction + grounding", _latest(question.checked, question.grounded)),
        ("evidence", question.evidence.at_us if question.evidence else None),
        ("first token", question.tokens_at[0] if question.tokens_at else None),
        ("first audio", question.sentences[0].event.start_us if question.sentences else None),
    ]
    found: list[Step] = []
    reached = question.asked_us
    for name, at_us in moments:
        if at_us is not None and at_us >= reached and not (question.typed and name == "transcript"):
            found.append(Step(name, reached, at_us))
            reached = at_us
    return tuple(found)


def stand_in(fallback: str) -> str:
    """What stood in when no clip was selected (``Grounded.fallback``)."""
    return _STAND_IN.get(fallback, "nothing passed the rule")


def total_us(waits: tuple[Step, ...]) -> int:
    """Length of all ``waits`` together, microseconds."""
    return waits[-1].end_us - waits[0].start_us if waits else 0


def _latest(*stamped: Stamped[events.Event] | None) -> int | None:
    return max((s.at_us for s in stamped if s is not None), default=None)


@dataclass(eq=False)
class _Draft:
    """A question while its events are being read."""

    utterance: int
    generation: int
    onset_us: int | None = None
    sound: str = ""
    reopened: int = 0
    split_off: int = 0
    ended: Stamped[events.SpeechEnded] | None = None
    transcripts: list[Stamped[events.Transcribed]] = field(default_factory=list)
    checked: Stamped[events.InstructionChecked] | None = None
    unanswered: str = ""
    grounded: Stamped[events.Grounded] | None = None
    evidence: Stamped[events.EvidenceChosen] | None = None
    tokens_at: list[int] = field(default_factory=list)
    sentences: list[Stamped[events.SentenceSpoken]] = field(default_factory=list)
    decoded: list[str] = field(default_factory=list)
    finished: Stamped[events.AnswerFinished] | None = None
    cancelled: Stamped[events.AnswerCancelled] | None = None
    interrupted: list[Stamped[events.AnswerInterrupted]] = field(default_factory=list)
    resumed: int = 0
    refreshed: list[Refresh] = field(default_factory=list)

    def reopened_as(self, generation: int) -> _Draft:
        """The utterance after speech resumed: only what was split off before stays heard."""
        return _Draft(
            self.utterance,
            generation,
            self.onset_us,
            self.sound,
            self.reopened + 1,
            self.split_off,
            transcripts=self.transcripts[: self.split_off],
        )

    def question(self) -> Question:
        values = dict(vars(self))
        del values["split_off"]
        for name in ("transcripts", "tokens_at", "sentences", "interrupted", "refreshed"):
            values[name] = tuple(values[name])
        values["decoded"] = "".join(self.decoded)
        return Question(**values)


def fold(log: Iterable[Stamped[events.Event]]) -> tuple[Question, ...]:
    """One question per utterance and per typed question, in the order they began."""
    drafts: dict[int, _Draft] = {}
    for stamped in log:
        event = stamped.event
        utterance = getattr(event, "utterance", None)
        if utterance is None:
            continue
        generation = getattr(event, "generation", 0)
        draft = drafts.setdefault(utterance, _Draft(utterance, generation))
        if isinstance(event, events.SpeechContinued):
            drafts[utterance] = draft.reopened_as(generation)
        else:
            draft.generation = max(draft.generation, generation)
            _take(draft, stamped.id, stamped.at_us, event)
    return tuple(draft.question() for draft in drafts.values())


def _take(draft: _Draft, event_id: int, at_us: int, event: events.Event) -> None:
    if isinstance(event, events.SpeechStarted):
        draft.onset_us = event.onset_us
    elif isinstance(event, events.SpeechEnded):
        draft.ended = Stamped(event_id, at_us, event)
        draft.split_off += event.split
    elif isinstance(event, events.SoundClassified):
        draft.sound = event.label
    elif isinstance(event, events.Transcribed):
        draft.transcripts.append(Stamped(event_id, at_us, event))
    elif isinstance(event, events.InstructionChecked):
        draft.checked = Stamped(event_id, at_us, event)
    elif isinstance(event, events.Unanswered):
        draft.unanswered = event.reason
    elif isinstance(event, events.Grounded):
        draft.grounded = Stamped(event_id, at_us, event)
    elif isinstance(event, events.EvidenceChosen):
        draft.evidence = Stamped(event_id, at_us, event)
    elif isinstance(event, events.TokenDecoded):
        draft.tokens_at.append(at_us)
        draft.decoded.append(event.text)
    elif isinstance(event, events.SentenceSpoken):
        draft.sentences.append(Stamped(event_id, at_us, event))
    elif isinstance(event, events.SceneRefreshed):
        draft.refreshed.append(Refresh(at_us, "".join(draft.decoded[: event.tokens]), event))
    elif isinstance(event, events.AnswerInterrupted):
        draft.interrupted.append(Stamped(event_id, at_us, event))
    elif isinstance(event, events.AnswerResumed):
        draft.resumed += 1
        del draft.decoded[event.spoken_tokens :], draft.tokens_at[event.spoken_tokens :]
    elif isinstance(event, events.AnswerFinished):
        draft.finished = Stamped(event_id, at_us, event)
    elif isinstance(event, events.AnswerCancelled):
        draft.cancelled = Stamped(event_id, at_us, event)
