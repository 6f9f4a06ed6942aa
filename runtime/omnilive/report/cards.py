"""One card per question: what was heard, what it is about, what was shown, said, and how fast.

Bounded: a card shows the clips selected and the best of the rest, and fewer pictures where there
are many cards.
"""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.report.answer import answer_section
from omnilive.report.markup import clock, definitions, duration, esc, frame_name, span, thinned
from omnilive.report.model import ClipBar, Run
from omnilive.report.questions import Question, stand_in, steps, total_us
from omnilive.report.scale import Scale, scale_for
from omnilive.report.thumbnails import Thumbnails
from omnilive.report.timeline import moment_id

MAX_SELECTED_ROWS = 12
OTHER_ROWS = 3
"""Clips shown beside the selected ones."""
MAX_EVIDENCE = 24
MIN_EVIDENCE = 4

_LANGUAGES = {"en": "English", "zh": "Chinese"}


@dataclass(frozen=True)
class Cards:
    """The cards that fit, whose they are (utterances), and how many did not."""

    html: str
    utterances: frozenset[int]
    left_out: int


@dataclass(frozen=True)
class _Page:
    """What every card of one page shares.

    Attributes:
        longest_us: the longest wait for an answer; bars are drawn against it.
        evidence: pictures a card may show as evidence.
        sound: file to hear the answers in, or empty.
    """

    clips: dict[int, ClipBar]
    thumbnails: Thumbnails
    longest_us: int
    evidence: int
    scale: Scale
    sound: str


def cards(run: Run, thumbnails: Thumbnails, max_bytes: int, sound: str) -> Cards:
    """Cards in the order of asking, as many as ``max_bytes`` of HTML hold.

    Args:
        sound: file on the stream's timeline to hear the answers in, or empty.
    """
    page = _Page(
        clips={clip.index: clip for clip in run.clips},
        thumbnails=thumbnails,
        longest_us=max((total_us(steps(q)) for q in run.questions), default=0),
        evidence=_evidence_per_card(run, thumbnails),
        scale=scale_for(run.duration_us),
        sound=sound,
    )
    parts: list[str] = []
    size = 0
    for question in run.questions:
        card = _card(question, page)
        size += len(card.encode("utf-8", "replace"))
        if size > max_bytes:
            break
        parts.append(card)
    shown = frozenset(q.utterance for q in run.questions[: len(parts)])
    return Cards("".join(parts), shown, len(run.questions) - len(parts))


