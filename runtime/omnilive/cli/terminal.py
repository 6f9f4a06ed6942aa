"""What a person sees while a session runs: a live view on a terminal, plain lines in a pipe.

Views listen to the event log; they never slow a session down for the sake of a picture and
never pass on a character that a terminal would obey.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from omnilive.cli.terminal_lines import line_for, moment, printable
from omnilive.cli.terminal_status import Status, advanced
from omnilive.engine.manifest import Manifest
from omnilive.eventlog import output_error
from omnilive.events import Event
from omnilive.sources.types import MediaInfo

REFRESHES_PER_S = 8
_UNTRAINED = "untrained pack: the words are noise; times, clips and retrieval are real"
_SHOWN_CHARACTERS = 2_000
_LABEL_CELLS = 10

_ACTIVITY_STYLES = {
    "listening": "cyan",
    "hearing": "bold magenta",
    "thinking": "yellow",
    "speaking": "bold green",
    "done": "dim",
}


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
    folder: Path,
    *,
    now_s: Callable[[], float] = time.monotonic,
) -> View:
    """A live view where ``console`` is a terminal, else plain lines.

    Args:
        manifest: of the pack that runs.
        info: the source; its duration scales the progress.
        folder: where the results go, named in the last line.
        now_s: wall clock in seconds, for the speed against real time.
    """
    heading = _heading(manifest, info)
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveView(console, heading, manifest.trained, info.duration_us, folder, now_s)
    return PlainLines(console, heading, manifest.trained, folder)


class PlainLines:
    """One line per event worth telling, each flushed, nothing but text.

    Raises:
        OutputError: a line cannot be written, as on a full disk.
    """

    def __init__(self, console: Console, heading: str, trained: bool, folder: Path) -> None:
        self._file = console.file
        self._encoding = console.encoding
        self._heading = heading
        self._trained = trained
        self._folder = folder

    def __enter__(self) -> PlainLines:
        self._write(self._heading)
        if not self._trained:
            self._write(_UNTRAINED)
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
        self._write(_results(self._folder, path))

    def _write(self, line: str) -> None:
        # A pipe may be ASCII: a question mark is better than a run that stops.
        text = line.encode(self._encoding, "replace").decode(self._encoding)
        try:
            self._file.write(text + "\n")
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as e:
            raise output_error(e, Path("standard output")) from e


class LiveView:
    """A status block that stays below the conversation, redrawn a few times a second."""

    def __init__(
        self,
        console: Console,
        heading: str,
        trained: bool,
        duration_us: int | None,
        folder: Path,
        now_s: Callable[[], float],
    ) -> None:
        self._console = console
        self._heading = heading
        self._trained = trained
        self._duration_us = duration_us
        self._folder = folder
        self._now_s = now_s
        self._began_s = now_s()
        self._status = Status()
        self._results = ""
        self._live = Live(
            console=console,
            get_renderable=self.render,
            refresh_per_second=REFRESHES_PER_S,
            transient=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> LiveView:
        self._began_s = self._now_s()
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def on_event(self, event_id: int, at_us: int, event: Event) -> None:
        """Replace the status; what was said also scrolls past above it."""
        self._status = advanced(self._status, at_us, event)
        line = line_for(at_us, event)
        if line is not None and not line.detail:
            self._console.print(
                Text.assemble((moment(line.at_us) + " ", "dim"), (line.text, line.style))
            )

    def on_report(self, path: Path) -> None:
        """Say where the results are."""
        self._results = _results(self._folder, path)

    def render(self) -> RenderableType:
        """The status block as it is now; called by the drawing thread."""
        status = self._status
        title = Text(self._heading, style="bold", no_wrap=True, overflow="ellipsis")
        rows: list[RenderableType] = [title]
        if not self._trained:
            rows.append(Text(_UNTRAINED, style="yellow", no_wrap=True, overflow="ellipsis"))
        rows += [self._progress(status), self._counters(status)]
        if not status.ended:
            rows += [self._said("heard", status.heard), self._said("answer", status.answer)]
        if self._results:
            rows.append(Text(self._results))
        return Group(*rows)

    def _said(self, label: str, text: str) -> RenderableType:
        """The newest part of ``text`` on one line: an answer streams in at its end."""
        words = tail(printable(text[-_SHOWN_CHARACTERS:]), self._console.width - _LABEL_CELLS)
        return Text.assemble((f"{label:<{_LABEL_CELLS}}", "dim"), words, no_wrap=True)

    def _progress(self, status: Status) -> RenderableType:
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(no_wrap=True, width=_LABEL_CELLS - 1)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True, justify="right")
        known = self._duration_us is not None
        shown = f"{status.at_us / 1e6:.1f}" + (
            f" / {self._duration_us / 1e6:.1f} s" if self._duration_us is not None else " s"
        )
        elapsed_s = self._now_s() - self._began_s
        speed = f"  {status.at_us / 1e6 / elapsed_s:.1f}× real time" if elapsed_s > 0.2 else ""
        grid.add_row(
            Text(status.activity, style=_ACTIVITY_STYLES[status.activity]),
            ProgressBar(
                total=max(1.0, float(self._duration_us or 1)),
                completed=min(float(status.at_us), float(self._duration_us or 0)),
                pulse=not known and not status.ended,
            ),
            Text(shown + speed),
        )
        return grid

    def _counters(self, status: Status) -> RenderableType:
        cosine = "–" if status.cosine is None else f"{status.cosine:.3f}"
        return Text(
            f"clip {status.clip} · cosine {cosine} · {status.frames} frames,"
            f" {status.dropped} dropped · {status.clips_in_memory} clips in memory ·"
            f" {status.questions} heard, {status.answers} answered, {status.cancelled} cancelled",
            style="dim",
            no_wrap=True,
            overflow="ellipsis",
        )


def _heading(manifest: Manifest, info: MediaInfo) -> str:
    size = f" {info.width}×{info.height}" if info.has_video else ""
    length = f" {info.duration_us / 1e6:.1f} s" if info.duration_us is not None else ""
    pack = f"{printable(manifest.name)} ({printable(manifest.precision)})"
    return f"{printable(info.name)}{size}{length} · pack {pack}"


def _results(folder: Path, report: Path) -> str:
    return f"results in {printable(str(folder))}, report {printable(report.name)}"


def tail(text: str, cells: int) -> str:
    """The end of ``text`` that fits ``cells`` terminal cells, after an ellipsis where cut."""
    if cell_len(text) <= cells:
        return text
    kept, room = len(text), cells - 1
    while kept and room >= cell_len(text[kept - 1]):
        kept -= 1
        room -= cell_len(text[kept])
    return "…" + text[kept:] if cells > 0 else ""
