"""The lanes of the timeline below the frames, one function each: SVG in the lane's coordinates.

They never overlap two texts: a label that does not fit is cut, moved to a row of its own or left
to its title.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from omnilive.report.markup import clock, duration, esc, fitted, span, text_width, thinned
from omnilive.report.model import Run
from omnilive.report.questions import Question, Refresh, stand_in
from omnilive.report.scale import Scale, rows_for

MAX_ITEMS = 1_500
"""Marks of one kind in one lane."""

BAR_PX = 24
_LINKS_PX = 64
_TRACK_PX = 20
_CHIP_PX = 20
_CHIP_ROWS = 4
_CHIP_WIDTH_PX = 280
_CHAR_PX = 6.4
_MANY_LINKS = 60
_FAR_PX = 1_600
_STUB_PX = 70
_MAX_REFRESHES = 50


@dataclass(frozen=True)
class Drawn:
    """One lane: ``svg`` in its own coordinates, ``gap`` pixels of air below it."""

    label: str
    height: float
    svg: str
    hint: str = ""
    notes: tuple[str, ...] = ()
    gap: float = 6


def clips(run: Run, scale: Scale) -> Drawn:
    """A bar per clip; those a question selected are lit."""
    lit = {i for q in run.questions if q.grounded for i in q.grounded.event.selected}
    parts = []
    for clip in thinned(run.clips, MAX_ITEMS):
        x, width = scale.x(clip.start_us), max(1.0, scale.x(clip.end_us - clip.start_us) - 1)
        why = "" if clip.reason == "cut" else f" {clip.reason}"
        label = fitted(f"{clip.index}{why}", width - 8, _CHAR_PX)
        if not label and width > 2 * _CHAR_PX:
            label = fitted(str(clip.index), width - 2, _CHAR_PX)
        state = "clip lit" if clip.index in lit else "clip"
        parts.append(
            f'<g><rect class="{state}" x="{x:.1f}" y="1" width="{width:.1f}"'
            f' height="{BAR_PX - 2}" rx="3"><title>clip {clip.index},'
            f" {span(clip.start_us, clip.end_us)}, {clip.frames} frames, ended by {clip.reason}"
            f'</title></rect><text class="on-clip" x="{x + 4:.1f}" y="16">{label}</text></g>'
        )
    svg = "".join(parts) or empty("no clips")
    return Drawn("Clips", BAR_PX, svg, notes=dense("clips", run.clips), gap=0)


def retrieval(run: Run, scale: Scale, carded: Set[int]) -> Drawn:
    """Lines from each question up to the clips selected for it; faint where there are many.

    A line to a clip far away shows only its two ends: whole, they would cover each other.

    Args:
        carded: utterances that have a card to link to.
    """
    middle = {c.index: scale.x((c.start_us + c.end_us) // 2) for c in run.clips}
    asked = [(q, q.grounded.event) for q in run.questions if q.grounded]
    parts = []
    for question, grounded in thinned(asked, MAX_ITEMS // 5):
        x = scale.x(question.asked_us)
        links = "".join(_link(x, middle[i]) for i in grounded.selected[:32] if i in middle)
        chosen = ", ".join(str(i) for i in grounded.selected) or "no clip"
        instead = f" ({stand_in(grounded.fallback)})" if grounded.fallback else ""
        parts.append(
            f'<a{_to_card(question, carded)} class="asked"><title>'
            f"{esc(question.text, 200)}: {esc(chosen, 200)}{instead}</title>{links}"
            f'<circle cx="{x:.1f}" cy="{_LINKS_PX - 5}" r="5"/></a>'
        )
    if not parts:
        return Drawn("Retrieval", BAR_PX, empty("no questions"))
    many = ' class="many"' if sum(len(g.selected) for _, g in asked) > _MANY_LINKS else ""
    svg = f"<g{many}>{''.join(parts)}</g>"
    cut = any(
        abs(scale.x(q.asked_us) - middle.get(i, scale.x(q.asked_us))) > _FAR_PX
        for q, g in asked
        for i in g.selected
    )
    notes = dense("questions", asked, 5)
    if cut:
        notes += ("Lines to clips far away show only their ends; point at a dot for its clips.",)
    return Drawn("Retrieval", _LINKS_PX, svg, notes=notes)


def _link(question_x: float, clip_x: float) -> str:
    """From a question's dot up to the middle of a clip."""
    low, high = _LINKS_PX - 5, 0
    if abs(question_x - clip_x) <= _FAR_PX:
        path = (
            f"M{question_x:.1f} {low}C{question_x:.1f} {_LINKS_PX / 3:.0f}"
            f" {clip_x:.1f} {_LINKS_PX * 2 / 3:.0f} {clip_x:.1f} {high}"
        )
        return f'<path class="link" d="{path}"/>'
    towards = _STUB_PX if clip_x > question_x else -_STUB_PX
    middle = _LINKS_PX / 2
    path = (
        f"M{question_x:.1f} {low}Q{question_x:.1f} {middle:.0f}"
        f" {question_x + towards:.1f} {middle:.0f}"
        f"M{clip_x:.1f} {high}Q{clip_x:.1f} {middle:.0f} {clip_x - towards:.1f} {middle:.0f}"
    )
    return f'<path class="link far" d="{path}"/>'


