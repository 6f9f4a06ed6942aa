"""Measures turn-taking: how soon an answer stops when somebody speaks, and when speech is over.

``python benchmarks/turns.py --pack engines/NAME``. See benchmarks/README.md for what each measure
spans. Stopping runs a live session, and then a service and a client of it, against the wall clock;
endpoints are decided in stream time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from arguments import positive
from omnilive.config import load_config
from omnilive.engine.fingerprint import device_fingerprint
from omnilive.errors import OmniLiveError
from result_file import write_file
from results import versions
from turn_bars import Row, client_rows, endpoint_rows, stopping_rows
from turn_client import measure_client
from turn_endpoints import PRESET, Endpoints, measure_endpoints, say_sentences
from turn_stopping import measure_stopping

ROUNDS, UTTERANCES, SEED = 40, 600, 2_000_700


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns:
        The exit code: 1 when ``--check`` is given and a bar is missed.
    """
    args = _parser().parse_args(argv)
    try:
        rows, result = _measure(args)
        if args.json is not None:
            write_file(args.json, json.dumps(result, indent=1) + "\n")
    except OmniLiveError as e:
        print(f"turns.py: {e}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print("turns.py: stopped; there are no figures", file=sys.stderr)
        return 130
    _print(rows, result["load_average"])
    missed = [row.name for row in rows if not row.met]
    if args.check and missed:
        print(f"turns.py: missed: {', '.join(missed)}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="turns.py", description=__doc__)
    parser.add_argument("--pack", type=Path, required=True, metavar="DIR", help="engine pack")
    parser.add_argument(
        "--rounds",
        type=positive,
        default=ROUNDS,
        metavar="N",
        help="answers interrupted, 4 s each: so many in this process, so many at a client and at"
        f" a slow one; default: {ROUNDS}",
    )
    parser.add_argument(
        "--utterances",
        type=positive,
        default=UTTERANCES,
        metavar="N",
        help=f"whose end is decided; default: {UTTERANCES}",
    )
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help=f"default: {SEED}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bar is missed")
    return parser


def _measure(args: argparse.Namespace) -> tuple[list[Row], dict[str, object]]:
    load = [round(os.getloadavg()[0], 2)]
    rows = endpoint_rows(*_endpoints(args.seed, args.utterances))
    with tempfile.TemporaryDirectory(prefix="omnilive-turns-") as name:
        folder = Path(name)
        stopping = stopping_rows(measure_stopping(args.pack, folder, args.seed, args.rounds))
        rows += stopping
        each = max(1, args.rounds // 2)
        for slow in (False, True):
            place = folder / ("slow" if slow else "healthy")
            stale = measure_client(args.pack, place, args.seed, each, slow=slow)
            rows += client_rows(stale, stopping[0].value, slow=slow)
    load.append(round(os.getloadavg()[0], 2))
    return rows, {
        "benchmark": "turns",
        "format": 2,
        "seed": args.seed,
        "load_average": load,
        "machine": device_fingerprint(),
        "versions": versions(),
        "measures": {row.name: row.as_json() for row in rows},
    }


def _endpoints(seed: int, utterances: int) -> tuple[Endpoints, Endpoints]:
    """With the default settings, and if an answer might sound at the endpoint."""
    tracks = say_sentences(seed, utterances)
    vad = load_config(PRESET).vad
    at_once = dataclasses.replace(vad, answer_hold_ms=0)
    return measure_endpoints(tracks, vad), measure_endpoints(tracks, at_once)


def _print(rows: Sequence[Row], load: object) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False)
    for column in ("measure", "n", "p50", "p95", "p99", "max", "bar", ""):
        table.add_column(column, justify="left" if column in ("measure", "bar", "") else "right")
    for row in rows:
        table.add_row(*row.cells())
    wide = console if console.is_terminal else Console(width=max(console.width, 110))
    wide.print(table)
    wide.print(f"load of the machine before and after: {load}", style="dim", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
