"""Writes the event log: ``events.jsonl`` (facts) and ``timings.jsonl`` (measured durations).

Every line goes out as it is written, so whatever ends the run, what was written stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from omnilive.clock import Clock
from omnilive.closing import Closers
from omnilive.errors import OutputError
from omnilive.events import Event, to_json
from omnilive.output_config import OutputConfig
from omnilive.rotation import RotatingFile

EVENTS_NAME = "events.jsonl"
TIMINGS_NAME = "timings.jsonl"

Listener = Callable[[int, int, Event], None]
"""Told of an event: its id, its time in microseconds, and itself."""

TimingListener = Callable[[str, int], None]
"""Told of a stage that was measured: its name, and the microseconds it took."""


def output_error(error: OSError, path: Path) -> OutputError:
    """The user's form of a failed write to ``path``."""
    return OutputError(
        f"could not be written ({error.strerror or error})",
        where=str(path),
        mend="Free space or name another folder with --out; what was written before is kept.",
    )


class EventLog:
    """Numbers events, stamps them with the clock, writes them and tells the listeners.

    Nothing in the folder is touched before ``open``, which the first ``emit`` calls itself.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        listeners: tuple[Listener, ...] = (),
        config: OutputConfig | None = None,
        on_timing: TimingListener | None = None,
    ) -> None:
        self._clock = clock
        self._listeners = listeners
        self._on_timing = on_timing
        self._next_id = 1
        self._folder = folder
        self._config = config or OutputConfig()
        self._files: dict[str, RotatingFile] = {}
        self._has_events = False

    @property
    def has_events(self) -> bool:
        """Whether an event of this log has been written: it is the one in the folder."""
        return self._has_events

    def open(self) -> None:
        """Make the folder if need be, and begin both files anew.

        Raises:
            OutputError: one cannot be opened; then neither has changed.
        """
        files: dict[str, RotatingFile] = {}
        for name in (EVENTS_NAME, TIMINGS_NAME):
            path = self._folder / name
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                files[name] = RotatingFile(
                    path, self._config.log_part_bytes, self._config.log_parts
                )
            except OSError as e:
                for file in files.values():
                    file.close()
                raise output_error(e, path) from e
        self._files = files
        for name, file in files.items():
            try:
                file.clear()
            except OSError as e:
                raise output_error(e, self._folder / name) from e

    def emit(self, event: Event, *, wall_us: int | None = None, stage: str = "") -> int:
        """Log ``event``; with ``wall_us``, log the measured time of ``stage`` under its id.

        Returns:
            The event's id.

        Raises:
            OutputError: it cannot be written, as on a full disk.
        """
        event_id = self._next_id
        self._next_id += 1
        at_us = self._clock.now_us()
        self._write(EVENTS_NAME, to_json(event_id, at_us, event))
        self._has_events = True
        if wall_us is not None:
            self.time(event_id, stage or event.kind, wall_us)
        for listener in self._listeners:
            listener(event_id, at_us, event)
        return event_id

    def time(self, event_id: int, stage: str, wall_us: int) -> None:
        """Log the measured time of one stage that led to an event already logged.

        Raises:
            OutputError: it cannot be written.
        """
        timing = {"event": event_id, "stage": stage, "wall_us": wall_us}
        self._write(TIMINGS_NAME, json.dumps(timing, separators=(",", ":")))
        if self._on_timing is not None:
            self._on_timing(stage, wall_us)

    def close(self) -> None:
        """Close both files; raises OutputError when one could not be, after closing the other."""
        with Closers() as closers:
            for name in self._files:
                closers.add(lambda name=name: self._close(name))  # type: ignore[misc]

    def __enter__(self) -> EventLog:
        self.open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _close(self, name: str) -> None:
        try:
            self._files[name].close()
        except OSError as e:
            raise output_error(e, self._folder / name) from e

    def _write(self, name: str, line: str) -> None:
        """A name that is no valid Unicode must not end a run: what cannot be encoded is escaped."""
        if not self._files:
            self.open()
        try:
            self._files[name].write((line + "\n").encode("utf-8", "backslashreplace"))
        except OSError as e:
            raise output_error(e, self._folder / name) from e
