"""Measures the native kernels beside Pillow and the machine's read bandwidth.

``python benchmarks/kernels.py``. See benchmarks/README.md. It needs 3 GB of memory, or fewer rows.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from arguments import positive
from kernel_measures import Measure, Sampled, ranking, resizing, sampling
from omnilive._native import instruction_sets
from omnilive.engine.fingerprint import device_fingerprint
from omnilive.errors import OmniLiveError
from omnilive.report.statistics import Summary, summarize
from result_file import write_file
from results import versions

FORMAT = 1
SAMPLING_ROUNDS = 20
"""Calls of the sampler for each round of the others: they take microseconds."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code: with ``--check`` 1 when a bar is missed."""
    args = _parser().parse_args(argv)
    try:
        found = _measure(args)
        result = as_json(found, args)
        if args.json is not None:
            write_file(args.json, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    except OmniLiveError as e:
        print(f"kernels.py: {e}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print("kernels.py: stopped; there are no figures", file=sys.stderr)
        return 130
    _print(found, result)
    return 1 if args.check and result["missed"] else 0


def _parser() -> argparse.ArgumentParser:
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="kernels.py", description=__doc__)
    parser.add_argument("--rounds", type=positive, default=15, metavar="N", help="default: 15")
    parser.add_argument(
        "--rows", type=positive, default=1_000_000, metavar="N", help="default: 1,000,000"
    )
    parser.add_argument(
        "--threads",
        type=positive,
        default=cores,
        metavar="N",
        help=f"that read the rows; default: {cores}, all cores",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--check", action="store_true", help="exit code 1 when a bar is missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    return parser


def _measure(args: argparse.Namespace) -> list[Sampled]:
    return [
        *sampling(args.rounds * SAMPLING_ROUNDS, args.seed),
        *resizing(args.rounds, args.seed),
        *ranking(args.rounds, args.seed, args.rows, args.threads),
    ]


def meets(measure: Measure, summary: Summary) -> bool:
    """Whether the median reaches the bar; a measure without one always does."""
    if measure.bar is None:
        return True
    return summary.p50 >= measure.bar if measure.at_least else summary.p50 <= measure.bar


def as_json(found: Iterable[Sampled], args: argparse.Namespace) -> dict[str, Any]:
    """The whole result, JSON-ready."""
    measures: dict[str, Any] = {}
    for sampled in found:
        summary = summarize(sampled.samples)
        assert summary is not None, "every measure has samples"
        values = dataclasses.asdict(sampled.measure) | dataclasses.asdict(summary)
        del values["total"], values["name"]
        values["met"] = meets(sampled.measure, summary)
        measures[sampled.measure.name] = values
    return {
        "benchmark": "kernels",
        "format": FORMAT,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "rounds": args.rounds,
        "rows": args.rows,
        "threads": args.threads,
        "instruction_set": instruction_sets()[0],
        "machine": device_fingerprint(),
        "versions": versions(),
        "load_average_after": round(os.getloadavg()[0], 2),
        "measures": measures,
        "missed": [name for name, values in measures.items() if not values["met"]],
    }


def _print(found: Iterable[Sampled], result: dict[str, Any]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, 120))
    machine = result["machine"]
    console.print(
        f"{machine['device']}, {machine['cores']} cores · {result['instruction_set']} ·"
        f" {result['threads']} threads read the rows · load {result['load_average_after']}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    shown = Table(box=None, padding=(0, 1), header_style="bold")
    shown.add_column("measure", no_wrap=True)
    for heading in ("unit", "n", "min", "p25", "p50", "p75", "p95", "bar", ""):
        shown.add_column(heading, justify="right", no_wrap=True)
    for sampled in found:
        shown.add_row(*_cells(sampled.measure, result["measures"][sampled.measure.name]))
    console.print(shown)
    missed = result["missed"]
    console.print(f"missed: {', '.join(missed)}" if missed else "every bar is met", markup=False)


def _cells(measure: Measure, values: dict[str, Any]) -> Iterable[str]:
    figures = (f"{values[name]:.2f}" for name in ("minimum", "p25", "p50", "p75", "p95"))
    bar, verdict = "", ""
    if measure.bar is not None:
        bar = f"{'≥' if measure.at_least else '≤'} {measure.bar:g}"
        verdict = "ok" if values["met"] else "missed"
    return (measure.title, measure.unit, str(values["count"]), *figures, bar, verdict)


if __name__ == "__main__":
    sys.exit(main())
