"""The tables below the cards: wall time per stage, and the clips.

What the timeline draws is here in words, for those who cannot see it.
"""

from __future__ import annotations

from omnilive.report.markup import duration, esc, span, thinned
from omnilive.report.model import Run

MAX_ROWS = 500

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
    "speak": "one sentence → audio",
}


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
