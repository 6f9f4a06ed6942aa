"""Probes of the scheduler: a job that does nothing, two engines in a row, a session that idles.

Times come from the scheduler's own clock: when a job was submitted, started and ended.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lane_bars import Row
from omnilive._native import LaneScheduler, LaneTicket, OrtTensor, noop_job
from omnilive.engine.config import EngineConfig
from omnilive.engine.ort_native import open_library, open_model
from omnilive.engine.pack import EnginePack
from omnilive.session.session import RunOptions, Session
from omnilive.sources.live import PAUSED_US, LiveSource
from omnilive.sources.types import SAMPLE_RATE_HZ
from running import benchmark_config

SEE, REMEMBER = 1, 2
SPIN_BAR_US, SLEEP_BAR_US, JOBS_PER_S_BAR = 5.0, 60.0, 200_000.0
GAP_S = 0.001
BURN_S = 0.005
HAND_OFF_BAR_US = 1_000.0
"""A hand-off that waited for the interpreter would take what is left of 5 ms, as the same in Python
does; a fifth of that leaves the system's scheduler room to wake a lane beside the thread that
burns."""
IDLE_SHARE_BAR = 1.0
LONG_US = 60_000_000
QUEUE = 4096


@contextmanager
def served(spin_us: int, *lanes: int) -> Iterator[LaneScheduler]:
    """A scheduler with threads for ``lanes``."""
    scheduler = LaneScheduler(
        capacities=[QUEUE] * 5,
        drop_oldest=[False] * 5,
        priorities=[0] * 5,
        permits=[0] * 5,
        spin_us=spin_us,
    )
    threads = [threading.Thread(target=scheduler.serve, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    try:
        yield scheduler
    finally:
        scheduler.close()
        for thread in threads:
            thread.join()


def start_latency(jobs: int) -> list[Row]:
    """Submit → start of jobs that do nothing, native and Python, lanes spinning and asleep."""
    rows = []
    for state, spin_us, gap_s, bar in (
        ("spinning", 10_000, 0.0, SPIN_BAR_US),
        ("asleep", 0, GAP_S, SLEEP_BAR_US),
    ):
        native = _native_waits(spin_us, gap_s, jobs)
        rows.append(Row(f"submit → start, native, {state}", "µs", native, "p50", bar))
        rows.append(
            Row(f"submit → start, Python, {state}", "µs", _python_waits(spin_us, gap_s, jobs))
        )
    return rows


def throughput(jobs: int) -> Row:
    """Native jobs per second through one lane, first submit to last end, from Python."""
    noop = noop_job()
    with served(10_000, SEE) as scheduler:
        tickets: list[LaneTicket] = []
        while len(tickets) < jobs:
            ticket, _ = scheduler.submit_native(SEE, noop)
            if isinstance(ticket, LaneTicket):
                tickets.append(ticket)
        _settle(tickets[-1])
        times = tickets[0].times_ns, tickets[-1].times_ns
    assert times[0] and times[1]
    rate = jobs / ((times[1][2] - times[0][0]) / 1e9)
    return Row("native jobs through one lane", "jobs/s", (rate,), "p50", JOBS_PER_S_BAR, True)


def hand_off(pack: EnginePack, rounds: int) -> list[Row]:
    """End of one engine → start of the next, while a thread burns the interpreter."""
    library = open_library()
    config = EngineConfig(threads=1)
    engines = pack.manifest.engines
    vit = open_model(library, engines["mem_vit"], pack.path, config)
    projector = open_model(library, engines["mem_proj"], pack.path, config)
    pixels = pack.manifest.memory.pixels
    frames = OrtTensor("uint8", [1, pixels, pixels, 3])
    seen = pack.engine("mem_vit").run({"frames": frames.array})
    outputs = {name: OrtTensor("float32", value.shape) for name, value in seen.items()}
    embeds = pack.engine("mem_proj").run({"features": seen["features"]})["clip_embeds"]
    clip = OrtTensor("float32", embeds.shape)
    first = vit.call({"frames": frames}, outputs)
    second = projector.call({"features": outputs["features"]}, {"clip_embeds": clip})
    with served(50, SEE, REMEMBER) as scheduler, _burning():
        native = []
        for _ in range(rounds):
            see, _ = scheduler.submit_native(SEE, first)
            remember, _ = scheduler.submit_native(REMEMBER, second, after=[see], reports=True)
            scheduler.take(LONG_US)
            native.append((remember.times_ns[1] - see.times_ns[2]) / 1e3)
        gil_taken = scheduler.gil_taken
        python = []
        for _ in range(rounds):
            ended, began = [0], [0]

            def run_first(ended: list[int] = ended) -> None:
                pack.engine("mem_vit").run({"frames": frames.array})
                ended[0] = time.monotonic_ns()

            def run_second(began: list[int] = began) -> None:
                began[0] = time.monotonic_ns()
                pack.engine("mem_proj").run({"features": seen["features"]})

            see, _ = scheduler.submit(SEE, "see", run_first)
            scheduler.submit(REMEMBER, "remember", run_second, after=[see])
            for _ in range(2):
                scheduler.take(LONG_US)
            python.append((began[0] - ended[0]) / 1e3)
    return [
        Row(
            "hand-off between engines, native, Python busy",
            "µs",
            tuple(native),
            "p99",
            HAND_OFF_BAR_US,
        ),
        Row("the same in Python", "µs", tuple(python)),
        Row("GIL taken in the native hand-offs", "times", (float(gil_taken),), "maximum", 0.0),
    ]


def idle_share(pack: EnginePack, seconds: float) -> Row:
    """CPU time of this process while a session's camera and microphone give nothing any more."""
    config = benchmark_config("edge", None)
    source = LiveSource(config.source, name="paused")
    with tempfile.TemporaryDirectory(prefix="omnilive-idle-") as folder:
        session = Session(pack, config, RunOptions(realtime=True), Path(folder))
        thread = threading.Thread(target=session.run, args=(source,))
        thread.start()
        try:
            _show_and_pause(source)
            begin = time.process_time()
            time.sleep(seconds)
            spent = time.process_time() - begin
        finally:
            source.end()
            thread.join()
            session.close()
    share = 100 * spent / seconds
    return Row("idle process, source paused", "% core", (share,), "maximum", IDLE_SHARE_BAR)


