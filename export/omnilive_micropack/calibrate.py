"""The command that fits a pack's cut threshold to videos of the miniature's own world.

``python -m omnilive_micropack.calibrate --pack DIR [--seeds N ...]`` writes ``calibration.json``
into the pack. The videos are encoded and read like any other source; it never uses a seed on
which something is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from omnilive.engine.pack import open_pack
from omnilive.errors import ConfigError, OmniLiveError
from omnilive.memory.calibration import cut_frames, run_calibration, write_calibration
from omnilive.memory.config import CUT_FEATURES
from omnilive.sources.config import SourceConfig
from omnilive.sources.media import open_media
from omnilive.sources.types import Frame
from omnilive_micropack.render import render_stream
from omnilive_micropack.seeds import CALIBRATION_SEEDS
from omnilive_micropack.story import make_world

DEFAULT_SEEDS = tuple(CALIBRATION_SEEDS[:8])
VIDEO_SECONDS = 60.0
SCENE_SECONDS = (7.0, 15.0)
"""Short scenes, for more cuts in the same time."""

VIDEO_FPS = 4
"""Frames per second of the files; the session's own rate is sampled from them."""

Rgb = npt.NDArray[np.uint8]


def labelled_video(seed: int) -> tuple[list[Rgb], list[int]]:
    """One video as a session samples it, and which of its frames begin a new scene.

    Raises:
        ConfigError: a seed outside the calibration range.
        OutputError: the file cannot be written.
    """
    if seed not in CALIBRATION_SEEDS:
        raise ConfigError(
            f"is {seed}",
            where="--seeds",
            mend=f"Use seeds from {CALIBRATION_SEEDS.start} to {CALIBRATION_SEEDS.stop - 1}.",
        )
    world = make_world(seed, VIDEO_SECONDS, scene_seconds=SCENE_SECONDS)
    with tempfile.TemporaryDirectory(prefix="omnilive-calibration-") as folder:
        path = Path(folder) / f"{seed}.mp4"
        truth = render_stream(path, world, fps=VIDEO_FPS, sound=False)
        with contextlib.closing(open_media(str(path), SourceConfig())) as source:
            frames = [item for item in source if isinstance(item, Frame)]
    return [f.rgb for f in frames], cut_frames([f.pts_us for f in frames], truth.cuts_us)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and calibrate; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="omnilive_micropack.calibrate", description=__doc__)
    parser.add_argument("--pack", type=Path, required=True, help="engine pack to calibrate")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=list(DEFAULT_SEEDS),
        help=f"videos to use; default: {DEFAULT_SEEDS[0]} to {DEFAULT_SEEDS[-1]}",
    )
    parser.add_argument("--cut-feature", choices=CUT_FEATURES, default="cls")
    args = parser.parse_args(argv)
    try:
        with contextlib.closing(open_pack(args.pack)) as pack:
            videos = (labelled_video(seed) for seed in args.seeds)
            calibration = run_calibration(pack, videos, cut_feature=args.cut_feature)
        path = write_calibration(
            args.pack,
            calibration,
            source=f"{len(args.seeds)} micropack videos, seeds {min(args.seeds)} on",
            cut_feature=args.cut_feature,
        )
    except OmniLiveError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_code
    print(
        f"cut cosine {calibration.cut_cosine:.4f}: F1 {calibration.f1:.3f} over "
        f"{calibration.cuts} cuts in {calibration.pairs} frame pairs → {path}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
