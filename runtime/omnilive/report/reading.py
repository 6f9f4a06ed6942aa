"""Reads what a run left behind, whole or cut short. It never writes to the run's folder."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from omnilive.errors import ConfigError
from omnilive.eventlog import EVENTS_NAME, TIMINGS_NAME
from omnilive.events import Event, from_json

E = TypeVar("E", bound=Event, covariant=True)


@dataclass(frozen=True)
class Stamped(Generic[E]):
    """One logged event: its id, the stream time it was logged at (microseconds), and itself."""

    id: int
    at_us: int
    event: E


@dataclass(frozen=True)
class Timing:
    """One measured duration: the id of the event it belongs to, the stage, microseconds."""

    event: int
    stage: str
    wall_us: int


@dataclass(frozen=True)
class RunLog:
    """Both logs of a run in the order they were written.

    Attributes:
        unreadable: lines of either log that are not of this schema, such as the last line of a
            run that was killed while writing it.
        has_earlier_parts: the log grew so long that what came before lies in files of its own.
    """

    events: tuple[Stamped[Event], ...]
    timings: tuple[Timing, ...]
    unreadable: int
    has_earlier_parts: bool


def read_run(folder: Path) -> RunLog:
    """Read ``events.jsonl`` and, if there is one, ``timings.jsonl``: the newest part of each.

    Raises:
        ConfigError: the folder holds no readable event log.
    """
    path = folder / EVENTS_NAME
    try:
        lines = list(_lines(path))
    except OSError as e:
        raise ConfigError(
            f"cannot be read ({e.strerror or e})",
            where=str(path),
            mend="Name a folder that `omnilive run --out` wrote.",
        ) from e
    events: list[Stamped[Event]] = []
    unreadable = 0
    for line in lines:
        try:
            events.append(Stamped(*from_json(line)))
        except ValueError:
            unreadable += 1
    timings: list[Timing] = []
    for line in _timing_lines(folder):
        try:
            raw = json.loads(line)
            timings.append(Timing(int(raw["event"]), str(raw["stage"]), int(raw["wall_us"])))
        except (ValueError, KeyError, TypeError):
            unreadable += 1
    earlier = (folder / EVENTS_NAME).with_suffix(".1.jsonl").exists()
    return RunLog(tuple(events), tuple(timings), unreadable, earlier)


def _timing_lines(folder: Path) -> list[str]:
    """A run killed early may have no timings yet; its events are still worth a report."""
    try:
        return list(_lines(folder / TIMINGS_NAME))
    except FileNotFoundError:
        return []


def _lines(path: Path) -> Iterator[str]:
    if not path.is_file():  # a device or a pipe gives nothing back, or has no end
        raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for line in file:
            if line.strip():
                yield line
