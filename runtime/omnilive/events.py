"""The one event schema: the log on disk, the protocol, what replay reads and benchmarks measure.

Events are facts about a session, in stream time; they never hold measured durations (those go
to ``timings.jsonl``, keyed by event id), so that a run in virtual time gives the same bytes
twice. Times are integer microseconds of stream time unless a name ends in ``_s``.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Event:
    """Base: ``kind`` is the ``type`` field of the JSON form.

    Every utterance, spoken or typed, that was said to its end gets exactly one outcome:
    ``answer_finished``, ``answer_cancelled`` or ``unanswered``.
    """

    kind: ClassVar[str] = ""


@dataclass(frozen=True)
class SessionStarted(Event):
    """First event of every log."""

    kind = "session_started"
    schema: int
    pack: str
    precision: str
    trained: bool
    preset: str
    clock: str
    seed: int


@dataclass(frozen=True)
class SourceOpened(Event):
    """What the source holds."""

    kind = "source_opened"
    name: str
    duration_us: int | None
    width: int
    height: int
    has_video: bool
    has_audio: bool


@dataclass(frozen=True)
class SourceNotice(Event):
    """Something odd about the source, or about its end, that the run went on past."""

    kind = "source_notice"
    pts_us: int
    what: str


@dataclass(frozen=True)
class FrameEncoded(Event):
    """A frame's features exist. ``cosine``: similarity to the frame before, None for the first."""

    kind = "frame_encoded"
    pts_us: int
    clip: int
    cosine: float | None
    keyframe: str


@dataclass(frozen=True)
class FrameDropped(Event):
    """A frame that memory never gets, because watching is behind the stream.

    Either the see lane was full and this frame was the oldest waiting, or it came while the
    remember lane had so many clips to compress that one more might not have found room.
    """

    kind = "frame_dropped"
    pts_us: int


@dataclass(frozen=True)
class ClipClosed(Event):
    """A clip ended. ``reason``: ``cut``, ``length`` or ``end``."""

    kind = "clip_closed"
    clip: int
    start_us: int
    end_us: int
    frames: int
    reason: str


@dataclass(frozen=True)
class ClipCompressed(Event):
    """A clip became short-term memory H and global memory Ĥ."""

    kind = "clip_compressed"
    clip: int
    short_term_tokens: int
    tokens_computed: int


@dataclass(frozen=True)
class MemoryIntegrated(Event):
    """The clips became long-term memory."""

    kind = "memory_integrated"
    clips: int
    tokens_computed: int


@dataclass(frozen=True)
class SpeechStarted(Event):
    """The VAD heard speech begin at ``onset_us``."""

    kind = "speech_started"
    utterance: int
    generation: int
    onset_us: int


@dataclass(frozen=True)
class SpeechContinued(Event):
    """Speech resumed before the utterance got its outcome: it is open again.

    What was begun for it under an older generation is void.
    """

    kind = "speech_continued"
    utterance: int
    generation: int


@dataclass(frozen=True)
class SpeechEnded(Event):
    """The endpoint was decided. ``end_us``: last voiced sample by the VAD's view."""

    kind = "speech_ended"
    utterance: int
    generation: int
    start_us: int
    end_us: int
    samples: int
    split: bool


@dataclass(frozen=True)
class SoundClassified(Event):
    """What the background before the utterance sounded like."""

    kind = "sound_classified"
    utterance: int
    generation: int
    label: str


@dataclass(frozen=True)
class Transcribed(Event):
    """The words of an utterance, or of a typed question (``typed``)."""

    kind = "transcribed"
    utterance: int
    generation: int
    text: str
    language: str
    typed: bool
    tokens: int


@dataclass(frozen=True)
class InstructionChecked(Event):
    """Whether the words ask for an answer: P(yes) read from the logits."""

    kind = "instruction_checked"
    utterance: int
    generation: int
    probability: float
    is_instruction: bool


@dataclass(frozen=True)
class Unanswered(Event):
    """An outcome: the utterance gets no answer.

    Attributes:
        reason: ``filler`` (it asks for nothing), ``no_words`` (nothing was understood),
            ``too_long`` (its words exceed a limit of the engines), or ``superseded`` (another
            utterance came before its answer was begun).
    """

    kind = "unanswered"
    utterance: int
    generation: int
    reason: str


@dataclass(frozen=True)
class Grounded(Event):
    """Which clips a question is about: cosine per clip, and the ones selected.

    Attributes:
        selected: those that passed the rule, or the one that stands in for them.
        fallback: empty when clips passed the rule, else what stands in for them:
            ``retrieval.fallback``.
    """

    kind = "grounded"
    utterance: int
    generation: int
    rule: str
    clips: tuple[int, ...]
    scores: tuple[float, ...]
    selected: tuple[int, ...]
    fallback: str


