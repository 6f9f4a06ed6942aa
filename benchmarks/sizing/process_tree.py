"""Runs a command and tells how long it took and the most memory its processes held. Linux only.

It reads /proc and never looks at what the command does.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from omnilive.errors import ConfigError

SAMPLE_S = 0.05
"""How often the processes are looked at. A process counts with its own highest mark, which the
kernel keeps: only one that lives for less than this is missed."""

PROC = Path("/proc")


@dataclass(frozen=True)
class Ran:
    """A finished command.

    Attributes:
        code: its exit code.
        seconds: wall time from start to end.
        peak_bytes: most resident memory of the command and its descendants, mapped file pages
            included: the highest sum, over the processes alive at a moment, of what each had held
            at most until then. Pages that two processes share count twice.
        output: its standard output.
    """

    code: int
    seconds: float
    peak_bytes: int
    output: str


def run_measured(command: Sequence[str]) -> Ran:
    """Run ``command`` to its end; standard error goes where ours does.

    Raises:
        ConfigError: this system has no /proc.
    """
    if not (PROC / "self" / "status").is_file():
        raise ConfigError(
            "has no /proc, from which memory is measured",
            where="this system",
            mend="Run the benchmark on Linux.",
        )
    began, peak = time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            while True:
                peak = max(peak, held_bytes(child.pid))
                try:
                    output, _ = child.communicate(timeout=SAMPLE_S)
                    break
                except subprocess.TimeoutExpired:
                    continue
        finally:
            child.kill()  # without effect once it has ended
    return Ran(child.returncode, time.monotonic() - began, peak, output)


def held_bytes(root: int) -> int:
    """Sum of the highest resident memory of ``root`` and each of its descendants, bytes."""
    return sum(_highest(pid) for pid in (root, *_descendants(root)))


def _descendants(root: int) -> Iterator[int]:
    try:
        tasks = list((PROC / str(root) / "task").iterdir())
    except OSError:
        return  # it has ended
    for task in tasks:
        try:
            children = (task / "children").read_text(encoding="ascii").split()
        except OSError:
            continue  # that thread has ended
        for child in map(int, children):
            yield child
            yield from _descendants(child)


def _highest(pid: int) -> int:
    try:
        status = (PROC / str(pid) / "status").read_text(encoding="utf-8")
    except OSError:
        return 0  # it has ended
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0  # a process that has ended and waits to be reaped
