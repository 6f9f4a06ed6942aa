"""Measures how fast the assistant sees, hears and answers, against the wall clock.

``python benchmarks/latency.py --pack engines/NAME``. See benchmarks/README.md for what each
measure spans. It runs a source at its own speed, so a run takes as long as the source lasts.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from arguments import positive
from measures import RunSamples, measure_run
from omnilive.engine.pack import open_pack
from omnilive.errors import ConfigError, OmniLiveError
from omnilive.eventlog import Listener, output_error
from omnilive.events import Event, SourceOpened
from result_file import write_file
from results import Figure, as_json, figures
from running import INSTRUCTION_THRESHOLD, benchmark_config, peak_rss_bytes, run_once
from showing import FOOTNOTE, chart, table
from source import make_source
from truth import Spoken, read_truth

TRUTH_NAME = "truth.jsonl"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        _benchmark(args, Console(), Console(stderr=True))
    except OmniLiveError as e:
        print(f"latency.py: {e}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print("latency.py: stopped; there are no figures", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="latency.py", description=__doc__)
    parser.add_argument("--pack", type=Path, required=True, metavar="DIR", help="engine pack")
    parser.add_argument(
        "--source", metavar="FILE", help="media file; without it, makes its own minute"
    )
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="FILE",
        help="what is said in --source and when (truth.jsonl of omnilive_micropack.render);"
        " without it nothing is measured from the end of speech",
    )
    parser.add_argument("--runs", type=positive, default=1, metavar="N", help="default: 1")
    parser.add_argument("--preset", default="edge", metavar="NAME", help="default: edge")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML that changes the preset")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a bar chart here")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the logs of the runs here")
    return parser


def _benchmark(args: argparse.Namespace, console: Console, progress: Console) -> None:
    config = benchmark_config(args.preset, args.config)
    if args.truth is not None and args.source is None:
        raise ConfigError("needs a source", where="--truth", mend="Give that file with --source.")
    load = os.getloadavg()[0]
    with _folder(args.out) as folder:
        began_s = time.monotonic()
        with contextlib.closing(open_pack(args.pack, config=config.engine)) as pack:
            pack.warm_up()
            load_s = time.monotonic() - began_s
            source, spoken = _source(args, folder, progress)
            runs: list[RunSamples] = []
            for i in range(args.runs):
                with _progress(progress, f"run {i + 1} of {args.runs}") as listener:
                    log = run_once(
                        pack,
                        config,
                        source,
                        folder / f"run-{i + 1}",
                        preset=args.preset,
                        seed=i,
                        listener=listener,
                    )
                runs.append(measure_run(log, spoken, peak_rss_bytes()))
            manifest = pack.manifest
    found = figures(runs)
    about = {
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "source": {
            "name": Path(source).name,
            "made_by_the_benchmark": args.source is None,
            "spoken_items_known": len(spoken),
        },
        "preset": args.preset,
        "instruction_threshold": INSTRUCTION_THRESHOLD,
        "threads": config.engine.threads,
        "load_and_warm_up_s": round(load_s, 3),
        "load_average_before": round(load, 2),
    }
    result = as_json(found, runs, manifest, about)
    notes = _notes(result, runs)
    _print(_wide_enough(console), result, found, notes)
    if args.json is not None:
        write_file(args.json, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    if args.html is not None:
        write_file(args.html, chart(found, _headline(result), notes))


def _source(
    args: argparse.Namespace, folder: Path, progress: Console
) -> tuple[str, tuple[Spoken, ...]]:
    """The file to run, and what is said in it as far as known."""
    if args.source is not None:
        return args.source, read_truth(args.truth) if args.truth is not None else ()
    path = folder / "minute.mp4"
    with progress.status("making a minute of video with spoken questions"):
        make_source(path)
    return str(path), read_truth(folder / TRUTH_NAME)


@contextlib.contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """The folder of the runs: the one asked for, or one that goes away."""
    if out is None:
        with tempfile.TemporaryDirectory(prefix="omnilive-latency-") as folder:
            yield Path(folder)
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise output_error(e, out) from e
    yield out


@contextlib.contextmanager
def _progress(console: Console, label: str) -> Iterator[Listener]:
    """A bar on a terminal, one line elsewhere; nothing stays of the bar."""
    if not console.is_terminal:
        console.print(f"{label}, in real time", highlight=False)
    columns = (TextColumn(label), BarColumn(), TextColumn("{task.completed:.0f} s of stream"))
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(label, total=None)

        def listener(event_id: int, at_us: int, event: Event) -> None:
            if isinstance(event, SourceOpened) and event.duration_us is not None:
                bar.update(task, total=event.duration_us / 1e6)
            bar.update(task, completed=at_us / 1e6)

        yield listener


def _headline(result: dict[str, Any]) -> dict[str, Any]:
    pack, machine = result["pack"], result["machine"]
    return {
        "pack": f"{pack['name']} ({pack['precision']})",
        "preset": result["preset"],
        "source": result["source"]["name"],
        "runs": len(result["runs"]),
        "machine": f"{machine['device']}, {machine['cores']} cores",
        "onnxruntime": result["versions"].get("onnxruntime", "–"),
        "made": result["created"],
    }


def _print(
    console: Console, result: dict[str, Any], found: Sequence[Figure], notes: Sequence[str]
) -> None:
    headline = " · ".join(f"{k} {v}" for k, v in _headline(result).items() if k != "made")
    console.print(headline, markup=False, highlight=False, soft_wrap=True)
    console.print(table(found))
    for note in notes:
        console.print(note, markup=False, highlight=False, style="dim", soft_wrap=True)


def _notes(result: dict[str, Any], runs: Sequence[RunSamples]) -> list[str]:
    """What a reader of the figures must know beside them."""
    notes = [FOOTNOTE]
    notes.append(
        f"{sum(r.frames for r in runs)} frames, {sum(r.frames_dropped for r in runs)} dropped;"
        f" {sum(r.utterances for r in runs)} utterances;"
        f" load and warm-up {result['load_and_warm_up_s']:.1f} s"
    )
    load, cores = result["load_average_before"], result["machine"]["cores"]
    if load > cores / 2:
        notes.append(
            f"the machine was busy before the run (load {load:.1f} on {cores} cores): these figures"
            " are those of a shared machine"
        )
    missed, broken = sum(r.missed for r in runs), sum(r.broken for r in runs)
    if missed or broken:
        notes.append(f"spoken items not heard: {missed}; heard in more than one piece: {broken}")
    if not result["source"]["spoken_items_known"]:
        notes.append("no truth given: nothing is measured from the source's own speech (--truth)")
    notes.append("instruction.threshold is 0 here, so that every utterance is answered")
    if not result["pack"]["trained"]:
        notes.append("untrained pack: the words are noise, the times are real")
    return notes


def _wide_enough(console: Console) -> Console:
    """A pipe has no width of its own: lines must not be cut for it."""
    return console if console.is_terminal else Console(width=max(console.width, 100))


if __name__ == "__main__":
    sys.exit(main())
