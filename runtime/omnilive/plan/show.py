"""A verdict as text for people and as plain data for programs. It decides nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

from omnilive.plan.answer import AnswerForecast
from omnilive.plan.memory_plan import DEVICE, MemoryPlan
from omnilive.plan.sizes import format_bytes
from omnilive.plan.verdict import Verdict, shortage

COLUMNS = ("weights", "kv", "activations", "workspace", "total")
_HEADINGS = ("weights", "KV arena", "activations", "workspace", "together")


def as_data(verdict: Verdict) -> dict[str, Any]:
    """The verdict JSON-ready; bytes are integers, seconds floats, absent parts null."""
    plan, allowed = verdict.plan, verdict.limits
    return {
        "fits": verdict.fits,
        "host": {
            "needed_bytes": plan.host,
            "limit_bytes": allowed.host,
            "limit_source": allowed.host_source,
            "free_bytes": verdict.machine.host_free,
            "total_bytes": verdict.machine.host_total,
            "process_bytes": plan.process,
            "mapped_table_bytes": plan.tables,
        },
        "device": {
            "needed_bytes": plan.device,
            "limit_bytes": allowed.device,
            "limit_source": allowed.device_source,
            "free_bytes": verdict.machine.device_free,
            "total_bytes": verdict.machine.device_total,
        },
        "engines": [
            {
                "engine": row.engine,
                "lane": row.lane,
                "backend": row.backend,
                "place": row.place,
                "estimated": row.estimated,
                **{f"{name}_bytes": getattr(row.bytes, name) for name in COLUMNS},
            }
            for row in plan.engines
        ],
        "stores": [dataclasses.asdict(row) for row in plan.stores],
        "answer": None if verdict.answer is None else dataclasses.asdict(verdict.answer),
        "cheaper": [dataclasses.asdict(entry) for entry in verdict.cheaper],
    }


def as_text(verdict: Verdict) -> str:
    """The verdict as a table and a few sentences, lines of at most 100 characters."""
    lines = [*_table(verdict.plan), "", *_totals(verdict)]
    if verdict.answer is not None:
        lines += _answer(verdict.answer)
    return "\n".join([*lines, "", *_verdict(verdict)])


def _table(plan: MemoryPlan) -> list[str]:
    places = {row.place for row in plan.engines}
    lines = [f"{'engine':<13}{'lane':<10}" + "".join(f"{h:>13}" for h in _HEADINGS)]
    for row in plan.engines:
        cells = "".join(f"{format_bytes(getattr(row.bytes, name)):>13}" for name in COLUMNS)
        place = f"  {row.place}" if len(places) > 1 or DEVICE in places else ""
        lines.append(f"{row.engine + '~' * row.estimated:<13}{row.lane:<10}{cells}{place}")
    for store in plan.stores:
        lines.append(f"{store.name:<23}{format_bytes(store.bytes):>65}")
    lines.append(f"{'this process, unloaded':<23}{format_bytes(plan.process):>65}")
    if any(row.estimated for row in plan.engines):
        lines.append("~ the pack records no size of this engine: all but its weights is a guess")
    return lines


def _totals(verdict: Verdict) -> list[str]:
    plan, allowed, machine = verdict.plan, verdict.limits, verdict.machine
    free = f"{format_bytes(machine.host_free)} of {format_bytes(machine.host_total)}"
    lines = [
        f"host    {format_bytes(plan.host)} of {format_bytes(allowed.host)} "
        f"({allowed.host_source}); free now {free}"
    ]
    if plan.device or machine.device_total:
        lines.append(
            f"device  {format_bytes(plan.device)} of {format_bytes(allowed.device)} "
            f"({allowed.device_source}); free now {format_bytes(machine.device_free)} "
            f"of {format_bytes(machine.device_total)}"
        )
    lines.append(f"tables  {format_bytes(plan.tables)} mapped from the pack, given back under need")
    return lines


def _answer(answer: AnswerForecast) -> list[str]:
    limited = f", limited by {answer.limited_by}" if answer.limited_by else ""
    seconds = f"{answer.seconds:.2g}" if answer.seconds < 10 else f"{answer.seconds:.0f}"
    return [
        f"answer  {answer.visual_tokens} visual tokens of {answer.frames} frames "
        f"({answer.tiles} tiles){limited}; prompt {answer.prompt_tokens} tokens",
        f"        {seconds} s of tiles and prefill at {answer.gflops:.0f} GFLOPS: "
        f"{answer.tile_us:.0f} us a tile, {answer.prefill_us_per_token:.0f} us a prompt token",
    ]


def _verdict(verdict: Verdict) -> list[str]:
    if verdict.fits:
        lines = ["Fits."]
        lines += [
            f"Next cheaper: {c.setting} = {c.value} needs {format_bytes(c.host + c.device)}."
            for c in verdict.cheaper
        ]
        return lines
    lines = [f"Does not fit: {shortage(verdict)}."]
    if not verdict.cheaper:
        return [*lines, "No setting makes it smaller."]
    lines.append("Cheaper settings, each on top of those before it:")
    for c in verdict.cheaper:
        fits = "  fits" if c.fits else ""
        step = f"{c.setting} = {c.value}"
        lines.append(f"  {step:<44}{format_bytes(c.host + c.device):>10}{fits}")
    if not verdict.cheaper[-1].fits:
        lines.append("It does not fit with all of them: use a smaller pack or a larger machine.")
    return lines
