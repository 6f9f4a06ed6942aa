"""Consoles to show a session on, and what a view wrote there."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from omnilive.cli.terminal import make_view
from omnilive.engine.manifest import AudioSpec, Manifest, MemorySpec, ReasonerSpec
from omnilive.events import Event
from omnilive.sources.types import MediaInfo
from report_runs import RunWriter, S

INFO = MediaInfo("kitchen.mp4", 66 * S, 640, 360, True, True)


def manifest(*, trained: bool = False) -> Manifest:
    return Manifest(
        name="micro",
        precision="int4",
        trained=trained,
        builder_version="0",
        memory=MemorySpec(112, 4, 512, 128, 4, 256, 1024, 8192),
        audio=AudioSpec(480_000, 400, 160, 256, 1024, 2048, (0,)),
        reasoner=ReasonerSpec(168, 6, 256, 1024, 8192, 1, (2,), 64),
        engines={},
        tables={},
        tokenizers={},
        source={},
        fingerprint={},
    )


def events_of(run: RunWriter) -> Iterator[tuple[int, int, Event]]:
    for i, (at_us, event, _, _) in enumerate(sorted(run.rows, key=lambda r: r[0]), 1):
        yield i, at_us, event


def shown(console: Console, run: RunWriter, *, now_s: Callable[[], float] = lambda: 0.0) -> str:
    """Everything a view wrote while it watched ``run``."""
    with make_view(console, manifest(), INFO, now_s=now_s) as view:
        for event_id, at_us, event in events_of(run):
            view.on_event(event_id, at_us, event)
        view.on_report(Path("out/x/report.html"))
    file: Any = console.file
    return str(file.getvalue())


def piped() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=40)


def terminal(width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=30, _environ={})


def without_controls(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text)
