"""Measures parts side by side, one process per core, each with packs of its own.

What a part's figures are does not depend on which process measures it, nor on how many there are.
A process that fails ends the run; what the others gave until then is kept.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from omnilive.errors import EngineError, OmniLiveError
from scoring.columns import Wanted, opened
from scoring.groups import Scale
from scoring.registry import groups_of
from scoring.result import Tallies
from scoring.running import Scored, Work

LOOK_S = 1.0
"""How often it is looked whether a process has died without a word."""


@dataclass(frozen=True)
class Recipe:
    """All that a process needs to make the same variants and groups."""

    wanted: Wanted
    groups: tuple[str, ...]
    seed: int
    scale: Scale


@dataclass(frozen=True)
class _Failure:
    """What went wrong in a process; ``text`` is for people."""

    text: str


def side_by_side(recipe: Recipe, work: Sequence[Work], jobs: int) -> Scored:
    """Each part, label of a variant, and its items, in the order in which they get done.

    Raises:
        EngineError: a process failed or died.
    """
    context = multiprocessing.get_context("spawn")
    tasks: Any = context.Queue()
    results: Any = context.Queue()
    for i, one in enumerate(work):
        tasks.put((i, one.group.name, one.part, tuple(v.label for v in one.variants)))
    processes = [
        context.Process(target=_measure, args=(recipe, tasks, results), daemon=True)
        for _ in range(min(jobs, len(work)))
    ]
    for process in processes:
        tasks.put(None)
        process.start()
    try:
        for _ in range(sum(len(one.variants) for one in work)):
            i, label, tallies = _next(results, processes)
            yield work[i], label, tallies
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _next(results: Any, processes: Sequence[BaseProcess]) -> tuple[int, str, Tallies]:
    while True:
        try:
            found = results.get(timeout=LOOK_S)
        except queue.Empty:
            dead = [p.exitcode for p in processes if p.exitcode not in (None, 0)]
            if dead:
                raise _error(f"ended with {dead[0]}, without a word") from None
            continue
        if isinstance(found, _Failure):
            raise _error(found.text)
        item: tuple[int, str, Tallies] = found
        return item


def _error(what: str) -> EngineError:
    return EngineError(
        what,
        where="a process that measures",
        mend="Start again to go on from here; --jobs 1 takes the least memory.",
    )


def _measure(recipe: Recipe, tasks: Any, results: Any) -> None:
    """One process: parts from ``tasks`` until there are none."""
    # Ctrl-C is for the process that collects.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        groups = {g.name: g for g in groups_of(recipe.groups, recipe.seed, recipe.scale)}
        with opened(recipe.wanted) as variants:
            while (task := tasks.get()) is not None:
                i, name, part, labels = task
                chosen = [v for v in variants if v.label in labels]
                with tempfile.TemporaryDirectory(prefix="omnilive-quality-") as folder:
                    for variant, found in groups[name].score(part, chosen, Path(folder)):
                        results.put((i, variant.label, found))
    except OmniLiveError as e:
        results.put(_Failure(str(e)))
    except Exception:
        results.put(_Failure(traceback.format_exc()))
