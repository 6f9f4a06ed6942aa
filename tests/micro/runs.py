"""What a rendered stream and a run of the command are to the tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnilive_micropack.render import StreamTruth

SLOW_TOKEN_US = 1_500_000
"""A decode step of the slow device: the shortest answer takes longer than anybody waits."""


@dataclass(frozen=True)
class Stream:
    """A rendered file and the truth about it."""

    path: Path
    truth: StreamTruth


@dataclass(frozen=True)
class Run:
    """What one run of the command left."""

    code: int
    folder: Path

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The logged events, of one kind or all."""
        lines = (self.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
        events = [json.loads(line) for line in lines]
        return [e for e in events if kind is None or e["type"] == kind]

    def only(self, kind: str) -> dict[str, Any]:
        """The one event of a kind."""
        (event,) = self.events(kind)
        return event


Refused = Callable[..., tuple[int, str]]
"""Runs with a pack and arguments that must be refused; gives the exit code and the line."""


def assert_one_clear_line(error: str) -> None:
    """One line that begins with the program's name and ends with a mend."""
    lines = error.strip().splitlines()
    assert len(lines) == 1, error
    assert lines[0].startswith("omnilive: ")
    assert ". " in lines[0]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, every one of which is whole."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]