def speech(run: Run, scale: Scale) -> Drawn:
    """A bar per utterance from its onset to its last voiced sample, and a tick at the endpoint."""
    parts = []
    spoken = [q for q in run.questions if q.onset_us is not None]
    for question in thinned(spoken, MAX_ITEMS):
        start = question.onset_us or 0
        end = question.ended.event.end_us if question.ended else max(start, run.logged_us)
        decided = question.ended.at_us if question.ended else end
        x, width = scale.x(start), max(2.0, scale.x(end - start))
        parts.append(
            f'<rect class="speech" x="{x:.1f}" y="4" width="{width:.1f}" height="{BAR_PX - 8}"'
            f' rx="4"><title>utterance {question.utterance}, {span(start, end)}</title></rect>'
            f'<line class="endpoint" x1="{scale.x(decided):.1f}" x2="{scale.x(decided):.1f}"'
            f' y1="2" y2="{BAR_PX - 2}"><title>{clock(decided)} endpoint decided</title></line>'
        )
    why = "no audio track" if run.source and not run.source.has_audio else "no speech"
    return Drawn("Speech", BAR_PX, "".join(parts) or empty(why), notes=dense("speech", spoken))


def heard(run: Run, scale: Scale, carded: Set[int]) -> Drawn:
    """The words, where they were known, in as many rows as it takes; ``carded``: those linked."""
    said = [q for q in run.questions if q.transcripts]
    svg, height, crowded = _chips(
        [
            (q.transcripts[0].at_us, q.text or "(no words)", q, "quiet" if q.unanswered else "")
            for q in thinned(said, MAX_ITEMS)
        ],
        scale,
        carded,
    )
    notes = dense("transcripts", said) + _crowded("transcripts", crowded)
    return Drawn("Heard", height, svg or empty("nothing heard"), notes=notes)


