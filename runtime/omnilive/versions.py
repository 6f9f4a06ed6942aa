"""Version numbers as tuples that compare as versions do. Nothing else."""

from __future__ import annotations

import re

_LEADING_NUMBERS = re.compile(r"\d+(?:\.\d+)*")


def release(text: str) -> tuple[int, ...]:
    """The numbers that a version begins with: ``10.13.3.9`` in full, ``1.31.0.dev2`` without dev.

    Empty for a text that begins with none, such as the version of what is not installed.
    """
    found = _LEADING_NUMBERS.match(text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
