"""What a rendered stream and a run of the command are to the tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnilive_micropack.render import StreamTruth


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
