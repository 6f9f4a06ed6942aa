"""Jobs: the units that lanes run, and what they give back. Data only."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from omnilive._native import NativeJob

T_co = TypeVar("T_co", covariant=True)


class Lane(enum.Enum):
    """The five lanes (DESIGN §5). The values name the fields of ``LanesConfig``."""

    LISTEN = "listen"
    SEE = "see"
    REMEMBER = "remember"
    REASON = "reason"
    SPEAK = "speak"


@dataclass(frozen=True)
class Work(Generic[T_co]):
    """What a job's function returns: its value, and the virtual time the job took."""

    value: T_co
    cost_us: int


@dataclass(frozen=True)
class Finished(Generic[T_co]):
    """What ``done`` receives: the value, and the measured wall time of the job."""

    value: T_co
    wall_us: int


@dataclass(frozen=True)
class Progress:
    """How far a lane has come: one that owes something and never ends any of it is stuck.

    Attributes:
        ended: jobs that have run to their end since the beginning.
        owed: jobs that wait, run, or whose outcome the loop has not taken.
    """

    ended: int
    owed: int


class Native(Protocol):
    """Work that needs no interpreter."""

    @property
    def job(self) -> NativeJob:
        """Does it."""
        ...

    def error(self, cause: str) -> Exception:
        """What is raised when it fails for ``cause``."""
        ...


@dataclass(frozen=True)
class Job:
    """One unit that a lane runs without pause: the unit of pre-emption.

    Attributes:
        run: does the work on the lane; of a job with ``native``, makes a result of what that has
            done, quickly and on the loop. Never called for a job that went stale while it waited.
        done: called on the loop with the result, unless the generation has gone stale.
        dropped: called on the loop instead of ``done``, when a full lane or a stale generation
            drops the job or its result.
        generation: None for work that outlives any turn, such as perception.
        deadline_us: stream time by which it should have ended; None for any. Equally important
            lanes go by it, and an end after it is counted in the lane's figures as ``missed``.
        name: what a trace calls it; by default what ``run`` is called.
        native: does the work on the lane, whoever has the interpreter meanwhile.
    """

    lane: Lane
    run: Callable[[], Work[Any]]
    done: Callable[[Finished[Any]], None]
    dropped: Callable[[], None] | None = None
    generation: int | None = None
    deadline_us: int | None = None
    name: str = ""
    native: Native | None = None

    @property
    def title(self) -> str:
        """Its name in a trace."""
        return self.name or str(getattr(self.run, "__name__", "job"))
