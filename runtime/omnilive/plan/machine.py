"""What this machine has to give at this moment: free memory, and how fast it multiplies.

Reads and measures; it never reserves anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from omnilive.engine.nvidia_smi import query

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_MATRIX_SIDE = 64
"""Side of the largest product that BLAS computes in the calling thread."""
_PRODUCTS, _LEAST_RUNS = 16, 3


@dataclass(frozen=True)
class MachineMemory:
    """Memory of this machine in bytes.

    Attributes:
        host_total, host_free: of the host; what a control group forbids is not free.
        process: resident memory of this process, none of which is in ``host_free``.
        device_total, device_free: of the first device with memory of its own, both 0 without
            one (a Jetson's GPU shares the host's).
    """

    host_total: int
    host_free: int
    process: int
    device_total: int = 0
    device_free: int = 0


def machine_memory() -> MachineMemory:
    """The memory of this machine now."""
    memory = psutil.virtual_memory()
    total, free = _device()
    return MachineMemory(
        host_total=int(memory.total),
        host_free=min(int(memory.available), _cgroup_room()),
        process=int(psutil.Process().memory_info().rss),
        device_total=total,
        device_free=free,
    )


def measured_gflops(
    threads: int = 0, *, seconds: float = 0.1, now_s: Callable[[], float] = time.perf_counter
) -> float:
    """Float32 matrix products of this machine, in 1e9 operations per second.

    The best of many products too small to be shared among threads, times the threads: what the
    cores give when nothing else runs on them.

    Args:
        threads: that an engine takes; 0 for all physical cores.
        seconds: how long to measure.
        now_s: the clock, seconds.
    """
    side = _MATRIX_SIDE
    a = np.full((side, side), 0.5, np.float32)
    out = np.empty_like(a)
    begun, runs, best = now_s(), 0, float("inf")
    while runs < _LEAST_RUNS or now_s() - begun < seconds:
        before = now_s()
        for _ in range(_PRODUCTS):
            np.matmul(a, a, out=out)
        best = min(best, now_s() - before)
        runs += 1
    cores = threads or psutil.cpu_count(logical=False) or 1
    return cores * _PRODUCTS * 2.0 * side**3 / max(best, 1e-9) / 1e9


def _cgroup_room() -> int:
    """Bytes this process's control groups (version 2) still allow; very many without a limit."""
    room = 1 << 62
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return room
    path = next((line[3:] for line in lines if line.startswith("0::")), "/")
    folder = _CGROUP_ROOT / path.lstrip("/")
    for group in (folder, *folder.parents):
        limit, used = _number(group / "memory.max"), _number(group / "memory.current")
        if limit is not None and used is not None:
            room = min(room, max(0, limit - used))
        if group == _CGROUP_ROOT:
            break
    return room


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max" is no limit


def _device() -> tuple[int, int]:
    """(total, free) bytes of the first NVIDIA device; (0, 0) without one of its own."""
    first = next(iter(query(("memory.total", "memory.free"))), {})
    sizes = list(first.values())
    if not sizes or not all(size.isdigit() for size in sizes):
        return 0, 0  # a Jetson answers "[N/A]"
    return int(sizes[0]) << 20, int(sizes[1]) << 20
