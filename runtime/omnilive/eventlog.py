"""Writes the event log: ``events.jsonl`` (facts) and ``timings.jsonl`` (measured durations).

Every line is flushed as it is written, so whatever ends the run, what was written stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TextIO

from omnilive.clock import Clock
from omnilive.errors import OutputError
from omnilive.events import Event, to_json

EVENTS_NAME = "events.jsonl"
TIMINGS_NAME = "timings.jsonl"

Listener = Callable[[int, int, Event], None]


def output_error(error: OSError, path: Path) -> OutputError:
    """The user's form of a failed write to ``path``."""
    return OutputError(
        f"could not be written ({error.strerror or error})",
        where=str(path),
        mend="Free space or name another folder with --out; what was written before is kept.",
    )


class EventLog:
    """Numbers events, stamps them with the clock, writes them and tells the listeners.

    Raises:
        OutputError: the folder cannot be written (also from ``emit``, on a full disk).
    """

    def __init__(self, folder: Path, clock: Clock, listeners: tuple[Listener, ...] = ()) -> None:
        self._clock = clock
        self._listeners = listeners
        self._next_id = 1
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._events = _open(folder / EVENTS_NAME)
            self._timings = _open(folder / TIMINGS_NAME)
        except OSError as e:
            raise output_error(e, folder) from e

    def emit(self, event: Event, *, wall_us: int | None = None, stage: str = "") -> int:
        """Log ``event``; with ``wall_us``, log the measured time of ``stage`` under its id.

        Returns:
            The event's id.
        """
        event_id = self._next_id
        self._next_id += 1
        at_us = self._clock.now_us()
        self._write(self._events, EVENTS_NAME, to_json(event_id, at_us, event))
        if wall_us is not None:
            self.time(event_id, stage or event.kind, wall_us)
        for listener in self._listeners:
            listener(event_id, at_us, event)
        return event_id

    def time(self, event_id: int, stage: str, wall_us: int) -> None:
        """Log the measured time of one stage that led to an event already logged."""
        timing = {"event": event_id, "stage": stage, "wall_us": wall_us}
        self._write(self._timings, TIMINGS_NAME, json.dumps(timing, separators=(",", ":")))

    def close(self) -> None:
        """Close both files."""
        for file, name in ((self._events, EVENTS_NAME), (self._timings, TIMINGS_NAME)):
            try:
                file.close()
            except OSError as e:
                raise output_error(e, self._folder / name) from e

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, file: TextIO, name: str, line: str) -> None:
        try:
            file.write(line + "\n")
            file.flush()
        except OSError as e:
            raise output_error(e, self._folder / name) from e


def _open(path: Path) -> TextIO:
    """A name that is no valid Unicode must not end a run: what cannot be encoded is escaped."""
    return path.open("w", encoding="utf-8", errors="backslashreplace")