def answers(run: Run, scale: Scale, carded: Set[int]) -> Drawn:
    """Sentences where they sound, and their words below; ``carded``: questions linked.

    What a barge-in silenced is hatched; the wait before is a thin line; a diamond is where it
    looked again.
    """
    answered = [q for q in run.questions if q.sentences or q.tokens_at]
    shown = thinned(answered, MAX_ITEMS // 2)
    parts = []
    for question in shown:
        first = question.sentences[0].event.start_us if question.sentences else None
        until = first if first is not None else question.tokens_at[-1]
        begun = scale.x(question.asked_us)
        parts.append(
            f'<line class="thinking" x1="{begun:.1f}" x2="{scale.x(until):.1f}"'
            f' y1="{_TRACK_PX / 2}" y2="{_TRACK_PX / 2}"><title>waiting for the answer:'
            f" {duration(until - question.asked_us)}</title></line>"
        )
        sentences = range(len(question.sentences[:200]))
        parts.extend(_sentence(question, i, scale, carded) for i in sentences)
        parts.extend(_refresh(refresh, scale) for refresh in question.refreshed[:_MAX_REFRESHES])
    words, height, crowded = _chips(
        [
            (q.sentences[0].event.start_us, q.answer, q, "said")
            for q in shown
            if q.sentences and q.answer.strip()
        ],
        scale,
        carded,
        top=_TRACK_PX,
    )
    svg = "".join(parts) + words
    notes = dense("answers", answered, 2) + _crowded("answers", crowded)
    return Drawn("Answers", height, svg or empty("no answers"), notes=notes, gap=0)


def _to_card(question: Question, carded: Set[int]) -> str:
    """The attribute that links to the card of ``question``, if it has one."""
    return f' href="#q{question.utterance}"' if question.utterance in carded else ""


def _sentence(question: Question, index: int, scale: Scale, carded: Set[int]) -> str:
    sentence = question.sentences[index].event
    until = question.heard_until_us(sentence)
    x, heard_px = scale.x(sentence.start_us), scale.x(until - sentence.start_us)
    parts = [f"<a{_to_card(question, carded)}>"]
    if until < sentence.end_us:
        silenced = scale.x(sentence.end_us - until)
        parts.append(
            f'<rect class="silenced" x="{x + heard_px:.1f}" y="3" width="{silenced:.1f}"'
            f' height="{_TRACK_PX - 6}" rx="2"><title>silenced by a newer utterance:'
            f" {duration(sentence.end_us - until)}</title></rect>"
        )
    if until > sentence.start_us:
        parts.append(
            f'<rect class="answer" x="{x:.1f}" y="3" width="{max(1.0, heard_px - 1):.1f}"'
            f' height="{_TRACK_PX - 6}" rx="2"><title>{span(sentence.start_us, until)}'
            f" {esc(sentence.text, 300)}</title></rect>"
        )
    return "".join(parts) + "</a>"


def _refresh(refresh: Refresh, scale: Scale) -> str:
    """A mark where an answer looked again; it may be decoded long before it is heard."""
    x = scale.x(refresh.at_us)
    return (
        f'<path class="looked" d="M{x - 4:.1f} {_TRACK_PX / 2}l4 -6l4 6l-4 6z">'
        f"<title>{clock(refresh.at_us)} looked again: the scene was another</title></path>"
    )


def _chips(
    items: Sequence[tuple[int, str, Question, str]],
    scale: Scale,
    carded: Set[int],
    top: float = 0,
) -> tuple[str, float, int]:
    """Words at their moments, in rows so that none overlap.

    Args:
        items: (moment, words, question, extra class).
        carded: utterances that have a card to link to.
        top: y of the first row.

    Returns:
        The SVG, the lane's height with ``top``, and how many found no row: those are dots.
    """
    boxes = []
    for at_us, text, question, kind in items:
        words = fitted(text, _CHIP_WIDTH_PX, _CHAR_PX)
        width = text_width(words, _CHAR_PX) + 14
        x = min(scale.x(at_us), max(0.0, scale.width - width))
        boxes.append((x, width, words, f"{clock(at_us)} {text}", question, kind))
    boxes.sort(key=lambda b: b[0])
    rows = rows_for([(b[0], b[0] + b[1] + 4) for b in boxes], _CHIP_ROWS)
    parts = []
    for (x, width, words, title, question, kind), row in zip(boxes, rows, strict=True):
        parts.append(f"<a{_to_card(question, carded)}><title>{esc(title, 300)}</title>")
        if row is None:
            y = top + _CHIP_PX * _CHIP_ROWS
            parts.append(f'<circle class="chip {kind}" cx="{x:.1f}" cy="{y:.0f}" r="3"/></a>')
            continue
        y = top + row * _CHIP_PX + 2
        parts.append(
            f'<rect class="chip {kind}" x="{x:.1f}" y="{y:.0f}" width="{width:.1f}"'
            f' height="{_CHIP_PX - 2}" rx="9"/><text class="on-chip" x="{x + 7:.1f}"'
            f' y="{y + 13:.0f}">{esc(words)}</text></a>'
        )
    used = 1 + max((r for r in rows if r is not None), default=0)
    return "".join(parts), top + used * _CHIP_PX + 4, sum(r is None for r in rows)


def _crowded(what: str, count: int) -> tuple[str, ...]:
    if not count:
        return ()
    return (f"{count} {what} stand too close to be written out: dots; the cards have them.",)


def empty(why: str) -> str:
    """What an empty lane says instead."""
    return f'<text class="empty" x="6" y="16">{esc(why)}</text>'


def dense(what: str, items: Sequence[object], per_item: int = 1) -> tuple[str, ...]:
    """The note that marks were thinned, when they were; an item may take several marks."""
    limit = MAX_ITEMS // per_item
    if len(items) <= limit:
        return ()
    return (f"The timeline shows {limit} of {len(items)} {what}, evenly spread.",)
