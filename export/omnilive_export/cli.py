"""The command line of the exporter: arguments in, an engine pack and an exit code out.

It never does any of the work.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from omnilive.cli.pipe import discard
from omnilive.engine.config import CPU, DEVICES
from omnilive.engine.fingerprint import backend_versions, device_fingerprint
from omnilive.engine.manifest import RECIPE, Manifest, PartialManifest
from omnilive.errors import ConfigError, OmniLiveError
from omnilive_export.build import BuildRequest, build_pack
from omnilive_export.fingerprint import recorded_arguments
from omnilive_export.graphs.tensorrt_int4 import BLOCK_SIZES as TENSORRT_BLOCK_SIZES
from omnilive_export.precision import (
    BLOCK_SIZES,
    INT4,
    METHODS,
    PRECISIONS,
    RTN,
    PackPrecision,
    pack_precision,
)
from omnilive_export.progress import build_view
from omnilive_export.recipe import SWAPPABLE, Recipe
from omnilive_export.recipe_file import SUFFIX, load_recipe, recipe_names
from omnilive_export.tensorrt.options import add_options, options_from
from omnilive_export.tensorrt.pack_builder import TENSORRT
from omnilive_export.validity import check_recipe, resolved

BACKENDS = ("ort", TENSORRT)
DEFAULT_BLOCK = {"ort": BLOCK_SIZES[0], TENSORRT: TENSORRT_BLOCK_SIZES[0]}
"""The finest blocks that each backend takes."""

RECIPE_SAYS = ("backend", "precision", "block_size", "asymmetric", "quantizer")
"""Options that a recipe takes the place of."""

X86 = ("x86_64", "AMD64", "i686")
WIDE_SUMS = ("avx_vnni", "avx512_vnni", "amx_int8")
"""CPU features of x86 by which products of 8 bits are added in 32 bits."""

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
        _check_flags(parser, args)
    except SystemExit as e:
        return int(e.code or 0)
    try:
        recipe = None if args.recipe is None else checked_recipe(str(args.recipe), args.device)
        if recipe is None:
            args.backend = args.backend or BACKENDS[0]
            args.precision = args.precision or INT4
            args.quantizer = args.quantizer or RTN
        backend = args.backend if recipe is None else recipe.backend
        _check_device(args.device, backend)
        request = BuildRequest(
            checkpoint=args.checkpoint,
            out=args.out.resolve(),
            precision=_precision(args) if recipe is None else precision_of(recipe),
            backend=backend,
            recipe=recipe,
            measure=_measured(args, recipe, backend),
            quality=args.quality,
            verify=args.verify,
            allow_inaccurate=args.allow_inaccurate,
            force=args.force,
            calibration=args.calibration,
            arguments=recorded_arguments(vars(args)),
            device=args.device,
            tensorrt=options_from(args, wanted=backend == TENSORRT),
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


def checked_recipe(name: str, device: str) -> Recipe:
    """The recipe of a name or file, held against the backends of this machine.

    Args:
        name: of the recipe.
        device: that onnxruntime is to run the pack on.

    Raises:
        ConfigError: it cannot be read, or its backend cannot do what it asks.
    """
    versions = backend_versions()
    recipe = resolved(load_recipe(name), versions, device)
    check_recipe(recipe, versions, device)
    return recipe


def precision_of(recipe: Recipe) -> PackPrecision:
    """The formats of a recipe on this machine."""
    return recipe.precision(wide_sums=has_wide_sums())


def has_wide_sums() -> bool:
    """Whether this machine adds products of 8 bits in 32 bits: all but x86 without VNNI."""
    machine = device_fingerprint()
    return machine["machine"] not in X86 or any(f in machine["cpu_features"] for f in WIDE_SUMS)


def _check_device(device: str, backend: str) -> None:
    if device != CPU and backend == TENSORRT:
        raise ConfigError(
            f"does nothing with the {TENSORRT} backend, which is always on the GPU",
            where=f"--device {device}",
            mend=f"Leave it out, or build for {BACKENDS[0]}.",
        )


def _measured(args: argparse.Namespace, recipe: Recipe | None, backend: str) -> bool:
    """Whether the build ends with an accuracy record: by default where a recipe sets tolerances.

    The recorded inputs are run by onnxruntime, so graphs of another backend have none.
    """
    if args.accuracy and backend != BACKENDS[0]:
        raise ConfigError(
            f"there is no accuracy record of the {backend} backend",
            where="--accuracy",
            mend="Build the same precision with --backend ort to measure it.",
        )
    wanted = recipe is not None if args.accuracy is None else bool(args.accuracy)
    return wanted and backend == BACKENDS[0]


def _precision(args: argparse.Namespace) -> PackPrecision:
    return pack_precision(
        args.precision,
        block=args.block_size or DEFAULT_BLOCK[args.backend],
        symmetric=not args.asymmetric,
        method=args.quantizer,
    )


def _check_flags(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse flags beside a recipe that says the same, and flags that do nothing."""
    if args.recipe is not None:
        for name in RECIPE_SAYS:
            if getattr(args, name):
                flag = "--" + name.replace("_", "-")
                parser.error(f"{flag}: the recipe says it; change a copy of the recipe instead")
    elif args.precision not in (None, INT4):
        if args.asymmetric:
            parser.error(f"--asymmetric goes with --precision {INT4}")
        if args.quantizer not in (None, RTN):
            parser.error(f"--quantizer {args.quantizer} goes with --precision {INT4}")


