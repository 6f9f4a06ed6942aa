"""The live view of a session on a terminal. Like every view (``terminal``), it never slows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from omnilive.cli.terminal_lines import counted, line_for, moment, printable, report_line
from omnilive.cli.terminal_status import Status, advanced
from omnilive.events import Event

REFRESHES_PER_S = 8
_SHOWN_CHARACTERS = 2_000
_LABEL_CELLS = 10

_ACTIVITY_STYLES = {
    "listening": "cyan",
    "hearing": "bold magenta",
    "thinking": "yellow",
    "answering": "yellow",
    "speaking": "bold green",
    "done": "dim",
}


class LiveView:
    """A status block that stays below the conversation, redrawn a few times a second."""

    def __init__(
        self,
        console: Console,
        heading: str,
        warning: str,
        duration_us: int | None,
        now_s: Callable[[], float],
    ) -> None:
        self._console = console
        self._heading = heading
        self._warning = warning
        self._duration_us = duration_us
        self._now_s = now_s
        self._began_s = now_s()
        # One value, replaced whole: the drawing thread never sees half of a change.
        self._moved = (Status(), self._began_s)
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
        self._moved = (advanced(self._moved[0], at_us, event), self._now_s())
        line = line_for(at_us, event)
        if line is not None and not line.detail:
            row = Table.grid(padding=(0, 1))
            row.add_column(no_wrap=True)
            row.add_column(overflow="fold")
            row.add_row(Text(moment(line.at_us), style="dim"), Text(line.text, style=line.style))
            self._console.print(row)

    def on_report(self, path: Path) -> None:
        """Say where the results are."""
        self._results = report_line(path)

    def render(self) -> RenderableType:
        """The status block as it is now; called by the drawing thread."""
        status = self._current()
        title = Text(self._heading, style="bold", no_wrap=True, overflow="ellipsis")
        rows: list[RenderableType] = [title]
        if self._warning:
            rows.append(Text(self._warning, style="yellow", no_wrap=True, overflow="ellipsis"))
        rows += [self._progress(status), self._labelled("seen", _seen(status))]
        rows.append(self._labelled("turns", _turns(status)))
        if not status.ended:
            rows += [self._labelled("heard", self._newest(status.heard))]
            rows += [self._labelled("answer", self._newest(status.answer))]
        if self._results:
            rows.append(Text(self._results, overflow="fold"))
        return Group(*rows)

    def _current(self) -> Status:
        """The status of this moment: a live session's time goes on between two events."""
        status, moved_s = self._moved
        if not status.live or status.ended:
            return status
        at_us = status.at_us + round((self._now_s() - moved_s) * 1e6)
        if self._duration_us is not None:
            at_us = max(status.at_us, min(at_us, self._duration_us))
        return replace(status, at_us=at_us)

    def _newest(self, text: str) -> str:
        """The end of ``text`` that fits one line: an answer streams in at its end."""
        return tail(printable(text[-_SHOWN_CHARACTERS:]), self._console.width - _LABEL_CELLS)

    def _labelled(self, label: str, text: str) -> RenderableType:
        return Text.assemble(
            (f"{label:<{_LABEL_CELLS}}", "dim"), text, no_wrap=True, overflow="ellipsis"
        )

    def _progress(self, status: Status) -> RenderableType:
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(no_wrap=True, width=_LABEL_CELLS - 1)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True, justify="right")
        known = self._duration_us is not None
        shown = f"{status.at_us / 1e6:.1f}"
        if self._duration_us is not None:
            end = f"{self._duration_us / 1e6:.1f}"
            shown = f"{shown:>{len(end)}} / {end}"
        grid.add_row(
            Text(status.activity, style=_ACTIVITY_STYLES[status.activity]),
            ProgressBar(
                total=max(1.0, float(self._duration_us or 1)),
                completed=min(float(status.at_us), float(self._duration_us or 0)),
                pulse=not known and not status.ended,
            ),
            Text(f"{shown} s{self._speed(status)}"),
        )
        return grid

    def _speed(self, status: Status) -> str:
        """Stream time per wall time; a live session has no speed of its own."""
        if status.live:
            return "  real time"
        elapsed_s = self._now_s() - self._began_s
        return f" {status.at_us / 1e6 / elapsed_s:5.1f}× real time" if elapsed_s > 0.2 else ""


def _seen(status: Status) -> str:
    cosine = "–" if status.cosine is None else f"{status.cosine:.3f}"
    return (
        f"{counted(status.frames, 'frame')}, {status.dropped} dropped · clip {status.clip},"
        f" cosine {cosine} · {counted(status.clips_in_memory, 'clip')} remembered"
    )


def _turns(status: Status) -> str:
    return (
        f"{status.spoken} heard, {status.typed} typed · {status.answers} answered,"
        f" {status.cancelled} cancelled"
    )


def tail(text: str, cells: int) -> str:
    """The end of ``text`` that fits ``cells`` terminal cells, after an ellipsis where cut."""
    if cell_len(text) <= cells:
        return text
    kept, room = len(text), cells - 1
    while kept and room >= cell_len(text[kept - 1]):
        kept -= 1
        room -= cell_len(text[kept])
    return "…" + text[kept:] if cells > 0 else ""
