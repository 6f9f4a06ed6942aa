"""Makes the batches of coming steps in a process of its own, while the steps before are taken.

A batch follows from its step alone, so it is the same wherever and whenever it is made. It knows
neither batches nor steps.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import torch
import torch.multiprocessing as multiprocessing

from omnilive.errors import BuildError

Asked = TypeVar("Asked")
Made = TypeVar("Made")

WAITING = 4
"""How many that are made wait to be taken at most; each is a few megabytes."""

LOOK_S = 5.0
"""How often it is looked whether the process is still there while it is waited for."""


class Ahead(Generic[Asked, Made]):
    """A process that applies a function to one argument after the other. Close it after use."""

    def __init__(self, open_: Callable[[], Callable[[Asked], Made]], threads: int) -> None:
        """Start it.

        Args:
            open_: called there once, gives the function; must be picklable.
            threads: of torch, there.
        """
        context = multiprocessing.get_context("spawn")
        self._asked: Any = context.Queue()
        self._made: Any = context.Queue(WAITING)
        self._process = context.Process(
            target=_serve, args=(open_, threads, self._asked, self._made), daemon=True
        )
        self._process.start()

    def of(self, arguments: Iterable[Asked]) -> Iterator[Made]:
        """The function's values in the order of the arguments, which are all asked for at once.

        Raises:
            BuildError: the process ended, which it does with the traceback of what went wrong.
        """
        count = 0
        for argument in arguments:
            self._asked.put(argument)
            count += 1
        for _ in range(count):
            yield self._next()

    def _next(self) -> Made:
        while True:
            try:
                made: Made = self._made.get(timeout=LOOK_S)
            except queue.Empty:
                if not self._process.is_alive():
                    raise BuildError(
                        f"ended with exit code {self._process.exitcode}",
                        where="the process that makes batches",
                        mend="Its own message is above; the same command goes on from here.",
                    ) from None
            else:
                return made

    def close(self) -> None:
        """End the process; what it is making is thrown away."""
        self._process.terminate()
        self._process.join()


def _serve(open_: Callable[[], Callable[[Any], Any]], threads: int, asked: Any, made: Any) -> None:
    torch.multiprocessing.set_sharing_strategy("file_system")
    torch.set_num_threads(threads)
    make = open_()
    while True:
        made.put(make(asked.get()))
