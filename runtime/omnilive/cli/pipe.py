"""What to do when nobody reads the output any more. It never stops a run."""

from __future__ import annotations

import contextlib
import os
from typing import IO, Any


def discard(file: IO[Any]) -> None:
    """Let everything still to be written to ``file`` vanish, what it holds back included.

    For a pipe whose reader has gone: without this the interpreter tries to write the rest when
    it ends, and complains.
    """
    # A file of no descriptor, as in a test, holds nothing back.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        descriptor = file.fileno()
        nothing = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nothing, descriptor)
        finally:
            os.close(nothing)