@dataclass(frozen=True)
class EvidenceChosen(Event):
    """What the reasoner is shown, counted before it runs (spec §1.4).

    Attributes:
        frames: ids of the keyframes shown, in time order.
        limited_by: what left evidence out, empty when nothing did; see ``VisualBudget``.
        estimated_ms: estimated milliseconds of tile encoding and prefill.
        clips: indices of the clips whose short-term memory is shown.
        evicted: keyframes that were wanted but no longer on disk.
    """

    kind = "evidence_chosen"
    utterance: int
    generation: int
    frames: tuple[str, ...]
    tiles: int
    visual_tokens: int
    memory_tokens: int
    text_tokens: int
    prompt_tokens: int
    limited_by: str
    estimated_ms: float
    clips: tuple[int, ...]
    evicted: int


@dataclass(frozen=True)
class TokenDecoded(Event):
    """One answer token; ``index`` 0 is the first."""

    kind = "token_decoded"
    utterance: int
    generation: int
    index: int
    text: str


@dataclass(frozen=True)
class SentenceSpoken(Event):
    """A sentence was put on the answer track."""

    kind = "sentence_spoken"
    utterance: int
    generation: int
    text: str
    start_us: int
    end_us: int


@dataclass(frozen=True)
class AnswerFinished(Event):
    """An outcome: the answer is complete and was heard to its end.

    ``reason`` is why its text ended: ``stop`` or ``length``.
    """

    kind = "answer_finished"
    utterance: int
    generation: int
    text: str
    language: str
    tokens: int
    reason: str


@dataclass(frozen=True)
class AnswerInterrupted(Event):
    """Decoding and sound of an answer stopped: ``answer_resumed`` or ``answer_cancelled`` follows.

    Attributes:
        by_generation: the generation that began.
        silenced_us: placed audio that is not heard now.
        complete: whether its text was complete, so that only sound was cut.
    """

    kind = "answer_interrupted"
    utterance: int
    generation: int
    by_generation: int
    silenced_us: int
    complete: bool


@dataclass(frozen=True)
class AnswerResumed(Event):
    """What interrupted an answer was nothing: it goes on, as ``generation``, after its last word.

    Attributes:
        from_generation: the one that was interrupted.
        spoken: its text up to the last word that was heard.
        spoken_tokens: its tokens up to there; those after are decoded anew, from this index on.
    """

    kind = "answer_resumed"
    utterance: int
    generation: int
    from_generation: int
    spoken: str
    spoken_tokens: int


@dataclass(frozen=True)
class AnswerCancelled(Event):
    """An outcome: this answer was stopped for good.

    Attributes:
        by_generation: the generation that stopped it.
        text: as far as it was decoded.
        silenced_us: placed audio that is never heard.
        complete: whether its text was complete, so that only sound was cut.
        spoken: its text up to the last word that was heard.
    """

    kind = "answer_cancelled"
    utterance: int
    generation: int
    by_generation: int
    text: str
    tokens: int
    silenced_us: int
    complete: bool = False
    spoken: str = ""


@dataclass(frozen=True)
class SessionEnded(Event):
    """Last event of a log that was not cut short.

    Attributes:
        utterances: spoken ones.
        answers: answers heard to their end (``answer_finished``).
        cancelled: answers that were stopped (``answer_cancelled``).
    """

    kind = "session_ended"
    frames: int
    frames_dropped: int
    clips: int
    utterances: int
    answers: int
    cancelled: int


SCHEMA_VERSION = 2

EVENT_TYPES: dict[str, type[Event]] = {t.kind: t for t in Event.__subclasses__()}


def to_json(event_id: int, at_us: int, event: Event) -> str:
    """One line of ``events.jsonl``: floats rounded to 6 digits, keys in field order."""
    body: dict[str, Any] = {"id": event_id, "at_us": at_us, "type": event.kind}
    for f in dataclasses.fields(event):
        body[f.name] = _plain(getattr(event, f.name))
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def from_json(line: str) -> tuple[int, int, Event]:
    """The id, time and event of one line.

    Raises:
        ValueError: not an event of this schema.
    """
    raw = json.loads(line)
    try:
        event_id, at_us = int(raw.pop("id")), int(raw.pop("at_us"))
        cls = EVENT_TYPES[raw.pop("type")]
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        return event_id, at_us, cls(**fields)
    except (KeyError, TypeError, AttributeError) as e:
        raise ValueError(f"not an event of schema {SCHEMA_VERSION}: {e}") from e


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value
