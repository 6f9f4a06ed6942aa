"""Measures building and using packs of the real sizes: seconds, and peak memory of the processes.

``python benchmarks/full_size.py [--only memory]``. See benchmarks/README.md for what each figure
is. A model at a time: its checkpoint of seeded noise is written, built into a pack of its own by
``build_engines.py``, used, and removed. ``--check`` holds the builds against their bars.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from arguments import not_negative
from omnilive.engine.fingerprint import device_fingerprint
from omnilive.errors import BuildError, CheckpointError, OmniLiveError
from omnilive.eventlog import output_error
from result_file import write_file
from results import versions
from sizing.bars import GIB, MODELS, Bar, Build, bars
from sizing.process_tree import Ran, run_measured

FORMAT = 1
BUILDER = Path(__file__).resolve().parent.parent / "export" / "build_engines.py"
USER = Path(__file__).resolve().parent / "sizing" / "use.py"
BUILD_ARGUMENTS = ("--precision", "int4", "--block-size", "128", "--force")
"""What the bars are for."""

WORK = Path("out") / "full-size"
MISSED, INTERRUPTED = 1, 130


@dataclass(frozen=True)
class Measured:
    """One model: sizes of its files, its build, and what using it took (``sizing.use``)."""

    model: str
    checkpoint_bytes: int
    pack_bytes: int
    build: Build
    use_peak_bytes: int
    use: dict[str, float]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        return _benchmark(args, Console(), Console(stderr=True))
    except OmniLiveError as e:
        print(f"full_size.py: {e}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print(f"full_size.py: stopped; what it wrote is in {args.work}", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="full_size.py", description=__doc__)
    parser.add_argument(
        "--only",
        choices=MODELS,
        action="append",
        help="measure this model (may be given again; default: all three)",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="DIR",
        help="take the models of this checkpoint instead of writing full-size ones",
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=WORK,
        metavar="DIR",
        help="where checkpoints and packs are written: 23 GB for base (default: %(default)s)",
    )
    parser.add_argument("--keep", action="store_true", help="remove neither checkpoint nor pack")
    parser.add_argument(
        "--threads", type=not_negative, default=0, help="per engine in use (default: all cores)"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bar is missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    return parser


def _benchmark(args: argparse.Namespace, console: Console, progress: Console) -> int:
    load = os.getloadavg()[0]
    wanted = [model for model in MODELS if args.only is None or model in args.only]
    found = [_measure(model, args, progress) for model in wanted]
    held = bars({m.model: m.build for m in found})
    _print(console, found, held, load)
    if args.json is not None:
        write_file(
            args.json,
            json.dumps(_as_json(found, held, load, made=args.checkpoint is None), indent=1) + "\n",
        )
    return MISSED if args.check and not all(bar.met for bar in held) else 0


def _measure(model: str, args: argparse.Namespace, progress: Console) -> Measured:
    """Write (or find), build and use one model.

    Raises:
        CheckpointError: ``--checkpoint`` has no such model.
        BuildError: one of the programs failed; it has said why.
        OutputError: the work folder cannot be written.
    """
    checkpoint, pack = args.work / f"{model}-checkpoint", args.work / f"{model}-pack"
    try:
        _clear(checkpoint, pack)
        progress.print(f"{model}: checkpoint", highlight=False)
        _checkpoint(model, args.checkpoint, checkpoint)
        progress.print(f"{model}: building", highlight=False)
        command = [sys.executable, str(BUILDER), "--checkpoint", str(checkpoint)]
        built = _done(
            run_measured([*command, "--out", str(pack), *BUILD_ARGUMENTS]), f"build of {model}"
        )
        progress.print(f"{model}: using", highlight=False)
        command = [sys.executable, str(USER), "--pack", str(pack), "--model", model]
        used = _done(run_measured([*command, "--threads", str(args.threads)]), f"use of {model}")
        return Measured(
            model=model,
            checkpoint_bytes=_bytes(checkpoint),
            pack_bytes=_bytes(pack),
            build=Build(round(built.seconds, 3), built.peak_bytes),
            use_peak_bytes=used.peak_bytes,
            use={name: round(value, 4) for name, value in json.loads(used.output).items()},
        )
    except OSError as e:
        raise output_error(e, args.work) from e
    finally:
        if not args.keep:
            _clear(checkpoint, pack)


def _checkpoint(model: str, given: Path | None, folder: Path) -> None:
    """A checkpoint at ``folder`` of ``model`` alone: written, or a link into the one given."""
    if given is None:
        command = [sys.executable, "-m", "omnilive_micropack.checkpoint", "--full-size"]
        _done(
            run_measured([*command, "--only", model, "--out", str(folder)]), f"writing of {model}"
        )
        return
    source = (given / model).resolve()
    if not source.is_dir():
        raise CheckpointError(
            f"has no {model}/",
            where=str(given),
            mend="Choose other models with --only, or leave --checkpoint out.",
        )
    folder.mkdir(parents=True)
    (folder / model).symlink_to(source, target_is_directory=True)


def _done(ran: Ran, what: str) -> Ran:
    """``ran`` if it ended well. Raises BuildError."""
    if ran.code:
        raise BuildError(
            f"failed (exit code {ran.code})", where=what, mend="Its own message is above."
        )
    return ran


def _clear(*folders: Path) -> None:
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)


def _bytes(folder: Path) -> int:
    """Bytes of the files under ``folder``, through links."""
    return sum(
        (Path(root) / name).stat().st_size
        for root, _, names in os.walk(folder, followlinks=True)
        for name in names
    )


def _print(console: Console, found: Sequence[Measured], held: Sequence[Bar], load: float) -> None:
    table = Table(title="Real sizes, seeded noise for weights", title_justify="left")
    for column in ("model", "checkpoint", "pack", "build", "peak, building", "peak, in use"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for m in found:
        table.add_row(
            m.model,
            f"{m.checkpoint_bytes / 1e9:.2f} GB",
            f"{m.pack_bytes / 1e9:.2f} GB",
            f"{m.build.seconds:.1f} s",
            f"{m.build.peak_bytes / GIB:.2f} GiB",
            f"{m.use_peak_bytes / GIB:.2f} GiB",
        )
    console.print(table)
    for m in found:
        figures = ", ".join(f"{name} {value:g}" for name, value in m.use.items())
        console.print(f"{m.model} in use: {figures}", highlight=False, soft_wrap=True)
    for bar in held:
        verdict = "met" if bar.met else "MISSED"
        line = f"{bar.name} {bar.value:.2f} (bar {bar.limit:g}): {verdict}"
        console.print(line, highlight=False, soft_wrap=True)
    cores = os.cpu_count() or 1
    if load > cores / 2:
        line = f"the machine was busy before the run (load {load:.1f} on {cores} cores)"
        console.print(line, highlight=False, soft_wrap=True, style="dim")


def _as_json(
    found: Sequence[Measured], held: Sequence[Bar], load: float, *, made: bool
) -> dict[str, Any]:
    return {
        "benchmark": "full_size",
        "format": FORMAT,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "full_size_checkpoint": made,
        "build_arguments": list(BUILD_ARGUMENTS),
        "load_average_before": round(load, 2),
        "machine": device_fingerprint(),
        "versions": versions(),
        "models": {
            m.model: {
                "checkpoint_bytes": m.checkpoint_bytes,
                "pack_bytes": m.pack_bytes,
                "build": {"seconds": m.build.seconds, "peak_bytes": m.build.peak_bytes},
                "use": {"peak_bytes": m.use_peak_bytes, **m.use},
            }
            for m in found
        },
        "bars": [
            {"name": b.name, "value": round(b.value, 3), "limit": b.limit, "met": b.met}
            for b in held
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
