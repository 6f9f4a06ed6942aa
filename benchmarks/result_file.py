"""Writes what a benchmark found. A place that cannot be written is one line, not a traceback."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from omnilive.errors import OutputError
from omnilive.eventlog import output_error


def write_file(path: Path, text: str) -> None:
    """Write ``text``, making its folder where need be.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as e:
        raise output_error(e, path) from e


def keep_result(program: str, path: Path | None, result: Any) -> int:
    """Write ``result`` as JSON, where a file is named for it.

    Returns:
        0, or the exit code of an error, which has been told on stderr.
    """
    if path is None:
        return 0
    try:
        write_file(path, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    except OutputError as e:
        print(f"{program}: {e}", file=sys.stderr)
        return e.exit_code
    return 0
