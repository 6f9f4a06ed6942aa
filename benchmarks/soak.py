"""Runs a service for long: people talk, drop and come back, and hostile clients are among them.

``python benchmarks/soak.py --pack engines/micro [--minutes 30]``. At real speed. Two of the people
speak, and now and then into an answer; one has a stream watched that breaks and comes back. It
looks for memory that grows, sessions that are lost, and answers that come later and later.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from arguments import positive
from attacks import attacking
from broadcast import AWAY_S, Broadcast
from growth import growth
from live_service import Person, Running, running
from omnilive.report.statistics import Summary, summarize
from people import Speaker, Watcher
from result_file import keep_result
from results import versions

SESSIONS, SPEAKERS = 4, 2
STREAM_LIVES_S = 120.0
"""Between two cuts of the stream that is pulled, seconds; of a short run, a quarter."""
SETTLING_S = 300.0
"""What grows before then is caches that fill, seconds; of a short run, a third."""

MB_PER_HOUR = 8.0
"""Largest growth of resident memory beyond what the sessions remember by plan."""

LATER = 1.3
"""Largest ratio of the median answer of the last third to that of the first."""

MARK_S = 300.0
"""What is resident is told once in so many seconds; of a short run, in a sixth."""

LATER_P99 = 1.5
"""The same of the 99th percentiles. They vary more: drawn twice from one spread (log-normal with a
deviation of 0.2 to 0.4, a twelfth of it slower by 1.4, 500 answers), the ratio is below 1.3 in 99
of 100 draws, and what else slows an answer, an attack, falls on several at once."""

QUESTIONS_PER_VISIT = 5
"""After about so many a person drops the connection and comes back."""

ATTACK_EVERY_S = 60.0
ATTACK_S = 5.0
SAMPLE_S = 1.0
TIMEOUT = aiohttp.ClientTimeout(total=10)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code: 1 when a check failed."""
    parser = argparse.ArgumentParser(prog="soak.py", description=__doc__)
    parser.add_argument("--pack", type=Path, required=True, metavar="DIR", help="engine pack")
    parser.add_argument("--minutes", type=positive, default=30, help="default: 30")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--check", action="store_true", help="fail when a limit is passed")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="omnilive-soak-") as folder:
        result = asyncio.run(_soak(args.pack, Path(folder), args.minutes * 60.0))
    print(json.dumps(result, indent=2))
    if code := keep_result("soak.py", args.json, result):
        return code
    failed = [name for name, held in result["checks"].items() if not held]
    if args.check and failed:
        print(f"soak.py: does not hold: {', '.join(failed)}", file=sys.stderr)
    return int(args.check and bool(failed))


async def _soak(pack: Path, folder: Path, seconds: float) -> dict[str, Any]:
    async with running(pack, folder, SESSIONS + 1) as service:
        began_s = time.monotonic()

        def over() -> bool:
            return time.monotonic() - began_s >= seconds

        stream = Broadcast(folder / "stream", SESSIONS)
        await stream.start()
        speakers = [Speaker(service.url, seed) for seed in range(SPEAKERS)]
        typist = Person(service.url, SPEAKERS)
        watcher = Watcher(service.url, SPEAKERS + 1, stream.url)
        persons: list[Person] = [*speakers, typist, watcher]
        memory: list[tuple[float, float, float]] = []
        attacks, *_ = await asyncio.gather(
            _attack(service.url, over),
            _sample(service, began_s, memory, over),
            stream.come_and_go(*_stream_lives(seconds)),
            *(
                _come_and_go(person, random.Random(seed), over)
                for seed, person in enumerate(persons)
            ),
        )
        await stream.kill()
    result = _result(seconds, persons, memory, began_s, attacks)
    _add_people(result, seconds, began_s, persons, stream.gone_s)
    return result


async def _come_and_go(person: Person, rng: random.Random, over: Callable[[], bool]) -> None:
    while not over():
        await person.visit(rng.randint(1, 2 * QUESTIONS_PER_VISIT), over)
        await asyncio.sleep(rng.uniform(0.1, 5.0))


async def _attack(url: str, over: Callable[[], bool]) -> int:
    count = 0
    while not over():
        async with attacking(url, ATTACK_S) as attack:
            count += await attack
        for _ in range(round(ATTACK_EVERY_S / SAMPLE_S)):
            if over():
                break
            await asyncio.sleep(SAMPLE_S)
    return count


async def _sample(
    service: Running,
    began_s: float,
    memory: list[tuple[float, float, float]],
    over: Callable[[], bool],
) -> None:
    """(seconds, resident bytes, bytes that the sessions hold by plan) once a second."""
    async with aiohttp.ClientSession() as http:
        while not over():
            with contextlib.suppress(asyncio.TimeoutError):
                async with http.get(f"{service.url}v1/sessions", timeout=TIMEOUT) as answer:
                    body = await answer.json()
                async with http.get(f"{service.url}metrics", timeout=TIMEOUT) as answer:
                    figures = dict(
                        line.rsplit(" ", 1) for line in (await answer.text()).splitlines()
                    )
                held = float(figures["omnilive_kv_bytes"])
                held += sum(s["remembered_bytes"] + s["kept_bytes"] for s in body["sessions"])
                at_s = time.monotonic() - began_s
                memory.append((at_s, float(service.process.memory_info().rss), held))
            await asyncio.sleep(SAMPLE_S)


