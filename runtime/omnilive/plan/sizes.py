"""Byte counts as people write and read them: ``8GiB`` in, ``3.1 GiB`` out. Nothing else."""

from __future__ import annotations

import re

from omnilive.errors import ConfigError

UNITS = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
"""Factor of each unit, in lower case."""

MOST_BYTES = 2**60
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def parse_bytes(text: str, *, where: str) -> int:
    """``8GiB``, ``512 MiB``, ``6.5GB`` or plain bytes as a count of bytes.

    Args:
        text: the size; the case of its unit does not matter.
        where: the field or option, for errors.

    Raises:
        ConfigError: it is no size, nothing at all, or more than an exbibyte.
    """
    match = _SIZE.fullmatch(text)
    factor = UNITS.get(match[2].lower()) if match else None
    count = int(float(match[1]) * factor) if match and factor else 0
    if not 1 <= count <= MOST_BYTES:
        raise ConfigError(
            f"is {text!r}", where=where, mend="Write a size with its unit, as in 8GiB or 512MiB."
        )
    return count


def format_bytes(count: float) -> str:
    """``count`` bytes with the largest binary unit below it, e.g. ``3.1 GiB``."""
    for factor, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if abs(count) >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"
