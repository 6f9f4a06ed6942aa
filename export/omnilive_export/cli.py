"""The command line of the exporter: arguments in, an engine pack and an exit code out.

It never does any of the work.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from omnilive.cli.pipe import discard
from omnilive.engine.manifest import Manifest, PartialManifest
from omnilive.errors import OmniLiveError
from omnilive_export.build import BuildRequest, build_pack
from omnilive_export.fingerprint import recorded_arguments
from omnilive_export.graphs.tensorrt_int4 import BLOCK_SIZES as TENSORRT_BLOCK_SIZES
from omnilive_export.precision import BLOCK_SIZES, INT4, PRECISIONS, pack_precision
from omnilive_export.progress import build_view
from omnilive_export.tensorrt.options import add_options, options_from
from omnilive_export.tensorrt.pack_builder import TENSORRT

BACKENDS = ("ort", TENSORRT)
DEFAULT_BLOCK = {"ort": BLOCK_SIZES[0], TENSORRT: TENSORRT_BLOCK_SIZES[0]}
"""The finest blocks that each backend takes."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Build a pack.

    Args:
        argv: arguments without the program name; ``sys.argv`` when None.

    Returns:
        The exit code: 0, the error's own, 2 for usage, 130 for Ctrl-C.
    """
    parser = _parser()
    try:
        args = parser.parse_args(argv)
        if args.asymmetric and args.precision != INT4:
            parser.error(f"--asymmetric goes with --precision {INT4}")
    except SystemExit as e:
        return int(e.code or 0)
    try:
        request = BuildRequest(
            checkpoint=args.checkpoint,
            out=args.out.resolve(),
            precision=pack_precision(
                args.precision,
                block=args.block_size or DEFAULT_BLOCK[args.backend],
                symmetric=not args.asymmetric,
            ),
            backend=args.backend,
            verify=args.verify,
            allow_inaccurate=args.allow_inaccurate,
            force=args.force,
            arguments=recorded_arguments(vars(args)),
            tensorrt=options_from(args, wanted=args.backend == TENSORRT),
        )
        with build_view(sys.stderr) as view:
            manifest = build_pack(request, view)
    except OmniLiveError as e:
        print(f"build_engines: {e}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print("build_engines: stopped; nothing was changed", file=sys.stderr)
        return INTERRUPTED
    try:
        print(summary(manifest, args.out), flush=True)
    except BrokenPipeError:
        discard(sys.stdout)  # the reader has what it wanted
    return 0


def summary(manifest: PartialManifest, out: Path) -> str:
    """What was built, and how accurate it is where that was measured."""
    size = sum(file.bytes for file in manifest.all_files())
    peak = manifest.build["peak_rss_bytes"]
    kind = "pack" if isinstance(manifest, Manifest) else "partial pack"
    count = len(manifest.engines)
    lines = [
        f"{out}: {manifest.precision} {kind} of {count} engine{'s' * (count != 1)}, "
        f"{size / 1e6:.1f} MB, built in {manifest.build['seconds']:.1f} s "
        f"with at most {peak / (1 << 20):.0f} MiB of memory"
    ]
    for name, engine in manifest.engines.items():
        if engine.accuracy is None:
            continue
        record = engine.accuracy
        top1 = "" if record["top1"] is None else f", top-1 agreement {record['top1']:.1%}"
        verdict = "within tolerance" if record["passed"] else "MISSES its tolerance"
        lines.append(
            f"  {name:<10} relative error {record['relative_error']:.1e}, "
            f"cosine {record['cosine']:.6f}{top1}: {verdict}"
        )
    if not manifest.trained:
        lines.append("  The weights are seeded noise: the pack runs, its words mean nothing.")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="build_engines.py",
        description="Builds an engine pack from a checkpoint, without torch.",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with memory/, audio/ and base/ (and adapter/) or merge_lora/, or one model",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the pack, e.g. engines/NAME"
    )
    parser.add_argument(
        "--backend", choices=BACKENDS, default=BACKENDS[0], help="what runs the pack"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=INT4,
        help="of the weights (default: %(default)s)",
    )
    parser.add_argument(
        "--block-size",
        type=int,
        choices=BLOCK_SIZES,
        help="weights that share a scale (default: {ort}, with tensorrt {tensorrt})".format(
            **DEFAULT_BLOCK
        ),
    )
    parser.add_argument(
        "--asymmetric", action="store_true", help="give int4 blocks a zero point of their own"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="compare every engine with the PyTorch reference and record how far it is",
    )
    parser.add_argument(
        "--allow-inaccurate",
        action="store_true",
        help="keep a pack that misses its tolerance; the pack says so",
    )
    parser.add_argument(
        "--force", action="store_true", help="build even where the pack is up to date"
    )
    add_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
