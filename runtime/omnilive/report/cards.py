"""One card per question: what was heard, what it is about, what was shown, said, and how fast."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from omnilive import events
from omnilive.report.markup import clock, duration, esc, span, thinned
from omnilive.report.model import ClipBar, Run
from omnilive.report.questions import Question, Step, steps
from omnilive.report.thumbnails import Thumbnails

MAX_CLIP_ROWS = 12
MAX_EVIDENCE = 24

_LANGUAGES = {"en": "English", "zh": "Chinese"}


@dataclass(frozen=True)
class Cards:
    """The cards that fit, and how many did not."""

    html: str
    left_out: int


def cards(run: Run, thumbnails: Thumbnails, max_bytes: int) -> Cards:
    """Cards in the order of asking, as many as ``max_bytes`` of HTML hold."""
    longest = max((_total_us(steps(q)) for q in run.questions), default=0)
    by_index = {clip.index: clip for clip in run.clips}
    parts: list[str] = []
    size = 0
    for question in run.questions:
        card = _card(question, by_index, thumbnails, longest)
        size += len(card.encode("utf-8", "replace"))
        if size > max_bytes:
            break
        parts.append(card)
    return Cards("".join(parts), len(run.questions) - len(parts))


def _card(
    question: Question, clips: dict[int, ClipBar], thumbnails: Thumbnails, longest_us: int
) -> str:
    outcome = esc(question.outcome)
    kind = "typed" if question.typed else f"utterance {question.utterance}"
    head = (
        f"<header><h3>{esc(question.text) or '<i>nothing understood</i>'}</h3>"
        f'<p class="meta">{clock(question.asked_us)} · {kind}'
        f' · <span class="outcome {outcome.split(",")[0]}">{outcome}</span></p>'
        "</header>"
    )
    body = (
        _facts(question)
        + _latencies(question, longest_us)
        + _retrieval(question, clips, thumbnails)
        + _evidence(question, thumbnails)
        + _answer(question)
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
    return _definitions(facts)


def _latencies(question: Question, longest_us: int) -> str:
    waits = tuple(w for w in steps(question) if w.end_us > w.start_us)
    total = _total_us(waits)
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


def _retrieval(question: Question, clips: dict[int, ClipBar], thumbnails: Thumbnails) -> str:
    if question.grounded is None:
        return ""
    grounded = question.grounded.event
    selected = set(grounded.selected)
    scored = sorted(
        zip(grounded.clips, grounded.scores, strict=False),
        key=lambda s: (s[0] not in selected, -s[1]),
    )
    rows = "".join(
        _clip_row(clip, score, clip in selected, clips.get(clip), thumbnails)
        for clip, score in scored[:MAX_CLIP_ROWS]
    )
    more = len(scored) - MAX_CLIP_ROWS
    rest = f'<p class="meta">and {more} clips with lower scores</p>' if more > 0 else ""
    fallback = " · nothing passed the rule: the newest frames stand in" if grounded.fallback else ""
    table = (
        '<div class="scroll"><table><thead><tr><th>clip</th><th>frame</th><th>span</th>'
        "<th>score</th><th>selected</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )
    return (
        f"<section><h4>Retrieval <small>{esc(grounded.rule)}{fallback}</small></h4>"
        f"{table if rows else '<p class=meta>no clips yet</p>'}{rest}</section>"
    )


def _clip_row(
    index: int, score: float, selected: bool, clip: ClipBar | None, thumbnails: Thumbnails
) -> str:
    where = span(clip.start_us, clip.end_us) if clip else "not in the log"
    label = f"clip {index}"
    picture = thumbnails.inline(clip.keyframe, label) if clip and clip.keyframe else ""
    width = max(0.0, min(1.0, score)) * 100
    return (
        f'<tr{" class=chosen" if selected else ""}><th scope="row">{index}</th><td>{picture}</td>'
        f'<td>{where}</td><td class="score"><span style="width:{width:.0f}%"></span>'
        f"{score:.3f}</td><td>{'✓ yes' if selected else 'no'}</td></tr>"
    )


def _evidence(question: Question, thumbnails: Thumbnails) -> str:
    if question.evidence is None:
        return ""
    chosen = question.evidence.event
    facts = [
        ("tiles", str(chosen.tiles)),
        ("visual tokens", str(chosen.visual_tokens)),
        ("memory tokens", str(chosen.memory_tokens)),
        ("text tokens", str(chosen.text_tokens)),
        ("prompt", f"{chosen.prompt_tokens} tokens"),
        ("limited by", chosen.limited_by or "nothing"),
    ]
    shown = thinned(chosen.frames, MAX_EVIDENCE)
    pictures = "".join(thumbnails.inline(i, f"shown: {_frame_name(i)}") for i in shown)
    less = "" if len(shown) == len(chosen.frames) else f", {len(shown)} of them here"
    count = f"{len(chosen.frames)} frames shown to the reasoner{less}"
    return (
        f"<section><h4>Evidence <small>{count}</small></h4>"
        f'<div class="pictures-row">{pictures}</div>{_definitions(facts)}</section>'
    )


def _answer(question: Question) -> str:
    if question.unanswered or not (question.answer or question.tokens_at or question.cancelled):
        return ""
    facts: list[tuple[str, str]] = []
    tokens = len(question.tokens_at)
    if question.finished is not None:
        tokens = question.finished.event.tokens
        facts.append(("ended by", question.finished.event.reason))
    facts.append(("tokens", str(tokens)))
    if tokens > 1 and len(question.tokens_at) > 1:
        took = question.tokens_at[-1] - question.tokens_at[0]
        if took > 0:
            facts.append(("decoding", f"{(len(question.tokens_at) - 1) / took * 1e6:.1f} tokens/s"))
    if question.cancelled is not None:
        facts.extend(_cancellation(question.cancelled.at_us, question.cancelled.event))
    text = esc(question.answer) or "<i>no text</i>"
    return (
        f'<section><h4>Answer</h4><blockquote lang="{esc(question.language)}">{text}</blockquote>'
        f"{_definitions(facts)}</section>"
    )


def _cancellation(at_us: int, cancelled: events.AnswerCancelled) -> Iterable[tuple[str, str]]:
    yield "cancelled", f"at {clock(at_us)} by generation {cancelled.by_generation}"
    yield "silenced", duration(cancelled.silenced_us)


def _definitions(facts: Iterable[tuple[str, str]]) -> str:
    items = "".join(f"<div><dt>{esc(k)}</dt><dd>{esc(v)}</dd></div>" for k, v in facts)
    return f'<dl class="facts">{items}</dl>' if items else ""


def _frame_name(keyframe: str) -> str:
    """Keyframe ids end in their PTS in microseconds; anything else is shown as it is."""
    digits = keyframe.rpartition("-")[2]
    return f"frame at {clock(int(digits))}" if digits.isascii() and digits.isdigit() else keyframe


def _total_us(waits: tuple[Step, ...]) -> int:
    return waits[-1].end_us - waits[0].start_us if waits else 0


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
