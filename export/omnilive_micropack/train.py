"""The command that trains the miniature, stage by stage.

``python -m omnilive_micropack.train [--stage asr|vision|memory|reasoner|all] --out DIR``. A stage
is a module of ``training/`` with ``run(out, *, seed, threads)``; it writes trained folders in the
checkpoint's layout and its card to ``DIR/card/STAGE.json``, and goes on where it was stopped. This
module never imports torch itself.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from omnilive.errors import OmniLiveError, SetupError
from omnilive_micropack.seeds import TRAINING_SEEDS

STAGES: Mapping[str, str] = {
    "asr": "omnilive_micropack.training.asr",
    "vision": "omnilive_micropack.training.vision",
    "memory": "omnilive_micropack.training.memory",
    "reasoner": "omnilive_micropack.training.reasoner",
}
"""Modules of the stages, in the order in which they build on each other."""

ALL = "all"
GO_ON = ("memory", "reasoner")
"""Stages that can begin from the weights of a checkpoint."""


def run_stage(stage: str, out: Path, *, seed: int, threads: int, start: Path | None = None) -> None:
    """Train one stage into ``out``; ``start`` is for the stages of GO_ON.

    Raises:
        SetupError: what training needs is not installed.
    """
    try:
        module = importlib.import_module(STAGES[stage])
    except ModuleNotFoundError as e:
        raise SetupError(
            f"cannot be trained, {e.name} is not installed",
            where=f"--stage {stage}",
            mend="make install-test",
        ) from e
    begin = {} if start is None else {"start": start}
    module.run(out, seed=seed, threads=threads, **begin)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and train; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="omnilive_micropack.train", description=__doc__)
    parser.add_argument("--stage", choices=[*STAGES, ALL], default=ALL)
    parser.add_argument("--out", type=Path, required=True, help="folder for trained weights")
    parser.add_argument("--seed", type=int, default=TRAINING_SEEDS.start)
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="of torch; another number gives other weights (default 1)",
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="DIR",
        help="begin memory or reasoner from the trained folders of DIR, and take from there what"
        " the stages before would have made",
    )
    args = parser.parse_args(argv)
    if args.start is not None and args.stage not in GO_ON:
        parser.error(f"--from goes with --stage {' or '.join(GO_ON)}, not {args.stage}")
    if args.seed not in TRAINING_SEEDS:
        parser.error(f"--seed is {args.seed}, training seeds end at {TRAINING_SEEDS.stop - 1}")
    try:
        for stage in STAGES if args.stage == ALL else (args.stage,):
            run_stage(stage, args.out, seed=args.seed, threads=args.threads, start=args.start)
    except OmniLiveError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
