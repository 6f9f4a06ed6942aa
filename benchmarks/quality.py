"""Measures how rightly a pack hears, sees, remembers and answers, end to end through its engines.

``python benchmarks/quality.py --pack engines/NAME``. See benchmarks/README.md for what each measure
is. Held-out worlds, voices and sentences are made from the seed; ``--check`` holds the figures
against their bars. No training code is used, and what answers never sees the truth.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from arguments import not_negative, positive
from omnilive.errors import ConfigError, OmniLiveError
from omnilive.eventlog import output_error
from scoring.bars import MEASURES, Measure, Verdict, judge, judge_precision
from scoring.columns import Wanted, build_precisions, opened, parse_ablations, reference_of
from scoring.document import as_json
from scoring.groups import QUICK, Group, Scale
from scoring.journal import Journal, journal_path
from scoring.plot import plot
from scoring.registry import GROUPS, groups_of
from scoring.running import found_in, in_turn, keep, progress, work_of
from scoring.table import FOOTNOTES, Column, columns_of, figures, verdicts
from scoring.variants import Variant
from scoring.workers import Recipe, side_by_side

INTERRUPTED = 130
MISSED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        return _benchmark(args, _wide_enough(Console()), Console(stderr=True))
    except OmniLiveError as e:
        print(f"quality.py: {e}", file=sys.stderr)
        return e.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="quality.py", description=__doc__)
    parser.add_argument(
        "--pack",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="engine pack; several are scored over the same items. The bars are for the first int4"
        " pack, or else for the first one",
    )
    parser.add_argument(
        "--precisions", metavar="LIST", help="build these from --checkpoint, e.g. fp32,int8,int4"
    )
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/micro"), metavar="DIR")
    parser.add_argument(
        "--preset",
        action="append",
        metavar="LIST",
        help="default: edge; several, e.g. edge,paper,demo-compat, are shown side by side",
    )
    parser.add_argument(
        "--ablate",
        action="append",
        default=[],
        metavar="LIST",
        help="score again without frames, memory, audio or retrieval; frames+memory: without both",
    )
    parser.add_argument(
        "--measures", metavar="LIST", help=f"only these of {','.join(GROUPS)}; default: all"
    )
    parser.add_argument(
        "--seed", type=not_negative, default=0, help="of worlds, voices and sentences; default: 0"
    )
    parser.add_argument("--items", type=positive, metavar="N", help="of each measure")
    parser.add_argument(
        "--quick", action="store_true", help="a look in a few minutes, with wide intervals"
    )
    parser.add_argument(
        "--jobs",
        type=positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="parts measured at once, each on one core; default: the cores there are",
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the figures here; what was measured is kept beside it part by part, and a run"
        " that is started again goes on there",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a chart here")
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 when a bar is missed; prints every bar"
    )
    return parser


def _benchmark(args: argparse.Namespace, console: Console, aside: Console) -> int:
    scale = QUICK if args.quick else Scale()
    if args.items:
        scale = dataclasses.replace(scale, items=args.items)
    names = tuple(GROUPS) if args.measures is None else tuple(args.measures.split(","))
    groups = groups_of(names, args.seed, scale)
    journal = Journal(None if args.json is None else journal_path(args.json))
    with ExitStack() as stack:
        packs = list(args.pack)
        if args.precisions:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omnilive-")))
            packs += build_precisions(args.checkpoint, args.precisions.split(","), folder)
        if not packs:
            raise ConfigError(
                "is missing", where="--pack", mend="Name a pack, or use --precisions."
            )
        wanted = Wanted(
            tuple(packs),
            tuple(dict.fromkeys(",".join(args.preset or ["edge"]).split(","))),
            parse_ablations(args.ablate),
        )
        variants = stack.enter_context(opened(wanted))
        recipe = Recipe(wanted, names, args.seed, scale)
        stopped = not _measured(recipe, groups, variants, journal, args.jobs, aside)
        result = _Result(groups, variants, journal)
        about = {
            "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "complete": not stopped,
            "seed": args.seed,
            "scale": dataclasses.asdict(scale),
        }
        result.write(args, about)
    result.print(console, checked=args.check)
    if stopped:
        print("quality.py: stopped; what was measured is above", file=sys.stderr)
        return INTERRUPTED
    missed = [verdict for verdict in result.verdicts if not verdict.passed]
    return MISSED if args.check and missed else 0


def _measured(
    recipe: Recipe,
    groups: Sequence[Group],
    variants: Sequence[Variant],
    journal: Journal,
    jobs: int,
    aside: Console,
) -> bool:
    """Measure what is left to measure; False when it was stopped."""
    work = work_of(groups, variants, journal)
    if not work:
        return True
    try:
        with progress(aside, work, jobs) as done:
            scored = in_turn(work) if jobs == 1 else side_by_side(recipe, work, jobs)
            with contextlib.closing(scored):
                keep(scored, journal, done)
    except KeyboardInterrupt:
        return False
    return True


class _Result:
    """What is known at the end, whole or not."""

    def __init__(
        self, groups: Sequence[Group], variants: Sequence[Variant], journal: Journal
    ) -> None:
        found = found_in(journal, groups, variants)
        merged = {
            label: {name: items for tallies in held.values() for name, items in tallies.items()}
            for label, held in found.items()
        }
        reference = reference_of(variants)
        self._variants = list(variants)
        self._measures = _measures(groups)
        self._columns: list[Column] = columns_of(
            merged, variants[0].label, None if reference is None else reference.label
        )
        self.verdicts: list[Verdict] = judge(merged[variants[0].label], self._measures)
        if reference is not None:
            self.verdicts += judge_precision(
                merged[variants[0].label],
                merged[reference.label],
                self._measures,
                f"{variants[0].label} worse than {reference.label}",
            )

    def print(self, console: Console, *, checked: bool) -> None:
        """The table, and the bars if they are checked."""
        console.print(figures(self._columns, self._measures))
        for note in self._notes():
            console.print(note, markup=False, highlight=False, style="dim", soft_wrap=True)
        if checked:
            console.print(verdicts(self.verdicts))

    def write(self, args: argparse.Namespace, about: dict[str, Any]) -> None:
        """The files asked for.

        Raises:
            OutputError: one cannot be written.
        """
        if args.json is not None:
            document = as_json(self._columns, self._variants, self._measures, self.verdicts, about)
            _write(args.json, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        if args.html is not None:
            manifest = self._variants[0].pack.manifest
            headline = {
                "pack": f"{manifest.name} ({manifest.precision})",
                "columns": ", ".join(column.label for column in self._columns),
                "seed": about["seed"],
                "made": about["created"],
            }
            _write(args.html, plot(self._columns, self._measures, headline))

    def _notes(self) -> list[str]:
        notes = list(FOOTNOTES)
        if not self._variants[0].pack.manifest.trained:
            notes.append("untrained pack: its answers are noise, and so are these figures")
        return notes


def _measures(groups: Sequence[Group]) -> list[Measure]:
    """The measures of the groups, and those that pool some of them."""
    own = {name for group in groups for name in group.measures()}
    return [m for m in MEASURES if m.name in own or (m.of and set(m.of) <= own)]


def _wide_enough(console: Console) -> Console:
    """A pipe has no width of its own: rows must not be cut for it."""
    return console if console.is_terminal else Console(width=max(console.width, 240))


def _write(path: Path, text: str) -> None:
    """Write beside and rename, so that no reader finds half a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as e:
        raise output_error(e, path) from e


if __name__ == "__main__":
    sys.exit(main())
