"""From the logs of one run and the truth about its source to samples of each measure. Pure.

Nothing is guessed: a measure whose events are not in the log has no samples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from omnilive import events
from omnilive.report.questions import Question, fold
from omnilive.report.reading import RunLog, Stamped
from truth import Match, Spoken, match

E = TypeVar("E", bound=events.Event)


@dataclass(frozen=True)
class Measure:
    """One figure: ``unit`` is ``us``, ``per_s``, ``ratio`` or ``bytes``; what it spans."""

    name: str
    title: str
    unit: str
    group: str
    starts: str
    ends: str


WATCHING = "watching"
ANSWERING = "answering"
ENDPOINTING = "endpointing"
BARGE_IN = "barge-in"
THROUGHPUT = "throughput"
RESOURCES = "resources"

MEASURES = (
    Measure("frame_to_feature", "frame → feature", "us", WATCHING, "PTS", "frame_encoded"),
    Measure("frame_lag", "frame lag", "us", WATCHING, "PTS", "its encoding begins"),
    Measure(
        "clip_to_memory", "clip close → memory", "us", WATCHING, "clip_closed", "memory_integrated"
    ),
    Measure(
        "speech_to_transcript",
        "end of speech → transcript",
        "us",
        ANSWERING,
        "last voiced sample",
        "transcribed",
    ),
    Measure(
        "speech_to_first_token",
        "end of speech → first token",
        "us",
        ANSWERING,
        "last voiced sample",
        "token_decoded 0",
    ),
    Measure(
        "speech_to_first_audio",
        "end of speech → first audio",
        "us",
        ANSWERING,
        "last voiced sample",
        "start of the first sentence_spoken",
    ),
    Measure(
        "onset_delay",
        "speech onset → noticed",
        "us",
        ENDPOINTING,
        "first voiced sample",
        "speech_started",
    ),
    Measure(
        "endpoint_delay",
        "end of speech → endpoint",
        "us",
        ENDPOINTING,
        "last voiced sample",
        "speech_ended",
    ),
    Measure(
        "endpoint_to_first_audio",
        "endpoint → first audio",
        "us",
        ENDPOINTING,
        "speech_ended",
        "start of the first sentence_spoken",
    ),
    Measure(
        "barge_in_to_silence",
        "barge-in → silence",
        "us",
        BARGE_IN,
        "first voiced sample",
        "answer_interrupted (the track is cut)",
    ),
    Measure(
        "barge_in_to_decode_stop",
        "barge-in → decode stopped",
        "us",
        BARGE_IN,
        "first voiced sample",
        "answer_interrupted and the step in flight, at its longest",
    ),
    Measure(
        "decode_rate",
        "decoding, tokens/s",
        "per_s",
        THROUGHPUT,
        "first token_decoded",
        "last token_decoded",
    ),
    Measure(
        "prefill_rate",
        "prefill, tokens/s",
        "per_s",
        THROUGHPUT,
        "evidence_chosen",
        "first token_decoded less its own decode step",
    ),
    Measure(
        "real_time_factor",
        "real-time factor",
        "ratio",
        THROUGHPUT,
        "engine time of all stages",
        "duration of the stream",
    ),
    Measure("peak_rss", "peak resident memory", "bytes", RESOURCES, "process start", "run end"),
)


@dataclass(frozen=True)
class RunSamples:
    """Samples by measure name, and what of the source was heard.

    Attributes:
        frames, frames_dropped: encoded, and dropped by a full see lane.
        utterances: that the runtime heard.
        missed, broken: spoken items no utterance heard, or more than one.
    """

    samples: Mapping[str, tuple[float, ...]]
    frames: int
    frames_dropped: int
    utterances: int
    missed: int
    broken: int


def measure_run(log: RunLog, spoken: Sequence[Spoken], peak_rss_bytes: int) -> RunSamples:
    """Every measure of one run.

    Args:
        spoken: what is said in the source; empty when unknown, and then nothing that starts at
            the source's own speech has samples.
        peak_rss_bytes: of the process after the run.
    """
    samples: dict[str, list[float]] = defaultdict(list)
    questions = fold(log.events)
    heard = {
        q.utterance: (q.onset_us, q.ended.event.end_us)
        for q in questions
        if q.onset_us is not None and q.ended is not None
    }
    matched = match(spoken, heard)
    _watching(log, samples)
    for question in questions:
        _answering(question, matched, samples)
    _onsets(log, matched, samples)
    _throughput(log, questions, samples)
    samples["peak_rss"].append(peak_rss_bytes)
    return RunSamples(
        {name: tuple(values) for name, values in samples.items()},
        frames=len(_all(log, events.FrameEncoded)),
        frames_dropped=len(_all(log, events.FrameDropped)),
        utterances=len(heard),
        missed=matched.missed,
        broken=matched.broken,
    )


def pooled(runs: Sequence[RunSamples]) -> dict[str, tuple[float, ...]]:
    """The samples of all runs together, by measure name."""
    return {m.name: tuple(v for run in runs for v in run.samples.get(m.name, ())) for m in MEASURES}


def _watching(log: RunLog, samples: dict[str, list[float]]) -> None:
    wall = _wall_us(log, "see")
    for frame in _all(log, events.FrameEncoded):
        delay = frame.at_us - frame.event.pts_us
        samples["frame_to_feature"].append(delay)
        if frame.id in wall:
            samples["frame_lag"].append(max(0, delay - wall[frame.id]))
    closed = {c.event.clip: c.at_us for c in _all(log, events.ClipClosed)}
    compressed: int | None = None
    for stamped in log.events:
        if isinstance(stamped.event, events.ClipCompressed):
            compressed = stamped.event.clip
        elif isinstance(stamped.event, events.MemoryIntegrated) and compressed in closed:
            samples["clip_to_memory"].append(stamped.at_us - closed[compressed])
            compressed = None


def _answering(question: Question, matched: Match, samples: dict[str, list[float]]) -> None:
    if question.ended is None:
        return
    first_audio = question.sentences[0].event.start_us if question.sentences else None
    if first_audio is not None:
        samples["endpoint_to_first_audio"].append(first_audio - question.ended.at_us)
    end_us = matched.end_us.get(question.utterance)
    if end_us is None or question.ended.at_us < end_us:
        # The endpoint came while the item was still being spoken: its end was heard by nobody.
        return
    moments = {
        "endpoint_delay": question.ended.at_us,
        "speech_to_transcript": question.transcripts[-1].at_us if question.transcripts else None,
        "speech_to_first_token": question.tokens_at[0] if question.tokens_at else None,
        "speech_to_first_audio": first_audio,
    }
    for name, at_us in moments.items():
        if at_us is not None:
            samples[name].append(at_us - end_us)


def _onsets(log: RunLog, matched: Match, samples: dict[str, list[float]]) -> None:
    """Delays from the first voiced sample: noticing it, and what it interrupts."""
    wall = _wall_us(log, "decode")
    steps: dict[int, list[int]] = defaultdict(list)
    for token in _all(log, events.TokenDecoded):
        steps[token.event.generation].append(wall.get(token.id, 0))
    onsets: dict[int, int] = {}
    for started in _all(log, events.SpeechStarted):
        onset_us = matched.onset_us.get(started.event.utterance)
        if onset_us is not None:
            samples["onset_delay"].append(started.at_us - onset_us)
            onsets[started.event.generation] = onset_us
    for stopped in _all(log, events.AnswerInterrupted):
        onset_us = onsets.get(stopped.event.by_generation)
        if onset_us is None:
            continue
        generation = stopped.event.generation
        if stopped.event.silenced_us > 0:
            samples["barge_in_to_silence"].append(stopped.at_us - onset_us)
        if not stopped.event.complete and steps[generation]:
            in_flight = max(steps[generation])
            samples["barge_in_to_decode_stop"].append(stopped.at_us + in_flight - onset_us)


def _throughput(
    log: RunLog, questions: Sequence[Question], samples: dict[str, list[float]]
) -> None:
    wall = _wall_us(log, "decode")
    first_step = {
        t.event.generation: wall.get(t.id, 0)
        for t in _all(log, events.TokenDecoded)
        if t.event.index == 0
    }
    for question in questions:
        tokens = question.tokens_at
        if len(tokens) > 1 and tokens[-1] > tokens[0] and not question.interrupted:
            samples["decode_rate"].append((len(tokens) - 1) / (tokens[-1] - tokens[0]) * 1e6)
        if question.evidence is not None and tokens:
            took = tokens[0] - question.evidence.at_us - first_step.get(question.generation, 0)
            if took > 0:
                samples["prefill_rate"].append(question.evidence.event.prompt_tokens / took * 1e6)
    opened = _all(log, events.SourceOpened)
    duration_us = opened[0].event.duration_us if opened else None
    if duration_us and log.timings:
        engine_us = sum(t.wall_us for t in log.timings)
        samples["real_time_factor"].append(engine_us / duration_us)


def _all(log: RunLog, kind: type[E]) -> list[Stamped[E]]:
    return [Stamped(s.id, s.at_us, s.event) for s in log.events if isinstance(s.event, kind)]


def _wall_us(log: RunLog, stage: str) -> dict[int, int]:
    """Measured time of ``stage`` by event; an event may have times of several stages."""
    return {t.event: t.wall_us for t in log.timings if t.stage == stage}
