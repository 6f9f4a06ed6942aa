"""What there is to measure, part by part: measuring it, keeping it, and telling how long it takes.

It judges nothing.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scoring.groups import Group
from scoring.journal import Journal, identity
from scoring.result import Tallies, joined
from scoring.variants import Variant

Done = Callable[[int], None]
"""Is told of so many parts more that are there."""

Found = dict[str, dict[str, Tallies]]
"""Items by variant label and group name, each joined over the parts that are there."""


@dataclass(frozen=True)
class Work:
    """One part of one group, and the variants it is still to be measured with."""

    group: Group
    part: int
    variants: tuple[Variant, ...]


def work_of(groups: Sequence[Group], variants: Sequence[Variant], journal: Journal) -> list[Work]:
    """What is still to be measured, in order."""
    found = []
    for group in groups:
        wanted = [v for v in variants if group.wanted(v)]
        for part in range(group.parts):
            left = tuple(v for v in wanted if journal.get(_key(group, part, v)) is None)
            if left:
                found.append(Work(group, part, left))
    return found


def expected_s(work: Sequence[Work]) -> float:
    """About how long the work takes on one core."""
    return sum(one.group.seconds(one.part) * len(one.variants) for one in work)


Scored = Generator[tuple[Work, str, Tallies], None, None]
"""A part, the label of one of its variants, and the items, as they come."""


def in_turn(work: Sequence[Work]) -> Scored:
    """Measure one part after the other, in this process.

    Raises:
        OmniLiveError: from the runtime.
    """
    for one in work:
        with tempfile.TemporaryDirectory(prefix="omnilive-quality-") as folder:
            for variant, tallies in one.group.score(one.part, one.variants, Path(folder)):
                yield one, variant.label, tallies


def keep(scored: Scored, journal: Journal, done: Done) -> None:
    """Keep each part in the journal as soon as it is there.

    Raises:
        OmniLiveError: from measuring, or when the journal cannot be written.
    """
    for one, label, tallies in scored:
        variant = next(v for v in one.variants if v.label == label)
        journal.put(_key(one.group, one.part, variant), tallies)
        done(1)


def found_in(journal: Journal, groups: Sequence[Group], variants: Sequence[Variant]) -> Found:
    """What is there, whether or not everything is."""
    found: Found = {}
    for variant in variants:
        held = found.setdefault(variant.label, {})
        for group in groups:
            parts = [journal.get(_key(group, part, variant)) for part in range(group.parts)]
            held[group.name] = joined(part for part in parts if part is not None)
    return found


@contextlib.contextmanager
def progress(console: Console, work: Sequence[Work], jobs: int) -> Iterator[Done]:
    """Says how long it will take; on a terminal a bar corrects that as parts get done."""
    seconds = expected_s(work) / min(jobs, max(1, len(work)))
    total = sum(len(one.variants) for one in work)
    console.print(
        f"{total} parts to measure, {jobs} at a time: about {_long(seconds)}", highlight=False
    )
    began_s = time.monotonic()
    count = 0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("measuring", total=total)

        def done(parts: int) -> None:
            nonlocal count
            count += parts
            bar.advance(task, parts)
            if not console.is_terminal and count % 5 == 0:
                taken_s = time.monotonic() - began_s
                left = _long(taken_s / count * (total - count))
                console.print(f"{count} of {total} parts; {left} left", highlight=False)

        yield done


def _long(seconds: float) -> str:
    if seconds < 90:
        seconds = max(1.0, seconds)
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5_400 else f"{seconds / 3600:.1f} hours"


def _key(group: Group, part: int, variant: Variant) -> str:
    return identity(group.identity, part, variant.identity)
