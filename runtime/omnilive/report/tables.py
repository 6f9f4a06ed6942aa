"""The tables: the questions at a glance, wall time per stage, and the clips.

What the timeline draws is here in words, for those who cannot see it.
"""

from __future__ import annotations

from collections.abc import Set

from omnilive.report.markup import clock, duration, esc, span, thinned
from omnilive.report.model import Run
from omnilive.report.questions import Question, steps, total_us

MAX_ROWS = 500
_WORDS = 160
"""Characters of a question or an answer in a table."""

_STAGE_HELP = {
    "see": "frame → features, keyframe written",
    "compress": "clip → short-term and global memory",
    "integrate": "clips → long-term memory",
    "classify": "background → sound class",
    "transcribe": "utterance → words",
    "instruction": "words → P(instruction)",
    "ground": "question → selected clips",
    "evidence": "frames chosen, stitched, encoded; prompt built",
    "decode": "one answer token",
    "refresh": "the newest frames shown to an answer that goes on",
    "speak": "one sentence → audio",
}


def question_table(run: Run, carded: Set[int]) -> str:
    """Every question (thinned evenly beyond a bound) with its answer, linked to its card.

    Args:
        carded: utterances that have a card to link to.
    """
    if not run.questions:
        return ""
    shown = thinned(run.questions, MAX_ROWS)
    rows = "".join(_question_row(q, carded) for q in shown)
    less = len(run.questions) - len(shown)
    note = f'<p class="meta">{less} more are left out, evenly spread.</p>' if less else ""
    return (
        '<section class="panel"><div class="scroll tall"><table class="words"><thead><tr>'
        '<th>asked</th><th class="say">question</th><th class="say">answer</th>'
        '<th class="wide">first word after</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{note}</section>"
    )


def _question_row(question: Question, carded: Set[int]) -> str:
    words = esc(question.text, _WORDS) or "<i>nothing understood</i>"
    if question.utterance in carded:
        words = f'<a href="#q{question.utterance}">{words}</a>'
    outcome = esc(question.outcome)
    answer = f'<span class="outcome">{outcome}</span>'
    if question.answer.strip():
        said = esc(question.answer, _WORDS)
        answer = said if question.outcome == "answered" else f"{said} ({answer})"
    waits = steps(question)
    heard = bool(waits) and waits[-1].name == "first audio"
    wait = duration(total_us(waits)) if heard else ""
    return (
        f'<tr><th scope="row">{clock(question.asked_us)}</th><td class="say">{words}</td>'
        f'<td class="say" lang="{esc(question.language)}">{answer}</td>'
        f'<td class="wide">{wait}</td></tr>'
    )


def stage_table(run: Run) -> str:
    """Measured wall time per stage, or nothing without ``timings.jsonl``."""
    if not run.stages:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{esc(stage)}</th><td class="wide">{_STAGE_HELP.get(stage, "")}</td>'
        f"<td>{s.count}</td><td>{duration(s.p50)}</td><td>{duration(s.p95)}</td>"
        f"<td>{duration(s.maximum)}</td><td>{duration(s.total)}</td></tr>"
        for stage, s in run.stages
    )
    return (
        '<section class="panel"><h2>Wall time per stage</h2><div class="scroll"><table>'
        '<thead><tr><th>stage</th><th class="wide">what</th><th>count</th><th>p50</th><th>p95</th>'
        f"<th>max</th><th>total</th></tr></thead><tbody>{rows}</tbody></table></div>"
        '<p class="meta">Measured on the machine that ran it, from timings.jsonl.</p></section>'
    )


def clip_table(run: Run) -> str:
    """Every clip (thinned evenly beyond a bound), folded away."""
    if not run.clips:
        return ""
    shown = thinned(run.clips, MAX_ROWS)
    rows = "".join(
        f'<tr><th scope="row">{c.index}</th><td>{span(c.start_us, c.end_us)}</td>'
        f"<td>{c.frames}</td><td>{esc(c.reason)}</td>"
        f"<td>{'–' if c.short_term_tokens is None else c.short_term_tokens}</td></tr>"
        for c in shown
    )
    some = "" if len(shown) == len(run.clips) else f", {len(shown)} of them here, evenly spread"
    return (
        f'<details class="panel"><summary>{len(run.clips)} clips as a table{some}</summary>'
        '<div class="scroll"><table><thead><tr><th>clip</th><th>span</th><th>frames</th>'
        "<th>ended by</th><th>short-term tokens</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></details>"
    )
