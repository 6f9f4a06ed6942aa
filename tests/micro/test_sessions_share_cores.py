"""Two sessions of one process that share the cores: neither runs beside the other, both get on."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from omnilive import events
from omnilive.config import load_config
from omnilive.engine.config import EngineConfig
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.events import Event
from omnilive.lanes import Job, Lane, LaneCores, LanesConfig, ThreadLanes, Work
from omnilive.session.session import RunOptions, Session
from omnilive.sources.live import LiveSource

WAIT_S = 120.0
QUESTION = "what do you see"
CLOCK_US = 50
"""How exactly the two sessions' stream times are known to each other, microseconds."""
THREADS = 2
"""Of the engines, and cores there are: each job of an engine wants them all."""


@dataclass(frozen=True)
class Ran:
    """A job of an engine, on the clock of both sessions."""

    session: int
    name: str
    began_us: float
    ended_us: float


class Asked:
    """A session on a thread of its own, and the events it told."""

    def __init__(self, pack: EnginePack, folder: Path, cores: LaneCores) -> None:
        self.trace = folder / "trace.json"
        self.config = dataclasses.replace(load_config("edge"), engine=EngineConfig(threads=THREADS))
        self.live = LiveSource(self.config.source, name="test")
        self._told: list[Event] = []
        self._changed = threading.Condition()
        self.session = Session(
            pack,
            self.config,
            RunOptions(realtime=True, trace=self.trace),
            folder,
            (lambda event_id, at_us, event: self._tell(event),),
            cores=cores,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.wait_for(events.SourceOpened)
        self.began_us = self._stream_began_us()

    def wait_for(self, kind: type[Event]) -> None:
        with self._changed:
            told = self._changed.wait_for(
                lambda: any(isinstance(event, kind) for event in self._told), WAIT_S
            )
        assert told, f"no {kind.__name__}"

    def finish(self) -> None:
        self.live.end(discard=True)
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def ran(self, number: int) -> list[Ran]:
        """What its trace says, the earliest first."""
        spans = [e for e in json.loads(self.trace.read_text())["traceEvents"] if e["ph"] == "X"]
        return [
            Ran(number, span["name"], began_us, began_us + span["dur"])
            for span in spans
            for began_us in [self.began_us + span["ts"]]
            if span["cat"] != Lane.SPEAK.value  # the voice keeps one core only
        ]

    def _stream_began_us(self) -> float:
        """When its stream time began, on the system's clock, as exactly as a trace is."""
        for _ in range(10_000):
            before_ns = time.monotonic_ns()
            stream_us = self.session.now_us()
            after_ns = time.monotonic_ns()
            if after_ns - before_ns < 20_000:
                return before_ns / 1000 - stream_us
        raise AssertionError("the clocks cannot be compared")

    def _tell(self, event: Event) -> None:
        with self._changed:
            self._told.append(event)
            self._changed.notify_all()

    def _run(self) -> None:
        with closing(self.session):
            self.session.run(self.live)


def held(cores: LaneCores) -> tuple[ThreadLanes, Callable[[], None]]:
    """Lanes whose one job keeps all cores until it is let go."""
    lanes = ThreadLanes(LanesConfig(), dict.fromkeys(Lane, cores.cores), cores=cores)
    holds, over = threading.Event(), threading.Event()

    def hold() -> Work[None]:
        holds.set()
        assert over.wait(WAIT_S)
        return Work(None, 0)

    lanes.start()
    lanes.submit(Job(Lane.LISTEN, hold, lambda f: None))
    assert holds.wait(WAIT_S)
    return lanes, over.set


def until(is_so: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < give_up_s


def test_sessions_asked_at_once_take_turns_and_never_run_engines_beside_each_other(
    micro_pack: Path, tmp_path: Path
) -> None:
    cores = LaneCores(THREADS)
    with ExitStack() as stack:
        pack = stack.enter_context(closing(open_pack(micro_pack, threads=THREADS)))
        sessions = [Asked(pack, tmp_path / name, cores) for name in ("one", "other")]
        lanes, let_go = held(cores)
        stack.callback(lanes.close)
        stack.callback(let_go)
        for asked in sessions:
            until(lambda asked=asked: asked.session.ask(QUESTION))  # it has begun to listen
        # Both stand in line before either begins.
        for asked in sessions:
            until(lambda asked=asked: any(p.owed for p in asked.session.progress().values()))
        let_go()
        for asked in sessions:
            asked.wait_for(events.AnswerFinished)
        for asked in sessions:
            asked.finish()

    ran = sorted(
        (job for number, asked in enumerate(sessions) for job in asked.ran(number)),
        key=lambda job: job.began_us,
    )
    for earlier, later in pairwise(ran):
        assert later.began_us > earlier.ended_us - CLOCK_US, (earlier, later)
    # Neither answer waits for the other to end, however long a busy machine lets a step wait.
    assert {job.session for job in both_answer(ran)} == {0, 1}, ran


def both_answer(ran: list[Ran]) -> list[Ran]:
    """The steps of answers from where both have begun to where the first ends."""
    steps = [job for job in ran if job.name == "answer"]
    own = [[index for index, job in enumerate(steps) if job.session == n] for n in range(2)]
    return steps[max(indices[0] for indices in own) : min(indices[-1] for indices in own) + 1]
