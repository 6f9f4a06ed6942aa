"""Asks NVIDIA's own tool about the devices of this machine; it never fails and sets nothing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

_TOOL = "nvidia-smi"
_MOST_SECONDS = 10


def query(fields: Sequence[str]) -> list[dict[str, str]]:
    """``fields`` of every device, in the driver's order, numbers without units.

    Empty without the tool, a driver or a device. A Jetson answers ``[N/A]`` to some.

    Args:
        fields: as ``nvidia-smi --help-query-gpu`` lists them.
    """
    tool = shutil.which(_TOOL)
    if tool is None:
        return []
    command = [tool, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(
            command, capture_output=True, text=True, timeout=_MOST_SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[part.strip() for part in line.split(",")] for line in listed.splitlines()]
    return [dict(zip(fields, row, strict=True)) for row in rows if len(row) == len(fields)]
