"""Measures sessions of one process that are asked at once, with shared cores and with own ones.

``python benchmarks/sessions.py --pack engines/NAME``. Every session sees frames and is asked the
same question at the same moment, again and again; the two ways take turns, so that a busy machine
is busy for both. Figures are of wall time.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console

from arguments import positive
from lane_bars import Row, as_json, missed, table
from omnilive import events
from omnilive.config import RuntimeConfig, load_config
from omnilive.engine.config import EngineConfig
from omnilive.engine.fingerprint import device_fingerprint
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.errors import EngineError, OmniLiveError
from omnilive.events import Event
from omnilive.lanes import LaneCores
from omnilive.scheduling.cores import allowed_cores, measured_cores
from omnilive.session.session import RunOptions, Session
from omnilive.sources.live import LiveSource
from result_file import keep_result
from results import versions

FORMAT = 1
COUNTS = (2, 4)
QUESTION = "what do you see"
SIZE = (240, 320, 3)
LONG_S = 300.0
WIDE = 150
"""Columns of the table where nobody can see it wrap."""
WAYS = ("own", "shared")

UNFAIR = 2.0
"""With shared cores, of those asked at once the slowest begins to answer at most so many times
later than the fastest: the median."""


class Watching:
    """A session that is shown frames, and how long its frames and first tokens took."""

    def __init__(
        self, pack: EnginePack, config: RuntimeConfig, folder: Path, cores: LaneCores | None
    ) -> None:
        self.first_tokens_ms: list[float] = []
        self.frames_ms: list[float] = []
        self._asked_ns = 0
        self._answered = threading.Event()
        self._live = LiveSource(config.source, name="benchmark")
        self._session = Session(
            pack, config, RunOptions(realtime=True), folder, (self._hear,), cores=cores
        )
        self._run = threading.Thread(target=self._session.run, args=(self._live,))
        self._run.start()

    def show(self, rgb: np.ndarray) -> None:
        """Show a frame, uint8 [h, w, 3], now."""
        self._live.push_frame(time.monotonic_ns() // 1000, rgb)

    def ask(self) -> None:
        """Ask the question now."""
        self._answered.clear()
        self._asked_ns = time.monotonic_ns()
        while not self._session.ask(QUESTION):  # it may not have begun to listen
            time.sleep(0.01)

    def answered(self) -> None:
        """Wait for the answer's end."""
        if not self._answered.wait(LONG_S):
            raise EngineError(
                f"no answer in {LONG_S:.0f} s",
                where="a session",
                mend="Look for what it waits for.",
            )

    def close(self) -> None:
        """Let it end."""
        self._live.end(discard=True)
        self._run.join()
        self._session.close()

    def _hear(self, _: int, at_us: int, event: Event) -> None:
        if isinstance(event, events.FrameEncoded):
            self.frames_ms.append((at_us - event.pts_us) / 1e3)
        elif isinstance(event, events.TokenDecoded) and event.index == 0:
            self.first_tokens_ms.append((time.monotonic_ns() - self._asked_ns) / 1e6)
        elif isinstance(event, (events.AnswerFinished, events.AnswerCancelled, events.Unanswered)):
            self._answered.set()


@dataclass
class Measured:
    """What sessions took that were asked at once, again and again.

    Attributes:
        first_tokens_ms: from asking to the first token.
        frames_ms: from a frame's time to its features.
        spread: how many times later than the fastest the slowest began to answer.
    """

    first_tokens_ms: list[float] = field(default_factory=list)
    frames_ms: list[float] = field(default_factory=list)
    spread: list[float] = field(default_factory=list)

    def add(self, watching: Sequence[Watching]) -> None:
        """What sessions took that were asked together."""
        asked = list(zip(*(one.first_tokens_ms for one in watching), strict=True))
        self.first_tokens_ms += [ms for together in asked for ms in together]
        self.spread += [max(together) / min(together) for together in asked]
        self.frames_ms += [ms for one in watching for ms in one.frames_ms]

    def rows(self, sessions: int, way: str) -> Iterator[Row]:
        """Each measure."""
        whose = f"{sessions} sessions, {way} cores"
        yield Row(f"ask → first token, {whose}", "ms", tuple(self.first_tokens_ms))
        yield Row(f"frame → features, {whose}", "ms", tuple(self.frames_ms))
        bar = UNFAIR if way == "shared" else None
        yield Row(f"slowest ÷ fastest first token, {whose}", "", tuple(self.spread), "p50", bar)


def measure(
    pack: EnginePack,
    config: RuntimeConfig,
    sessions: int,
    questions: int,
    cores: LaneCores | None,
    measured: Measured,
) -> None:
    """Show frames to sessions and ask all at once, so many times."""
    rng = np.random.default_rng(0)
    over = threading.Event()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        watching = [
            stack.enter_context(closing(Watching(pack, config, folder / str(n), cores)))
            for n in range(sessions)
        ]

        def show() -> None:
            while not over.wait(1 / config.source.fps):
                picture = rng.integers(0, 256, SIZE, np.uint8)
                for one in watching:
                    one.show(picture)

        camera = threading.Thread(target=show)
        camera.start()
        stack.callback(camera.join)
        stack.callback(over.set)
        for _ in range(questions):
            for one in watching:
                one.ask()
            for one in watching:
                one.answered()
    measured.add(watching)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    args = _parser().parse_args(argv)
    load = os.getloadavg()[0]
    threads = args.threads or measured_cores(allowed_cores())
    config = load_config("edge")
    config = dataclasses.replace(
        config,
        engine=EngineConfig(threads=threads),
        source=dataclasses.replace(config.source, fps=args.fps),
    )
    kinds = {(count, way): Measured() for count in COUNTS for way in WAYS}
    try:
        with closing(open_pack(args.pack, threads=threads)) as pack:
            pack.warm_up()
            for _ in range(args.rounds):
                for (count, way), measured in kinds.items():
                    cores = LaneCores(threads) if way == "shared" else None
                    measure(pack, config, count, args.questions, cores, measured)
    except OmniLiveError as e:
        print(f"sessions.py: {e}", file=sys.stderr)
        return e.exit_code
    rows = [row for (count, way), measured in kinds.items() for row in measured.rows(count, way)]
    rows.sort(key=lambda row: row.name)
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(table(rows))
    console.print(f"{threads} threads per engine; load of the machine before: {load:.2f}")
    if args.json is not None:
        result = {
            "benchmark": "sessions",
            "format": FORMAT,
            "threads": threads,
            "load_before": load,
            "machine": device_fingerprint(),
            "versions": versions(),
            "measures": as_json(rows),
        }
        if code := keep_result("sessions.py", args.json, result):
            return code
    return 1 if args.check and missed(rows) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sessions.py", description=__doc__)
    parser.add_argument("--pack", type=Path, required=True, metavar="DIR", help="engine pack")
    parser.add_argument("--threads", type=positive, metavar="N", help="default: measured")
    parser.add_argument(
        "--rounds", type=positive, default=5, metavar="N", help="of both ways; default: 5"
    )
    parser.add_argument(
        "--questions", type=positive, default=10, metavar="N", help="a round; default: 10"
    )
    parser.add_argument(
        "--fps", type=float, default=1.0, metavar="RATE", help="pace of frames; default: 1"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--check", action="store_true", help="exit code 1 when a bar is missed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
