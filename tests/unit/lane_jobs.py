"""Jobs whose fate can be read from a list, and how to start them on the loop."""

from __future__ import annotations

from collections.abc import Callable

from omnilive.lanes import Job, Lane, Lanes, Work

WAIT_S = 30
"""How long a thread of a test waits for another before it fails."""

MakeLanes = Callable[..., Lanes]


def job(
    lane: Lane, name: str, log: list[str], *, cost_us: int = 10, generation: int | None = None
) -> Job:
    """A job that logs its name when it is done, or that it was dropped."""
    return Job(
        lane,
        run=lambda: Work(name, cost_us),
        done=lambda f: log.append(f.value),
        dropped=lambda: log.append(f"dropped {name}"),
        generation=generation,
    )


def soon(lanes: Lanes, callback: Callable[[], object]) -> None:
    """Call back on the loop as soon as it runs."""
    lanes.at(0, lambda: callback() and None)
