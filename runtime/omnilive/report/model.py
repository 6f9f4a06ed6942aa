"""A run as the report shows it: frames, clips, questions and stage times from its two logs.

It reads no files and draws nothing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from omnilive import events
from omnilive.report.questions import Question, fold
from omnilive.report.reading import RunLog
from omnilive.report.statistics import Summary, summarize

MIN_DURATION_US = 1_000_000
"""A timeline is at least this long, so that an empty run has one too."""


@dataclass(frozen=True)
class FrameMark:
    """One encoded frame: ``at_us`` is when its features existed."""

    pts_us: int
    at_us: int
    clip: int
    cosine: float | None
    keyframe: str


@dataclass(frozen=True)
class ClipBar:
    """One clip. ``reason`` is that of ``ClipClosed``, or ``open`` when the log ends inside it.

    ``keyframe`` is that of its middle frame; ``short_term_tokens`` is None before compression.
    """

    index: int
    start_us: int
    end_us: int
    frames: int
    reason: str
    keyframe: str
    short_term_tokens: int | None


@dataclass(frozen=True)
class Run:
    """One run. ``started``, ``source`` and ``ended`` are None where the log was cut short.

    Attributes:
        duration_us: length of the timeline: to the end of the source and of what was heard.
        logged_us: time of the last event.
        dropped_us: PTS of the frames that were dropped.
    """

    started: events.SessionStarted | None
    source: events.SourceOpened | None
    ended: events.SessionEnded | None
    duration_us: int
    logged_us: int
    frames: tuple[FrameMark, ...]
    dropped_us: tuple[int, ...]
    clips: tuple[ClipBar, ...]
    questions: tuple[Question, ...]
    notices: tuple[events.SourceNotice, ...]
    stages: tuple[tuple[str, Summary], ...]
    unreadable: int
    has_earlier_parts: bool


def build(log: RunLog) -> Run:
    """Put the events of ``log`` together."""
    started: events.SessionStarted | None = None
    source: events.SourceOpened | None = None
    ended: events.SessionEnded | None = None
    frames: list[FrameMark] = []
    dropped: list[int] = []
    closed: list[events.ClipClosed] = []
    short_term: dict[int, int] = {}
    notices: list[events.SourceNotice] = []
    for stamped in log.events:
        event = stamped.event
        if isinstance(event, events.FrameEncoded):
            frames.append(
                FrameMark(event.pts_us, stamped.at_us, event.clip, event.cosine, event.keyframe)
            )
        elif isinstance(event, events.FrameDropped):
            dropped.append(event.pts_us)
        elif isinstance(event, events.ClipClosed):
            closed.append(event)
        elif isinstance(event, events.ClipCompressed):
            short_term[event.clip] = event.short_term_tokens
        elif isinstance(event, events.SourceNotice):
            notices.append(event)
        elif isinstance(event, events.SessionStarted):
            started = event
        elif isinstance(event, events.SourceOpened):
            source = event
        elif isinstance(event, events.SessionEnded):
            ended = event
    return Run(
        started=started,
        source=source,
        ended=ended,
        duration_us=_duration_us(log, source),
        logged_us=max((s.at_us for s in log.events), default=0),
        frames=tuple(frames),
        dropped_us=tuple(dropped),
        clips=_clips(frames, closed, short_term),
        questions=fold(log.events),
        notices=tuple(notices),
        stages=_stages(log),
        unreadable=log.unreadable,
        has_earlier_parts=log.has_earlier_parts,
    )


def _duration_us(log: RunLog, source: events.SourceOpened | None) -> int:
    """To the end of the source, of the log, and of what was spoken and heard."""
    cut_at = {
        s.event.generation: s.at_us
        for s in reversed(log.events)
        if isinstance(s.event, events.AnswerInterrupted | events.AnswerCancelled)
    }
    spoken = (
        min(s.event.end_us, cut_at.get(s.event.generation, s.event.end_us))
        for s in log.events
        if isinstance(s.event, events.SentenceSpoken)
    )
    logged = (s.at_us for s in log.events)
    length = source.duration_us if source is not None else None
    return max(MIN_DURATION_US, length or 0, *logged, *spoken, 0)


def _clips(
    frames: list[FrameMark], closed: list[events.ClipClosed], short_term: dict[int, int]
) -> tuple[ClipBar, ...]:
    members: dict[int, list[FrameMark]] = defaultdict(list)
    for frame in frames:
        members[frame.clip].append(frame)
    bars = []
    for clip in closed:
        inside = members.pop(clip.clip, [])
        keyframe = inside[len(inside) // 2].keyframe if inside else ""
        tokens = short_term.get(clip.clip)
        bars.append(
            ClipBar(
                clip.clip, clip.start_us, clip.end_us, clip.frames, clip.reason, keyframe, tokens
            )
        )
    for index, inside in sorted(members.items()):
        last = max(inside[-1].pts_us, inside[0].pts_us + MIN_DURATION_US)
        keyframe = inside[len(inside) // 2].keyframe
        bars.append(ClipBar(index, inside[0].pts_us, last, len(inside), "open", keyframe, None))
    return tuple(bars)


def _stages(log: RunLog) -> tuple[tuple[str, Summary], ...]:
    """Wall times per stage, the costliest stage first."""
    times: dict[str, list[float]] = defaultdict(list)
    for timing in log.timings:
        times[timing.stage].append(timing.wall_us)
    summaries = [(stage, summary) for stage, v in times.items() if (summary := summarize(v))]
    return tuple(sorted(summaries, key=lambda s: -s[1].total))