def _result(
    seconds: float,
    persons: list[Person],
    memory: list[tuple[float, float, float]],
    began_s: float,
    attacks: int,
) -> dict[str, Any]:
    settled_s = min(SETTLING_S, seconds / 3)
    settled = np.array([row for row in memory if row[0] >= settled_s])
    unplanned = growth(settled[:, 0] / 3_600, (settled[:, 1] - settled[:, 2]) / 1e6)
    answers = sorted((at - began_s, took) for p in persons for at, took in p.answer_s)
    thirds = [
        summarize([took for at, took in answers if seconds * i / 3 <= at < seconds * (i + 1) / 3])
        for i in range(3)
    ]
    medians = [summary.p50 if summary is not None else float("nan") for summary in thirds]
    lost = sum(person.lost for person in persons)
    return {
        "benchmark": "soak",
        "versions": versions(),
        "seconds": seconds,
        "sessions": SESSIONS,
        "attacks": attacks,
        "answers": len(answers),
        "resumed": sum(person.resumed for person in persons),
        "lost": lost,
        "first_token_p50_s_by_third": [round(median, 4) for median in medians],
        "memory": _at_marks(memory, min(MARK_S, seconds / 6)),
        "unplanned_growth_mb_per_hour": round(unplanned.slope, 2),
        "unplanned_growth_interval": [
            round(unplanned.slope - unplanned.spread, 2),
            round(unplanned.slope + unplanned.spread, 2),
        ],
        "checks": {
            f"growth of at most {MB_PER_HOUR} MB/h": unplanned.slope <= MB_PER_HOUR,
            "no lost session or answer": lost == 0,
            f"the last third answers within {LATER} of the first": medians[2] <= LATER * medians[0],
        },
    }


def _at_marks(memory: list[tuple[float, float, float]], every_s: float) -> list[dict[str, float]]:
    """Medians of the samples up to each mark since the last one, MB."""
    rows = np.array(memory)
    marks = []
    for mark in range(1, 1 + round(rows[-1, 0] / every_s)):
        part = rows[(rows[:, 0] > (mark - 1) * every_s) & (rows[:, 0] <= mark * every_s)]
        resident, planned = np.median(part[:, 1]) / 1e6, np.median(part[:, 2]) / 1e6
        marks.append(
            {
                "minutes": round(mark * every_s / 60, 2),
                "resident_mb": round(float(resident), 1),
                "planned_mb": round(float(planned), 1),
                "unplanned_mb": round(float(resident - planned), 1),
            }
        )
    return marks


def _stream_lives(seconds: float) -> tuple[float, int]:
    """How long the stream lives at a time, and how often it is cut: the last life is whole."""
    every_s = min(STREAM_LIVES_S, seconds / 4)
    return every_s, max(1, round(seconds / every_s) - 1)


def _thirds(
    answers: Sequence[tuple[float, float]], seconds: float, began_s: float
) -> list[Summary | None]:
    """Of the answers asked for in each third of the run."""
    return [
        summarize([s for at, s in answers if i <= 3 * (at - began_s) / seconds < i + 1])
        for i in range(3)
    ]


def _add_people(
    result: dict[str, Any],
    seconds: float,
    began_s: float,
    persons: Sequence[Person],
    gone_s: Sequence[tuple[float, float]],
) -> None:
    """What those who speak, and the one who has a stream watched, add to the result."""
    speakers = [p for p in persons if isinstance(p, Speaker)]
    (watcher,) = (p for p in persons if isinstance(p, Watcher))
    typed = _thirds([a for p in persons for a in p.answer_s], seconds, began_s)
    spoken = _thirds([a for p in speakers for a in p.spoken_s], seconds, began_s)
    result["first_token_p99_s_by_third"] = [round(s.p99, 4) if s else None for s in typed]
    result["spoken_first_token_p50_s_by_third"] = [round(s.p50, 4) if s else None for s in spoken]
    result["spoken"] = sum(len(p.spoken_s) for p in speakers)
    result["understood"] = sum(p.words for p in speakers)
    result["interrupted"] = sum(p.interrupted for p in speakers)
    ends_s = [cut_s for cut_s, _ in gone_s[1:]] + [began_s + seconds + AWAY_S]
    back = [
        any(back_s <= at_s < end_s for at_s in watcher.connected_s)
        for (_, back_s), end_s in zip(gone_s, ends_s, strict=False)
    ]
    result["stream"] = {"cut": len(gone_s), "back": sum(back), "frames": watcher.seen}
    result["lost_of_each"] = [person.lost for person in persons]
    result["checks"] |= {
        f"p99 of the last third within {LATER_P99} of the first": _later(typed, "p99", LATER_P99),
        f"spoken questions within {LATER} likewise": _later(spoken, "p50", LATER),
        "answers were spoken into and stopped": result["interrupted"] > 0,
        "the stream came back each time": bool(gone_s) and all(back),
    }


def _later(thirds: Sequence[Summary | None], quantile: str, most: float) -> bool:
    first, last = thirds[0], thirds[-1]
    if first is None or last is None:
        return False
    return bool(getattr(last, quantile) <= most * getattr(first, quantile))


if __name__ == "__main__":
    sys.exit(main())
