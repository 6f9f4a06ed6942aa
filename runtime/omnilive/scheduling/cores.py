"""How many cores there are to share, found out by using them, and what each lane takes of them.

Reads and measures; it sets nothing.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np

from omnilive._native import topk_cosine
from omnilive.scheduling.jobs import Lane

QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")
MEASURE_S = 0.01
"""Seconds each number of threads is tried for: some thousand times one piece of work."""
WORTH = 0.5
"""A further thread is worth a core when it adds at least half of what the first one does: the
second thread of a core adds 0 to 0.3."""


def allowed_cores(quota_file: Path = QUOTA_FILE) -> int:
    """Cores this process may run on, by its affinity and its control group's quota; at least 1."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
    except (OSError, ValueError):  # no control group, or one without a limit of this kind
        return cores
    return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))


def measured_cores(
    limit: int, throughput: Callable[[int], float] | None = None, worth: float = WORTH
) -> int:
    """Threads that each still add work worth a core, from 1 to ``limit``.

    Counts are doubled as long as they pay, so a machine of 16 cores is measured five times.

    Args:
        limit: threads tried at most.
        throughput: work per second of so many threads at once; by default it is measured here.
        worth: of one thread's throughput, what another has to add.
    """
    measure = throughput or thread_throughput
    one = measure(1)
    found = 1
    while found < limit:
        tried = min(2 * found, limit)
        if measure(tried) < one * (found + worth * (tried - found)):
            break
        found = tried
    return found


def thread_throughput(threads: int, seconds: float = MEASURE_S) -> float:
    """Pieces of arithmetic per second that ``threads`` threads do together, without the GIL."""
    rows = np.ones((256, 256), np.float32)
    query = np.ones(256, np.float32)
    done = [0] * threads
    begin = threading.Barrier(threads)

    def work(index: int) -> None:
        begin.wait()
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            topk_cosine(query, rows, 1)
            done[index] += 1

    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(done) / seconds


def core_shares(
    engine_threads: int, on_device: Collection[Lane] = frozenset()
) -> Mapping[Lane, int]:
    """Cores that a job of each lane keeps busy: an engine its threads, the voice one.

    Lanes ``on_device`` have none: while their jobs wait for a GPU, others must get to it too.
    """
    return {
        lane: 1 if lane is Lane.SPEAK else engine_threads for lane in Lane if lane not in on_device
    }
