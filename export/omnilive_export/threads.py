"""How many threads a computation of the exporter may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores this process may run on, at least 1."""
    return max(1, len(os.sched_getaffinity(0)))
