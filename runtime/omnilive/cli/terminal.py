"""Chooses what a person sees of a running session: a live view, or plain lines in a pipe.

Views listen to the event log; they never slow a session down for the sake of a picture and
never pass on a character that a terminal would obey.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from rich.console import Console

from omnilive.cli.pipe import discard
from omnilive.cli.terminal_lines import line_for, moment, printable, report_line
from omnilive.cli.terminal_live import LiveView
from omnilive.engine.manifest import Manifest
from omnilive.eventlog import output_error
from omnilive.events import Event
from omnilive.sources.types import MediaInfo

_UNTRAINED = "untrained pack: the words are noise; times, clips and retrieval are real"


class View(Protocol):
    """Something that shows a session. Its methods run on the session's loop."""

    def __enter__(self) -> View: ...

    def __exit__(self, *exc: object) -> None: ...

    def on_event(self, event_id: int, at_us: int, event: Event) -> None:
        """Listener of the event log (``omnilive.eventlog.Listener``)."""
        ...

    def on_report(self, path: Path) -> None:
        """The report was written."""
        ...


def make_view(
    console: Console,
    manifest: Manifest,
    info: MediaInfo,
    *,
    now_s: Callable[[], float] = time.monotonic,
) -> View:
    """A live view where ``console`` is a terminal, else plain lines.

    Args:
        manifest: of the pack that runs.
        info: the source; its duration scales the progress.
        now_s: wall clock in seconds, for the speed against real time, and for the time shown
            between two events of a session that runs with it.
    """
    heading = _heading(manifest, info)
    warning = "" if manifest.trained else _UNTRAINED
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveView(console, heading, warning, info.duration_us, now_s)
    return PlainLines(console, heading, warning)


class PlainLines:
    """One line per event worth telling, each flushed, nothing but text.

    Once the reader of its pipe has gone, as ``head`` does, it says nothing more.

    Raises:
        OutputError: a line cannot be written, as on a full disk.
    """

    def __init__(self, console: Console, heading: str, warning: str) -> None:
        self._file = console.file
        self._heard = True
        self._encoding = console.encoding
        self._heading = heading
        self._warning = warning

    def __enter__(self) -> PlainLines:
        self._write(self._heading)
        if self._warning:
            self._write(self._warning)
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def on_event(self, event_id: int, at_us: int, event: Event) -> None:
        """Tell the event, if it is worth a line."""
        line = line_for(at_us, event)
        if line is not None:
            self._write(f"{moment(line.at_us)} {line.text}")

    def on_report(self, path: Path) -> None:
        """Say where the results are."""
        self._write(report_line(path))

    def _write(self, line: str) -> None:
        if not self._heard:
            return
        # A pipe may be ASCII: a question mark is better than a run that stops.
        text = line.encode(self._encoding, "replace").decode(self._encoding)
        try:
            self._file.write(text + "\n")
            self._file.flush()
        except BrokenPipeError:
            self._heard = False
            discard(self._file)
        except OSError as e:
            raise output_error(e, Path("standard output")) from e


def _heading(manifest: Manifest, info: MediaInfo) -> str:
    size = f" {info.width}×{info.height}" if info.has_video else ""
    length = f" {info.duration_us / 1e6:.1f} s" if info.duration_us is not None else ""
    pack = f"{printable(manifest.name)} ({printable(manifest.precision)})"
    return f"{printable(info.name)}{size}{length} · pack {pack}"
