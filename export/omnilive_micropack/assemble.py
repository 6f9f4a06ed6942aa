"""The command that puts a whole checkpoint together: trained folders where there are any.

``python -m omnilive_micropack.assemble --out DIR [--trained DIR]``. A member of the family that
nobody has trained is written with seeded weights. It trains nothing and never imports torch.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from omnilive.errors import OmniLiveError, OutputError
from omnilive_micropack.checkpoint import FOLDERS, write_checkpoint
from omnilive_micropack.dimensions import MICRO

SHIPPED = Path(__file__).parent / "trained"
"""The trained folders that come with the package."""


def assemble(trained: Path, out: Path, *, seed: int = 0) -> tuple[str, ...]:
    """Write a checkpoint to ``out``: folders of ``trained``, seeded weights for the others.

    Returns:
        The folders that are trained.

    Raises:
        OutputError: a file cannot be written.
        BuildError: a tokenizer cannot be trained to the sizes asked for.
    """
    write_checkpoint(out, MICRO, seed)
    found = tuple(name for name in FOLDERS if (trained / name / "config.json").is_file())
    try:
        for name in found:
            shutil.rmtree(out / name)
            shutil.copytree(trained / name, out / name)
    except OSError as e:
        raise OutputError(
            f"cannot be written ({e.strerror or e})",
            where=str(e.filename or out),
            mend="Free space there or choose another folder with --out.",
        ) from e
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and assemble; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="omnilive_micropack.assemble", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--trained", type=Path, default=SHIPPED, help="trained folders (default: the shipped ones)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of untrained weights (default 0)")
    args = parser.parse_args(argv)
    try:
        found = assemble(args.trained, args.out, seed=args.seed)
    except OmniLiveError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_code
    seeded = [name for name in FOLDERS if name not in found]
    print(
        f"{args.out}: trained {', '.join(found) or 'nothing'}, seeded {', '.join(seeded) or 'none'}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
