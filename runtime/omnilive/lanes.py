"""Lanes: where and when jobs run. They know nothing about models or sessions.

A lane runs its jobs one after another; lanes run beside each other. Callbacks (``done``,
timers) all run on one thread, the loop's, so that the code above needs no locks. Two
implementations share one interface: ``VirtualLanes`` computes when a job would end from the
virtual time it declares, ``ThreadLanes`` runs each lane on a thread of its own.
"""

from omnilive._native import LaneCores
from omnilive.scheduling.base import LaneFullError, Lanes, Timer
from omnilive.scheduling.config import LanesConfig
from omnilive.scheduling.jobs import Finished, Job, Lane, Progress, Work
from omnilive.scheduling.threads import ThreadLanes
from omnilive.scheduling.use import Durations, LaneUse
from omnilive.scheduling.virtual import VirtualLanes

__all__ = [
    "Durations",
    "Finished",
    "Job",
    "Lane",
    "LaneCores",
    "LaneFullError",
    "LaneUse",
    "Lanes",
    "LanesConfig",
    "Progress",
    "ThreadLanes",
    "Timer",
    "VirtualLanes",
    "Work",
]