def _evidence_per_card(run: Run, thumbnails: Thumbnails) -> int:
    """So many pictures that every card can have as many, beside those of its clips."""
    answered = sum(q.evidence is not None for q in run.questions)
    room = thumbnails.room - len(run.clips)
    return max(MIN_EVIDENCE, min(MAX_EVIDENCE, room // max(1, answered)))


def _card(question: Question, page: _Page) -> str:
    outcome = esc(question.outcome)
    kind = "typed" if question.typed else f"utterance {question.utterance}"
    tick = moment_id(page.scale.tick_before_us(question.asked_us))
    head = (
        f"<header><h3>{esc(question.text) or '<i>nothing understood</i>'}</h3>"
        f'<p class="meta"><a href="#{tick}">{clock(question.asked_us)}</a> · {kind}'
        f' · <span class="outcome {outcome.split(",")[0]}">{outcome}</span></p>'
        "</header>"
    )
    body = (
        _facts(question)
        + _latencies(question, page.longest_us)
        + _retrieval(question, page)
        + _evidence(question, page)
        + answer_section(question, page.thumbnails, page.evidence, page.sound)
    )
    return f'<article class="card" id="q{question.utterance}">{head}{body}</article>'


def _facts(question: Question) -> str:
    facts: list[tuple[str, str]] = []
    if question.language:
        facts.append(("language", _LANGUAGES.get(question.language, question.language)))
    if question.sound:
        facts.append(("background sound", question.sound))
    if question.onset_us is not None and question.ended is not None:
        facts.append(("spoken", span(question.onset_us, question.ended.event.end_us)))
    if question.checked is not None:
        check = question.checked.event
        verdict = "instruction" if check.is_instruction else "no instruction"
        facts.append(("instruction check", f"{check.probability:.3f} → {verdict}"))
    if question.reopened:
        facts.append(("speech resumed", f"{question.reopened}×"))
    if len(question.transcripts) > 1:
        facts.append(("split into", f"{len(question.transcripts)} parts"))
    return definitions(facts)


def _latencies(question: Question, longest_us: int) -> str:
    waits = tuple(w for w in steps(question) if w.end_us > w.start_us)
    total = total_us(waits)
    if total <= 0 or not longest_us:
        return ""
    bars = "".join(
        f'<span class="s{_colour(w.name)}"'
        f' style="flex-grow:{max(1, w.end_us - w.start_us)}"></span>'
        for w in waits
    )
    items = "".join(
        f'<li><span class="swatch s{_colour(w.name)}"></span>{esc(w.name)}'
        f" <b>{duration(w.end_us - w.start_us)}</b></li>"
        for w in waits
    )
    since = "since it was typed" if question.typed else "since the end of speech"
    return (
        f"<section><h4>{duration(total)} {since} <small>to {esc(waits[-1].name)}</small></h4>"
        f'<div class="wait" style="width:{max(2.0, 100 * total / longest_us):.1f}%"'
        f' aria-hidden="true">{bars}</div><ul class="legend">{items}</ul></section>'
    )


def _retrieval(question: Question, page: _Page) -> str:
    if question.grounded is None:
        return ""
    grounded = question.grounded.event
    selected = set(grounded.selected)
    scored = sorted(
        zip(grounded.clips, grounded.scores, strict=False),
        key=lambda s: (s[0] not in selected, -s[1]),
    )
    shown = scored[: min(len(selected), MAX_SELECTED_ROWS) + OTHER_ROWS]
    rows = "".join(
        _clip_row(clip, score, clip in selected, page.clips.get(clip), page.thumbnails)
        for clip, score in shown
    )
    more = len(scored) - len(shown)
    rest = f'<p class="meta">and {more} more clips</p>' if more > 0 else ""
    instead = f" · {stand_in(grounded.fallback)}" if scored and grounded.fallback else ""
    chose = f"{esc(grounded.rule)}: {len(selected)} of {len(scored)} clips{instead}"
    table = (
        '<div class="scroll"><table><thead><tr><th>clip</th><th>frame</th><th>span</th>'
        "<th>cosine</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )
    found = f"{table if rows else '<p class=meta>no clips yet</p>'}{rest}"
    if question.unanswered:
        summary = f"<summary>Retrieval, not used <small>{chose}</small></summary>"
        return f"<details>{summary}{found}</details>"
    return f"<section><h4>Retrieval <small>{chose}</small></h4>{found}</section>"


def _clip_row(
    index: int, score: float, selected: bool, clip: ClipBar | None, thumbnails: Thumbnails
) -> str:
    where = span(clip.start_us, clip.end_us) if clip else "not in the log"
    label = f"clip {index}"
    picture = thumbnails.inline(clip.keyframe, label) if clip and clip.keyframe else ""
    width = max(0.0, min(1.0, score)) * 100
    mark = '<span aria-label="selected">✓</span> ' if selected else ""
    return (
        f'<tr{" class=chosen" if selected else ""}><th scope="row">{mark}{index}</th>'
        f"<td>{picture}</td><td>{where}</td>"
        f'<td class="score"><span style="width:{width:.0f}%"></span>{score:.3f}</td></tr>'
    )


def _evidence(question: Question, page: _Page) -> str:
    if question.evidence is None:
        return ""
    chosen = question.evidence.event
    facts = [
        ("tiles", str(chosen.tiles)),
        ("visual tokens", str(chosen.visual_tokens)),
        ("memory tokens", str(chosen.memory_tokens)),
        ("text tokens", str(chosen.text_tokens)),
        ("prompt", f"{chosen.prompt_tokens} tokens"),
        ("estimated", duration(chosen.estimated_ms * 1_000)),
        ("limited by", chosen.limited_by or "nothing"),
    ]
    if chosen.evicted:
        facts.append(("frames no longer kept", str(chosen.evicted)))
    shown = thinned(chosen.frames, page.evidence)
    pictures = "".join(page.thumbnails.inline(i, f"shown: {frame_name(i)}") for i in shown)
    less = "" if len(shown) == len(chosen.frames) else f", {len(shown)} of them here"
    frames = "frame" if len(chosen.frames) == 1 else "frames"
    count = f"{len(chosen.frames)} {frames} shown to the reasoner{less}"
    return (
        f"<section><h4>Evidence <small>{count}</small></h4>"
        f'<div class="pictures-row">{pictures}</div>{definitions(facts)}</section>'
    )


_STEP_COLOURS = (
    "endpoint",
    "transcript",
    "instruction + grounding",
    "evidence",
    "first token",
    "first audio",
)


def _colour(name: str) -> int:
    return _STEP_COLOURS.index(name)
