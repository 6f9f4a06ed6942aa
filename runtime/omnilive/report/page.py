"""Writes ``report.html`` from a run's folder. It changes nothing else there."""

from __future__ import annotations

import os
from pathlib import Path

from omnilive.eventlog import output_error
from omnilive.report.document import PageLimits, document
from omnilive.report.model import build
from omnilive.report.reading import read_run

REPORT_NAME = "report.html"
_KEYFRAMES = "keyframes"
_ANSWERS = "answers.wav"


def write_report(folder: Path, limits: PageLimits | None = None) -> Path:
    """Write the report of the run in ``folder``, whole or cut short, and return its path.

    Written beside and renamed, so that a failed write keeps an older report.

    Raises:
        ConfigError: the folder holds no event log.
        OutputError: the report could not be written.
    """
    html = document(
        build(read_run(folder)),
        folder / _KEYFRAMES,
        sound=_ANSWERS if (folder / _ANSWERS).is_file() else "",
        limits=limits or PageLimits(),
    )
    path = folder / REPORT_NAME
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(html, encoding="utf-8", errors="replace")
        os.replace(part, path)
    except OSError as e:
        part.unlink(missing_ok=True)
        raise output_error(e, path) from e
    return path
