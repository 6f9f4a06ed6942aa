"""The whole page as one string: header, banners, timeline, cards, tables. It fetches nothing.

Bounded: texts, marks, pictures and cards each have a limit, and the page says what it left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from omnilive.report.cards import cards
from omnilive.report.markup import clock, esc
from omnilive.report.model import Run
from omnilive.report.tables import clip_table, question_table, stage_table
from omnilive.report.thumbnails import ThumbnailLimits, Thumbnails
from omnilive.report.timeline import draw

MAX_NOTICES = 50


@dataclass(frozen=True)
class PageLimits:
    """What one page may take; the defaults keep it under 8 MB."""

    thumbnails: ThumbnailLimits = field(default_factory=ThumbnailLimits)
    card_bytes: int = 1_500_000
    """Bytes of HTML of all question cards."""


def document(run: Run, keyframes: Path, *, sound: str, limits: PageLimits) -> str:
    """The report of ``run`` as HTML.

    Args:
        keyframes: folder of the keyframes; pictures that are gone show as boxes.
        sound: file beside the page to hear the answers in, on the stream's timeline; or empty.
    """
    thumbnails = Thumbnails(keyframes, limits.thumbnails)
    # Cards first: their pictures serve the strip, too, which has some set aside for itself.
    asked = cards(run, thumbnails, limits.card_bytes, sound)
    thumbnails.open_strip()
    timeline = draw(run, thumbnails, asked.utterances)
    notes = list(timeline.notes)
    if asked.left_out:
        notes.append(f"{asked.left_out} later questions have no card: the page is full.")
    if thumbnails.refused:
        notes.append(f"{thumbnails.refused} places have no picture: the page is full.")
    name = run.source.name if run.source else "unknown source"
    css = resources.files("omnilive.report").joinpath("style.css").read_text(encoding="utf-8")
    audio = f' · <a href="{esc(sound)}">{esc(sound)}</a>' if sound else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{esc(name)} · OmniLive</title><style>{css}</style></head><body>"
        f"{thumbnails.definitions()}"
        f"<header><h1>{esc(name)}</h1>{_facts(run)}</header>{_banners(run)}<main>"
        f'<section class="panel"><h2>Timeline</h2>{timeline.html}{_key(run)}'
        + "".join(f'<p class="meta">{esc(note)}</p>' for note in notes)
        + f"</section><h2>Questions <small>{_counts(run)}{audio}</small></h2>"
        f"{question_table(run, asked.utterances)}"
        f'<div class="cards">{asked.html or _NO_QUESTIONS}</div>'
        f"{stage_table(run)}{clip_table(run)}{_notices(run)}</main></body></html>\n"
    )


_NO_QUESTIONS = '<p class="meta">Nobody asked anything.</p>'

_KEY = (
    '<li><svg width="16" height="10"><line class="mark-cut" x1="8" x2="8" y1="0" y2="10"/></svg>'
    "cut</li>"
    '<li><svg width="16" height="10"><line class="mark-length" x1="8" x2="8" y1="0" y2="10"/></svg>'
    "cut by length</li>"
    '<li><span class="swatch lit"></span>clip selected for a question</li>'
    '<li><span class="swatch speech"></span>speech, tick = endpoint decided</li>'
    '<li><span class="swatch answer"></span>answer heard</li>'
    '<li><span class="swatch silenced"></span>silenced by barge-in</li>'
    '<li><svg width="22" height="10"><line class="thinking" x1="0" x2="22" y1="5" y2="5"/></svg>'
    "waiting for the answer</li>"
)
_NOTICE_KEY = (
    '<li><svg width="12" height="10"><path class="notice" d="M6 10l-5 -9h10z"/></svg>'
    "notice about the source</li>"
)
_DROPPED_KEY = (
    '<li><svg width="10" height="10"><line class="dropped" x1="5" x2="5" y1="1" y2="9"/></svg>'
    "frame dropped</li>"
)
_LOOKED_KEY = (
    '<li><svg width="10" height="12"><path class="looked" d="M1 6l4 -6l4 6l-4 6z"/></svg>'
    "looked again: the scene had changed</li>"
)


def _key(run: Run) -> str:
    odd = (_NOTICE_KEY if run.notices else "") + (_DROPPED_KEY if run.dropped_us else "")
    odd += _LOOKED_KEY if any(q.refreshed for q in run.questions) else ""
    return f'<ul class="legend key">{_KEY}{odd}</ul>'


def _facts(run: Run) -> str:
    facts: list[tuple[str, str]] = []
    if run.source is not None:
        size = f", {run.source.width}×{run.source.height}" if run.source.has_video else ""
        tracks = " + ".join(
            t
            for t, there in (("video", run.source.has_video), ("audio", run.source.has_audio))
            if there
        )
        facts.append(("source", f"{tracks or 'empty'}{size}"))
        if run.source.duration_us is not None:
            facts.append(("duration", clock(run.source.duration_us)))
    if run.started is not None:
        started = run.started
        facts += [
            ("engine pack", started.pack),
            ("precision", started.precision),
            ("preset", started.preset),
            ("clock", _CLOCKS.get(started.clock, started.clock)),
        ]
    facts.append(("frames", f"{len(run.frames)} in {len(run.clips)} clips"))
    items = "".join(f"<div><dt>{k}</dt><dd>{esc(v)}</dd></div>" for k, v in facts)
    return f'<dl class="facts">{items}</dl>'


_CLOCKS = {
    "virtual": "virtual (times follow configured costs)",
    "monotonic": "wall clock (times are measured)",
}


def _banners(run: Run) -> str:
    banners = []
    if run.started is not None and not run.started.trained:
        banners.append(
            "<b>Untrained engines: the words are noise.</b> Seeded random weights heard and said"
            " them, so no transcript or answer means anything; the timeline, the path of"
            " retrieval and the times are real."
        )
    if run.ended is None:
        banners.append(
            "<b>This log was cut short.</b> It has no last event: the run was stopped, or failed."
            " What it wrote until then is below."
        )
    if run.has_earlier_parts:
        banners.append(
            "<b>This is the newest part of a longer log.</b> What came before lies in"
            " events.1.jsonl and the files numbered after it."
        )
    if run.unreadable:
        lines = "line" if run.unreadable == 1 else "lines"
        banners.append(f"{run.unreadable} unreadable log {lines} left out.")
    return "".join(f'<p class="banner" role="note">{b}</p>' for b in banners)


_OUTCOMES = {
    "answered": "answered",
    "cancelled": "cancelled",
    "filler, not answered": "taken for filler",
    "no words, not answered": "without words",
    "too long, not answered": "too long to answer",
    "superseded, not answered": "superseded by newer words",
    "unfinished": "unfinished",
}


def _counts(run: Run) -> str:
    counted = Counter(q.outcome for q in run.questions)
    order = [*_OUTCOMES, *sorted(set(counted) - set(_OUTCOMES))]
    return ", ".join(f"{n} {esc(_OUTCOMES.get(o, o))}" for o in order if (n := counted[o]))


def _notices(run: Run) -> str:
    if not run.notices:
        return ""
    items = "".join(f"<li>{clock(n.pts_us)} {esc(n.what)}</li>" for n in run.notices[:MAX_NOTICES])
    more = len(run.notices) - MAX_NOTICES
    rest = f'<p class="meta">and {more} more</p>' if more > 0 else ""
    return f'<section class="panel"><h2>Notices</h2><ul>{items}</ul>{rest}</section>'