def _show_and_pause(source: LiveSource) -> None:
    """A second of sound and a picture, then nothing until the session takes it for a pause."""
    picture = np.zeros((240, 320, 3), np.uint8)
    while not source.push_frame(0, picture):  # until it reads
        time.sleep(GAP_S)
    source.push_pcm(0, np.zeros(SAMPLE_RATE_HZ, np.float32))
    time.sleep(2 * PAUSED_US / 1e6)


def _native_waits(spin_us: int, gap_s: float, jobs: int) -> tuple[float, ...]:
    noop = noop_job()
    waits = []
    with served(spin_us, SEE) as scheduler:
        for _ in range(jobs):
            ticket, _ = scheduler.submit_native(SEE, noop, reports=True)
            scheduler.take(LONG_US)
            submitted, started, _ = ticket.times_ns
            waits.append((started - submitted) / 1e3)
            _pause(gap_s)
    return tuple(waits)


def _python_waits(spin_us: int, gap_s: float, jobs: int) -> tuple[float, ...]:
    waits, started = [], [0]

    def note() -> None:
        started[0] = time.monotonic_ns()

    with served(spin_us, SEE) as scheduler:
        for _ in range(jobs):
            ticket, _ = scheduler.submit(SEE, "see", note)
            scheduler.take(LONG_US)
            waits.append((started[0] - ticket.times_ns[0]) / 1e3)
            _pause(gap_s)
    return tuple(waits)


def _pause(gap_s: float) -> None:
    """Longer than a lane spins, or the few microseconds in which it has begun to."""
    if gap_s:
        time.sleep(gap_s)
        return
    until = time.perf_counter() + 20e-6
    while time.perf_counter() < until:
        pass


def _settle(ticket: LaneTicket) -> None:
    while ticket.times_ns is None:
        pass


@contextmanager
def _burning() -> Iterator[None]:
    """A thread that holds the interpreter for 5 ms at a time, whoever asks for it."""
    over = threading.Event()

    def burn() -> None:
        while not over.is_set():
            until = time.perf_counter() + BURN_S
            while time.perf_counter() < until:
                pass

    interval = sys.getswitchinterval()
    sys.setswitchinterval(BURN_S)
    thread = threading.Thread(target=burn)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(interval)


def probe(pack: EnginePack, jobs: int, idle_s: float) -> list[Row]:
    """All of the above."""
    return [
        *start_latency(jobs),
        throughput(100 * jobs),
        *hand_off(pack, min(jobs, 200)),
        idle_share(pack, idle_s),
    ]
