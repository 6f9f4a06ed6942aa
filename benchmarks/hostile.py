"""Measures what hostile clients cost the others: their time to the first token.

``python benchmarks/hostile.py --pack engines/micro``. Quiet and attacked windows take turns, so
that what else the machine does falls on both alike. The attackers are a process of their own, of
low priority: what they cost themselves is not the service's doing. The limits are a client's as the
service comes; the attackers have addresses of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arguments import positive
from attacks import attacking
from live_service import Person, Running, running
from omnilive.report.statistics import summarize
from result_file import keep_result
from results import versions

PERSONS = 2
LARGEST_RATIO = 1.3
"""Of the attacked p99 to the quiet one: the median over the pairs of windows."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code: 1 when a check failed."""
    parser = argparse.ArgumentParser(prog="hostile.py", description=__doc__)
    parser.add_argument("--pack", type=Path, required=True, metavar="DIR", help="engine pack")
    parser.add_argument("--pairs", type=positive, default=5, help="of windows; default: 5")
    parser.add_argument("--seconds", type=positive, default=30, help="a window; default: 30")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--check", action="store_true", help=f"fail over a ratio {LARGEST_RATIO}")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="omnilive-hostile-") as folder:
        result = asyncio.run(_measure(args, Path(folder)))
    print(json.dumps(result, indent=2))
    if code := keep_result("hostile.py", args.json, result):
        return code
    failed = result["lost"] > 0 or result["median_ratio"] > LARGEST_RATIO
    if args.check and failed:
        print("hostile.py: over the limits", file=sys.stderr)
    return int(args.check and failed)


@dataclass(frozen=True)
class Window:
    """A span of the benchmark.

    Attributes:
        began_s, ended_s: monotonic time, seconds.
        busy_s: processor time the service took meanwhile, seconds.
    """

    began_s: float
    ended_s: float
    busy_s: float


async def _measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    async with running(args.pack, folder, PERSONS + 1, limits="") as service:
        persons = [Person(service.url, seed) for seed in range(PERSONS)]
        over = asyncio.Event()
        visits = [asyncio.ensure_future(p.visit(None, over.is_set)) for p in persons]
        await asyncio.sleep(args.seconds / 2)  # what begins does not count
        windows: list[Window] = []
        attacks = 0
        for _ in range(args.pairs):
            windows.append(await _window(service, args.seconds))
            async with attacking(service.url, args.seconds) as attack:
                windows.append(await _window(service, args.seconds))
                attacks += await attack
        over.set()
        await asyncio.gather(*visits)
        return _result(service, persons, windows, attacks)


async def _window(service: Running, seconds: float) -> Window:
    """Wait for a window's end."""
    began_s, busy_s = time.monotonic(), _busy_s(service)
    await asyncio.sleep(seconds)
    return Window(began_s, time.monotonic(), _busy_s(service) - busy_s)


def _busy_s(service: Running) -> float:
    times = service.process.cpu_times()
    return float(times.user + times.system)


def _result(
    service: Running, persons: list[Person], windows: list[Window], attacks: int
) -> dict[str, Any]:
    samples = [s for person in persons for s in person.answer_s]
    summaries = [
        summarize([took for asked, took in samples if window.began_s <= asked < window.ended_s])
        for window in windows
    ]
    pairs = [
        (quiet, attacked)
        for quiet, attacked in zip(summaries[::2], summaries[1::2], strict=True)
        if quiet is not None and attacked is not None
    ]
    ratios = [attacked.p99 / quiet.p99 for quiet, attacked in pairs]
    return {
        "benchmark": "hostile",
        "versions": versions(),
        "attacks": attacks,
        "questions": len(samples),
        "lost": sum(person.lost for person in persons),
        "quiet_p99_s": [round(quiet.p99, 4) for quiet, _ in pairs],
        "attacked_p99_s": [round(attacked.p99, 4) for _, attacked in pairs],
        "quiet_p50_s": [round(quiet.p50, 4) for quiet, _ in pairs],
        "attacked_p50_s": [round(attacked.p50, 4) for _, attacked in pairs],
        "quiet_busy_s": [round(window.busy_s, 2) for window in windows[::2]],
        "attacked_busy_s": [round(window.busy_s, 2) for window in windows[1::2]],
        "ratios": [round(ratio, 3) for ratio in ratios],
        "median_ratio": round(statistics.median(ratios), 3) if ratios else float("inf"),
        "resident_bytes": service.process.memory_info().rss,
    }


if __name__ == "__main__":
    sys.exit(main())
