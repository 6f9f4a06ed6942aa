"""The ``omnilive`` command: parses arguments, calls one subcommand, prints errors on one line.

Subcommands are imported when they are called, so that ``--help`` is instant.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from omnilive import __version__
from omnilive.cli.pipe import discard
from omnilive.errors import OmniLiveError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program name; ``sys.argv`` when None.

    Returns:
        The exit code: 0, the error's own (see ``errors.py``), 2 for usage, 130 for Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal may be ASCII: a question mark is better than a command that stops.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = _called(argv)
        sys.stdout.flush()
        return code
    except OmniLiveError as e:
        print(f"omnilive: {e}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print("omnilive: stopped; what was written until then is kept", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        discard(sys.stdout)  # the reader has what it wanted
        return 0


def _called(argv: Sequence[str] | None) -> int:
    try:
        args = _parser().parse_args(argv)
    except SystemExit as e:
        return int(e.code or 0)
    return int(args.call(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="omnilive",
        description="Watches a video, listens, remembers, and answers questions aloud.",
    )
    parser.add_argument("--version", action="version", version=f"omnilive {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_serve(commands)
    _add_plan(commands)
    _add_calibrate(commands)
    doctor = commands.add_parser("doctor", help="what this machine offers and what is missing")
    doctor.add_argument("--pack", metavar="DIR", help="also check this engine pack")
    doctor.add_argument("--config", metavar="FILE", help="also check what this TOML file asks for")
    doctor.set_defaults(call=_doctor)
    report = commands.add_parser("report", help="write report.html for the log in a folder")
    report.add_argument("folder", metavar="DIR", help="folder that holds events.jsonl")
    report.set_defaults(call=_report)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser(
        "run",
        help="run a media file through an engine pack",
        description="Runs a media file through an engine pack and writes events.jsonl, "
        "timings.jsonl, answers.wav and report.html.",
        epilog="Example: omnilive run talk.mp4 --pack engines/micro --ask 'What is this?@12.5'",
    )
    run.add_argument("source", metavar="SOURCE", help="any file ffmpeg's libraries read")
    run.add_argument("--pack", required=True, metavar="DIR", help="engine pack to use")
    run.add_argument(
        "--ask",
        action="append",
        default=[],
        metavar="TEXT@SECONDS",
        help="a typed question and when it is asked, after the end at the latest; "
        "may be given several times",
    )
    run.add_argument(
        "--preset", default="edge", metavar="NAME", help="edge (default), paper or demo-compat"
    )
    run.add_argument("--config", metavar="FILE", help="TOML file that changes the preset")
    run.add_argument(
        "--realtime",
        action="store_true",
        help="play the source at its own speed against the wall clock; without it time is virtual",
    )
    run.add_argument(
        "--naive",
        action="store_true",
        help="recompute memory and prompts whole, as the reference does; for comparison",
    )
    run.add_argument("--out", default="out/run", metavar="DIR", help="default: out/run")
    run.add_argument("--seed", type=int, default=0, help="seed of token sampling; default: 0")
    run.add_argument(
        "--allow-inaccurate",
        action="store_true",
        help="load a pack whose accuracy record misses its tolerance",
    )
    run.add_argument(
        "--trace", metavar="FILE", help="also write what each lane did, for ui.perfetto.dev"
    )
    run.set_defaults(call=_run)


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = commands.add_parser(
        "serve",
        help="serve live sessions to browsers and programs",
        description="Serves live sessions over HTTP and WebSocket until it is told to stop.",
    )
    serve.add_argument("--config", metavar="FILE", help="TOML file; see [service] and [client]")
    serve.add_argument("--pack", metavar="DIR", help="engine pack, instead of service.pack")
    serve.add_argument("--host", metavar="ADDRESS", help="instead of service.host")
    serve.add_argument("--port", type=int, metavar="N", help="instead of service.port")
    serve.add_argument(
        "--insecure", action="store_true", help="serve off loopback without asking for a token"
    )
    serve.add_argument(
        "--allow-inaccurate",
        action="store_true",
        help="serve a pack whose accuracy record misses its tolerance",
    )
    serve.set_defaults(call=_serve)


def _add_plan(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    plan = commands.add_parser(
        "plan",
        help="what a pack will need of memory and time, before anything is loaded",
        description="Prints the bytes of weights, KV arenas, activations and workspace per engine "
        "and lane, the visual tokens and seconds of an answer, and whether it fits: exit code 0, "
        "or 10 with the settings that make it fit.",
    )
    plan.add_argument("--pack", required=True, metavar="DIR", help="engine pack to plan for")
    plan.add_argument(
        "--budget", metavar="SIZE", help="host memory it may take, as in 8GiB; default: the free"
    )
    plan.add_argument("--device-budget", metavar="SIZE", help="the same of a discrete GPU's memory")
    plan.add_argument(
        "--preset", default="edge", metavar="NAME", help="edge (default), paper or demo-compat"
    )
    plan.add_argument("--config", metavar="FILE", help="TOML file that changes the preset")
    plan.add_argument(
        "--frame", default="1280x720", metavar="WxH", help="frames of the source; default: 1280x720"
    )
    plan.add_argument("--json", action="store_true", help="print one JSON object")
    plan.set_defaults(call=_plan)


def _add_calibrate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    calibrate = commands.add_parser(
        "calibrate",
        help="fit the cut threshold of a pack to labelled videos",
        description="Fits the cut threshold to videos whose cuts are known and writes it into "
        'the pack. A truth file holds one JSON object per cut: {"cut_us": MICROSECONDS}.',
    )
    calibrate.add_argument("--pack", required=True, metavar="DIR")
    calibrate.add_argument(
        "--video",
        action="append",
        required=True,
        nargs=2,
        metavar=("VIDEO", "TRUTH"),
        help="a video and its truth file; may be given several times",
    )
    calibrate.set_defaults(call=_calibrate)


def _run(args: argparse.Namespace) -> int:
    from omnilive.cli import run

    return run.run(
        args.source,
        pack_path=args.pack,
        asks=args.ask,
        preset=args.preset,
        config_file=args.config,
        realtime=args.realtime,
        naive=args.naive,
        out=args.out,
        seed=args.seed,
        allow_inaccurate=args.allow_inaccurate,
        trace=args.trace,
    )


def _serve(args: argparse.Namespace) -> int:
    from omnilive.cli import serve

    return serve.serve(
        config_file=args.config,
        pack=args.pack,
        host=args.host,
        port=args.port,
        insecure=args.insecure,
        allow_inaccurate=args.allow_inaccurate,
    )


def _plan(args: argparse.Namespace) -> int:
    from omnilive.cli import plan

    return plan.plan(
        args.pack,
        preset=args.preset,
        config_file=args.config,
        budget=args.budget,
        device_budget=args.device_budget,
        frame=args.frame,
        as_json=args.json,
    )


def _calibrate(args: argparse.Namespace) -> int:
    from omnilive.cli import calibrate

    return calibrate.calibrate(args.pack, [tuple(pair) for pair in args.video])


def _doctor(args: argparse.Namespace) -> int:
    from omnilive.cli import doctor

    return doctor.doctor(args.pack, args.config)


def _report(args: argparse.Namespace) -> int:
    from pathlib import Path

    from omnilive.report.page import write_report

    print(write_report(Path(args.folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
