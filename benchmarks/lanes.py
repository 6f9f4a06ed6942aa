"""Measures the lanes: what a job costs, how long frames wait, whether sound is lost.

``python benchmarks/lanes.py --pack engines/NAME``. Each measured distribution stands beside its
bar; with ``--check`` the exit code is 1 when one is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from arguments import positive
from lane_bars import Row, as_json, missed, table
from lane_device import device_rows
from lane_loads import (
    burning_steps,
    compression_steps,
    decode_steps,
    frame_rows,
    prefill_steps,
    watch,
)
from lane_probes import probe
from lane_sound import audio_rows
from omnilive.engine.fingerprint import device_fingerprint
from omnilive.engine.pack import open_pack
from omnilive.errors import OmniLiveError
from omnilive.lanes import Lane
from omnilive.scheduling.cores import allowed_cores, measured_cores
from result_file import keep_result
from results import versions

FORMAT = 1
WIDE = 150
"""Columns of the table where nobody can see it wrap."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    args = _parser().parse_args(argv)
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    progress = Console(stderr=True)
    load = os.getloadavg()[0]
    threads = args.threads or measured_cores(allowed_cores())
    try:
        rows = _measure(args, threads, progress)
    except OmniLiveError as e:
        print(f"lanes.py: {e}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print("lanes.py: stopped; there are no figures", file=sys.stderr)
        return 130
    console.print(table(rows))
    console.print(f"{threads} threads per engine; load of the machine before: {load:.2f}")
    if args.json is not None:
        result = {
            "benchmark": "lanes",
            "format": FORMAT,
            "threads": threads,
            "load_before": load,
            "machine": device_fingerprint(),
            "versions": versions(),
            "measures": as_json(rows),
        }
        if code := keep_result("lanes.py", args.json, result):
            return code
    return 1 if args.check and missed(rows) else 0


def _measure(args: argparse.Namespace, threads: int, progress: Console) -> list[Row]:
    if args.gpu:
        return device_rows(args.pack, threads, args.frames, args.fps, progress.print)
    with contextlib.closing(open_pack(args.pack, threads=threads)) as pack:
        progress.print("bare jobs, hand-offs, idling")
        rows = probe(pack, args.jobs, args.idle_s)
        for name, lane, steps in (
            ("decoding", Lane.REASON, decode_steps(threads)),
            ("a 4 k prefill", Lane.REASON, prefill_steps(pack)),
            ("a clip's compression", Lane.REMEMBER, compression_steps(pack)),
            ("Python that burns the interpreter", Lane.REASON, burning_steps),
        ):
            progress.print(f"frames during {name}: {args.frames / args.fps:.0f} s")
            watched = watch(pack, lane, steps(), threads, args.frames, args.fps)
            rows += frame_rows(name, watched)
        progress.print(f"sound: {args.audio_s / args.audio_speed:.0f} s at least")
    return rows + audio_rows(args.pack, threads, args.audio_s, args.audio_speed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lanes.py", description=__doc__)
    parser.add_argument("--pack", type=Path, required=True, metavar="DIR", help="engine pack")
    parser.add_argument(
        "--gpu",
        action="store_true",
        help="measure a pack built with --device cuda, on the GPU: frames' waits with and without "
        "stream priorities, and nothing else",
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="default: measured")
    parser.add_argument(
        "--jobs", type=positive, default=2_000, metavar="N", help="bare jobs; default: 2000"
    )
    parser.add_argument(
        "--frames", type=positive, default=200, metavar="N", help="per load; default: 200"
    )
    parser.add_argument(
        "--fps", type=float, default=1.0, metavar="RATE", help="pace of frames; default: 1"
    )
    parser.add_argument(
        "--audio-s", type=float, default=600.0, metavar="S", help="sound to feed; default: 600"
    )
    parser.add_argument(
        "--audio-speed",
        type=float,
        default=1.0,
        metavar="X",
        help="times its own pace it comes at; default: 1, so as long as it lasts",
    )
    parser.add_argument(
        "--idle-s", type=float, default=10.0, metavar="S", help="idling measured; default: 10"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--check", action="store_true", help="exit code 1 when a bar is missed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
