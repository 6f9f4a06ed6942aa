"""Measures what each int4 quantizer loses and how fast it is, on the trained miniature.

``python benchmarks/quantizers.py [--json FILE] [--check]``. Packs of every method, block size and
symmetry are built and asked what sessions on calibration seeds asked of the fp32 pack's decoders;
statistics come from other seeds than those. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from arguments import positive
from omnilive.config import RuntimeConfig
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.errors import OmniLiveError
from omnilive.sources.types import US_PER_SECOND
from omnilive_export.build import BuildRequest, build_pack
from omnilive_export.precision import BLOCK_SIZES, CALIBRATED, INT4, METHODS, RTN, pack_precision
from omnilive_export.progress import PlainView
from omnilive_export.quantizing.moments import read_calibration
from omnilive_micropack.activations import collect, run_stream
from omnilive_micropack.painting import paint
from omnilive_micropack.story import make_world
from quantizer_measures import (
    Variant,
    against,
    compared,
    distances,
    misses,
    quantizer_speed,
    read_weights,
    shown,
    weight_errors,
)
from replaying import Append, Call, RecordingPack, replay
from result_file import keep_result
from scoring.asking import by_second, questions_of_kinds
from scoring.result import Item
from scoring.seeing import FRAME_SIZE
from scoring.watching import Answering, Watching, keyframe_store

CALIBRATED_ON = (1_000_100, 1_000_101, 1_000_102, 1_000_103)
JUDGED_ON = (1_000_120, 1_000_121, 1_000_122, 1_000_123, 1_000_124, 1_000_125)
"""Seeds of CALIBRATION_SEEDS; the quantizers' constants were chosen on the first of both."""

STREAM_SECONDS = 180
QUESTIONS_PER_KIND = 3
"""Typed ones, of each stream, beside those that its session hears."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code: 1 when ``--check`` found a bar missed."""
    args = _parser().parse_args(argv)
    try:
        found = _measured(args)
    except OmniLiveError as e:
        print(f"quantizers.py: {e}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print("quantizers.py: stopped; there are no figures", file=sys.stderr)
        return 130
    print(shown(found))
    if code := keep_result("quantizers.py", args.json, found):
        return code
    missed = misses(found) if args.check else []
    for what in missed:
        print(f"MISSED: {what}")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="quantizers.py", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/micro"))
    parser.add_argument(
        "--pack",
        type=Path,
        default=Path("engines/micro-fp32"),
        help="fp32 pack of the checkpoint, taken as right (default: %(default)s)",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="activation statistics; by default the miniature's are collected first",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=METHODS,
        default=list(METHODS),
        help=f"beside {RTN}, which all are compared with (default: all)",
    )
    parser.add_argument(
        "--blocks", nargs="+", type=int, choices=BLOCK_SIZES, default=list(BLOCK_SIZES)
    )
    parser.add_argument(
        "--streams",
        type=positive,
        default=len(JUDGED_ON),
        help=f"videos of {STREAM_SECONDS} s to judge on, at most {len(JUDGED_ON)}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--check",
        action="store_true",
        help="fail where both other methods are farther from fp32 than rtn by more than chance, "
        "or one is too slow",
    )
    return parser


def _measured(args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="omnilive-quantizers-") as name:
        folder = Path(name)
        statistics = args.calibration or folder / "statistics.npz"
        with closing(open_pack(args.pack)) as pack:
            if args.calibration is None:
                collect(pack, CALIBRATED_ON, STREAM_SECONDS, statistics)
            calls = _recorded(args, folder)
            expected = {name: replay(pack.decoder(name), asked) for name, asked in calls.items()}
        calibration = read_calibration(statistics)
        weights = read_weights(args.pack, calibration)
        rows = []
        nearest: dict[str, list[Item]] = {}
        for variant in _variants(args.methods, args.blocks):
            print(f"{variant}", file=sys.stderr, flush=True)
            out = folder / "pack"
            _build(args.checkpoint, out, variant, statistics)
            with closing(open_pack(out)) as pack:
                actual = {name: replay(pack.decoder(name), asked) for name, asked in calls.items()}
            errors = weight_errors(weights, variant, calibration)
            for engine in sorted(calls):
                logits = _are_logits(calls[engine])
                measures = compared(expected[engine], actual[engine], logits)
                found = distances(expected[engine], actual[engine], logits)
                if variant.method == RTN:
                    nearest[engine] = found
                gap = None if variant.method == RTN else against(nearest[engine], found)
                rows.append(
                    {
                        **variant.as_json(),
                        **{"engine": engine, **errors[engine], **measures, "against_rtn": gap},
                    }
                )
    return {
        "streams": args.streams,
        "stream_seconds": STREAM_SECONDS,
        "load_before": os.getloadavg()[0],
        "rows": rows,
        "speed": [quantizer_speed(method, block) for method in args.methods for block in (32, 128)],
    }


def _variants(methods: Sequence[str], blocks: Sequence[int]) -> Iterator[Variant]:
    for block in blocks:
        for symmetric in (True, False):
            for method in (RTN, *(m for m in methods if m != RTN)):
                yield Variant(method, block, symmetric)


def _recorded(args: argparse.Namespace, folder: Path) -> dict[str, list[Call]]:
    """What sessions ask of the decoders of the fp32 pack."""
    with closing(open_pack(args.pack)) as opened, closing(RecordingPack(opened)) as pack:
        for seed in JUDGED_ON[: args.streams]:
            stream = folder / str(seed)
            stream.mkdir()
            run_stream(pack, seed, stream, STREAM_SECONDS)
            _ask(pack, seed, stream / "keyframes")
        return pack.calls


def _ask(pack: EnginePack, seed: int, folder: Path) -> None:
    """Typed questions of every kind about the world of ``seed``: more answers in less time."""
    config = RuntimeConfig()
    keyframes = keyframe_store(folder, config)
    watching = Watching(pack, config, keyframes)
    answering = Answering(pack, config, keyframes)
    world = make_world(seed, STREAM_SECONDS)
    asked = by_second(questions_of_kinds(world, QUESTIONS_PER_KIND))
    for second in range(STREAM_SECONDS):
        watching.see(second * US_PER_SECOND, paint(world, float(second), FRAME_SIZE))
        if questions := asked.get(second, ()):
            memory = watching.memory()
            for question in questions:
                answering.answer(answering.ground(question.text, memory))


def _are_logits(calls: Sequence[Call]) -> bool:
    return any(isinstance(call, Append) and call.rows is not None for call in calls)


def _build(checkpoint: Path, out: Path, variant: Variant, statistics: Path) -> None:
    calibrated = variant.method == CALIBRATED
    request = BuildRequest(
        checkpoint=checkpoint,
        out=out,
        precision=pack_precision(
            INT4, block=variant.block, symmetric=variant.symmetric, method=variant.method
        ),
        backend="ort",
        verify=False,
        allow_inaccurate=False,
        force=True,
        calibration=statistics if calibrated else None,
    )
    build_pack(request, PlainView(io.StringIO()))


if __name__ == "__main__":
    sys.exit(main())
