"""Shows a build to the user: a bar with the time left on a terminal, plain lines elsewhere.

It never decides anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class BuildView(Protocol):
    """What a build tells its viewer."""

    def total(self, cost: int) -> None:
        """The amount of work, in values to read."""
        ...

    def stage(self, name: str) -> None:
        """The part that begins now."""
        ...

    def advance(self, cost: int) -> None:
        """Work done since the last call."""
        ...

    def note(self, text: str) -> None:
        """One clause the user should read."""
        ...


@contextmanager
def build_view(stream: TextIO) -> Iterator[BuildView]:
    """A view that suits ``stream``: a bar where it is a terminal, else one line per part."""
    if not stream.isatty():
        yield PlainView(stream)
        return
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        yield BarView(bar)


class BarView:
    """A progress bar with the time left."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID = bar.add_task("reading the checkpoint", total=None)

    def total(self, cost: int) -> None:
        """See ``BuildView``."""
        self._bar.update(self._task, total=cost)

    def stage(self, name: str) -> None:
        """See ``BuildView``."""
        self._bar.update(self._task, description=name)

    def advance(self, cost: int) -> None:
        """See ``BuildView``."""
        self._bar.advance(self._task, cost)

    def note(self, text: str) -> None:
        """See ``BuildView``."""
        self._bar.console.print(text, highlight=False, markup=False)


class PlainView:
    """One line when a part begins: what is done, and the time the rest will take."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._total = 0
        self._done = 0
        self._begun = time.monotonic()

    def total(self, cost: int) -> None:
        """See ``BuildView``."""
        self._total = cost
        self._begun = time.monotonic()

    def stage(self, name: str) -> None:
        """See ``BuildView``."""
        if not 0 < self._done < self._total:
            self.note(name)
            return
        share = self._done / self._total
        left = (time.monotonic() - self._begun) * (1 - share) / share
        self.note(f"{name} ({share:.0%} done, {left:.0f} s left)")

    def advance(self, cost: int) -> None:
        """See ``BuildView``."""
        self._done += cost

    def note(self, text: str) -> None:
        """See ``BuildView``."""
        print(text, file=self._stream, flush=True)
