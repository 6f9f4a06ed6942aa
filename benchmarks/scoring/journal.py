"""Keeps what was measured, part by part, so that an interrupted run goes on where it stopped.

One JSON line per part and variant, appended and flushed. A line that was cut off, or that was
measured with other packs, settings or seeds, is passed over and never deleted.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from omnilive.errors import ConfigError
from omnilive.eventlog import output_error
from scoring.result import Item, Tallies

FORMAT = 1
SUFFIX = ".parts.jsonl"


def journal_path(result: Path) -> Path:
    """The journal that belongs to a result file."""
    return result.with_suffix(SUFFIX)


def identity(group: str, part: int, variant: str) -> str:
    """Names one line: the same for the same group, part and variant (their own identities)."""
    return hashlib.sha256(repr((FORMAT, group, part, variant)).encode()).hexdigest()


class Journal:
    """The lines of one file; without a path they are kept for this run only.

    Raises:
        ConfigError: the file cannot be read.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._held: dict[str, dict[str, list[Item]]] = {}
        if path is not None and path.exists():
            self._read(path)

    def get(self, key: str) -> Tallies | None:
        """What was kept under ``identity``, if anything was."""
        return self._held.get(key)

    def put(self, key: str, tallies: Tallies) -> None:
        """Keep a line.

        Raises:
            OutputError: it cannot be written; the lines before it are kept.
        """
        self._held[key] = {name: list(items) for name, items in tallies.items()}
        if self._path is None:
            return
        rows = {name: [[i.key, i.num, i.den] for i in items] for name, items in tallies.items()}
        line = json.dumps({"id": key, "tallies": rows}, ensure_ascii=False)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # A line cut off by an end of power must not swallow this one.
            whole = _ends_whole(self._path)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(("" if whole else "\n") + line + "\n")
        except OSError as e:
            raise output_error(e, self._path) from e

    def _read(self, path: Path) -> None:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as e:
            raise ConfigError(
                f"cannot be read ({e.strerror or e})",
                where=str(path),
                mend="Name another file with --json, or delete this one.",
            ) from e
        for line in lines:
            row = _row(line)
            if row is not None:
                self._held[row[0]] = row[1]


def _row(line: str) -> tuple[str, dict[str, list[Item]]] | None:
    try:
        parsed: dict[str, Any] = json.loads(line)
        tallies = {
            name: [Item(str(key), float(num), float(den)) for key, num, den in items]
            for name, items in parsed["tallies"].items()
        }
        return str(parsed["id"]), tallies
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _ends_whole(path: Path) -> bool:
    """Whether the file is missing, empty or ends with a whole line. Raises OSError."""
    if not path.exists() or path.stat().st_size == 0:
        return True
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read() == b"\n"
