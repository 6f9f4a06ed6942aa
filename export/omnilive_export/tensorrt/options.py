"""What a user may choose of a TensorRT build, and what the command line calls it.

Data only: `engine_builder` gives it to TensorRT.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from omnilive.errors import ConfigError

HARDWARE = {"this-gpu": "NONE", "same-compute": "SAME_COMPUTE_CAPABILITY", "ampere+": "AMPERE_PLUS"}
"""The command line's names of TensorRT's hardware compatibility levels."""

OPTIONS = ("builder_memory", "timing_cache", "hardware", "version_compatible", "onnx_only")
"""What ``add_options`` adds, as argparse names it."""

GIB = 1 << 30


@dataclass(frozen=True)
class BuildOptions:
    """Options of a build.

    Attributes:
        memory_bytes: most device memory the builder may use for trying kernels, or None for
            TensorRT's own limit; on a Jetson that memory is the machine's.
        timing_cache: file of measured kernels, read when it is there and written at the end, so
            that a second build measures only what is new; None for none.
        hardware: name of a ``HardwareCompatibilityLevel``.
        version_compatible: the engine runs on later versions of the same major, but slower.
        onnx_only: write the graphs and build no engine.
    """

    memory_bytes: int | None = None
    timing_cache: Path | None = None
    hardware: str = "NONE"
    version_compatible: bool = False
    onnx_only: bool = False


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command line."""
    group = parser.add_argument_group("TensorRT (with --backend tensorrt)")
    group.add_argument(
        "--builder-memory",
        type=float,
        metavar="GIB",
        help="most memory the builder may use for trying kernels",
    )
    group.add_argument(
        "--timing-cache",
        type=Path,
        metavar="FILE",
        help="measured kernels, kept from one build to the next",
    )
    group.add_argument(
        "--hardware",
        choices=tuple(HARDWARE),
        help="GPUs the engines run on (default: this-gpu)",
    )
    group.add_argument(
        "--version-compatible",
        action="store_true",
        help="let later versions of the same major TensorRT run the engines",
    )
    group.add_argument(
        "--onnx-only",
        action="store_true",
        help="write the graphs and build no engine, where there is no TensorRT",
    )


def options_from(args: argparse.Namespace, *, wanted: bool) -> BuildOptions:
    """The options that ``add_options`` parsed.

    Args:
        args: the parsed line.
        wanted: whether the build is for TensorRT.

    Raises:
        ConfigError: a memory limit that is not positive, or an option of a build for another
            backend, which would do nothing.
    """
    given = [name for name in OPTIONS if getattr(args, name) not in (None, False)]
    if given and not wanted:
        raise ConfigError(
            "does nothing without --backend tensorrt",
            where=", ".join("--" + name.replace("_", "-") for name in given),
            mend="Leave it out, or build for TensorRT.",
        )
    memory = args.builder_memory
    if memory is not None and memory <= 0:
        raise ConfigError(
            f"{memory:g} GiB is no memory to build in",
            where="--builder-memory",
            mend="Give a positive number of GiB, or leave it out.",
        )
    return BuildOptions(
        memory_bytes=None if memory is None else int(memory * GIB),
        timing_cache=args.timing_cache,
        hardware=HARDWARE[args.hardware or "this-gpu"],
        version_compatible=args.version_compatible,
        onnx_only=args.onnx_only,
    )