def _recipe_argument(text: str) -> Path | str:
    """A file stays one when the build is repeated from elsewhere; a name is not a file."""
    return Path(text) if text.endswith(SUFFIX) else text


def summary(manifest: PartialManifest, out: Path) -> str:
    """What was built, and how accurate it is where that was measured."""
    size = sum(file.bytes for file in manifest.all_files())
    peak = manifest.build["peak_rss_bytes"]
    kind = "pack" if isinstance(manifest, Manifest) else "partial pack"
    count = len(manifest.engines)
    recipe = manifest.build.get(RECIPE)
    made = manifest.precision if recipe is None else f"{recipe['name']} ({manifest.precision})"
    lines = [
        f"{out}: {made} {kind} of {count} engine{'s' * (count != 1)}, "
        f"{size / 1e6:.1f} MB, built in {manifest.build['seconds']:.1f} s "
        f"with at most {peak / (1 << 20):.0f} MiB of memory"
    ]
    models = {} if recipe is None else recipe.get("models", {})
    lines += [f"  {SWAPPABLE[part]:<10} is of {folder}" for part, folder in models.items()]
    for name, engine in manifest.engines.items():
        if engine.accuracy is None:
            continue
        record = engine.accuracy
        top1 = "" if record["top1"] is None else f", top-1 agreement {record['top1']:.1%}"
        kl = "" if record.get("kl") is None else f", KL {record['kl']:.2e}"
        verdict = "within tolerance" if record["passed"] else "MISSES its tolerance"
        lines.append(
            f"  {name:<10} relative error {record['relative_error']:.1e}, "
            f"cosine {record['cosine']:.6f}{kl}{top1}: {verdict}"
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
        "--recipe",
        type=_recipe_argument,
        metavar="NAME|FILE",
        help=f"how the pack is made: {', '.join(recipe_names())}, or a {SUFFIX} file; takes the"
        " place of the flags for backend, precision and blocks",
    )
    parser.add_argument(
        "--backend", choices=BACKENDS, help=f"what runs the pack (default: {BACKENDS[0]})"
    )
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default=CPU,
        help="where onnxruntime runs the pack; one for cuda runs on the CPU too (default: cpu)",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help=f"of the weights (default: {INT4})",
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
        "--quantizer",
        choices=METHODS,
        help="how int4 codes are chosen: to the nearest, half-quadratic, or by activations "
        f"(default: {RTN})",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="activation statistics, for --quantizer calibrated or a recipe that says so",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="compare every engine with the PyTorch reference and record how far it is",
    )
    parser.add_argument(
        "--accuracy",
        action=argparse.BooleanOptionalAction,
        help="measure every engine against the float32 graph of its source on recorded inputs, "
        "without torch (default: with a recipe); the manifest says if it was left out",
    )
    parser.add_argument(
        "--quality",
        action="store_true",
        help="run a slice of benchmarks/quality.py on a trained pack (minutes) and keep the table "
        "in it",
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
