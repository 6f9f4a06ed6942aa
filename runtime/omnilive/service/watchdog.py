"""The watchdog: the service manager hears from the service only while every lane makes progress.

A lane that owes something and ends nothing for half the manager's time is stuck, be it in a job,
in waiting for the cores, or because its session's loop takes no results. Nothing is ended here:
the manager does that, once it has heard nothing for its time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from omnilive.clock import MonotonicClock
from omnilive.lanes import Lane, Progress
from omnilive.systemd import notify

LOOKS = 8
"""Looks at the lanes within the manager's time."""

STUCK_LOOKS = 4
"""Looks without progress until a lane is stuck: with the first look at a lane's work and the last
before the verdict, the pings end within (4 + 2) / 8 of the manager's time."""

log = logging.getLogger(__name__)


class HasLanes(Protocol):
    """A session, as the watchdog knows it."""

    def progress(self) -> Mapping[Lane, Progress]:
        """How far each lane has come."""
        ...


def lanes_of(sessions: Mapping[str, HasLanes]) -> dict[str, Progress]:
    """The progress of every lane of every session, each by a name for the journal."""
    return {
        f"{lane.value} lane of session {name}": progress
        for name, session in sessions.items()
        for lane, progress in session.progress().items()
    }


class StuckLanes:
    """Compares looks at the lanes; ``limit_us`` is how long one may owe without ending a job."""

    def __init__(self, limit_us: int) -> None:
        self._limit_us = limit_us
        self._owing: dict[str, tuple[int, int]] = {}

    def look(self, now_us: int, lanes: Mapping[str, Progress]) -> list[str]:
        """The names of the lanes that are stuck; a lane that is idle never is."""
        owing = {}
        for name, progress in lanes.items():
            if progress.owed:
                ended, since_us = self._owing.get(name, (-1, now_us))
                owing[name] = (progress.ended, since_us if ended == progress.ended else now_us)
        self._owing = owing
        return [
            name for name, (_, since_us) in owing.items() if now_us - since_us >= self._limit_us
        ]


async def keep_watch(
    within_s: float,
    look: Callable[[], Mapping[str, Progress]],
    *,
    now_us: Callable[[], int] | None = None,
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Send ``WATCHDOG=1`` while every lane makes progress; until cancelled.

    Args:
        within_s: how long the manager waits for it, seconds.
        look: the progress of every lane, by name.
        now_us: monotonic microseconds; a clock of its own when None.
        wait: waits for so many seconds.
        environment: names the manager's socket; the process's own when None.
    """
    now_us = now_us or MonotonicClock().now_us
    stuck_lanes = StuckLanes(round(within_s * 1e6 * STUCK_LOOKS / LOOKS))
    said: list[str] = []
    while True:
        stuck = stuck_lanes.look(now_us(), look())
        if not stuck:
            notify("WATCHDOG=1", environment=environment)
        if stuck != said:
            text = f"stuck: {', '.join(stuck)}" if stuck else "every lane makes progress again"
            log.error("omnilive: %s", text)
            notify(f"STATUS={text}", environment=environment)
            said = stuck
        await wait(within_s / LOOKS)
