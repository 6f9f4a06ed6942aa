"""``omnilive calibrate``: fit a pack's cut threshold to videos whose cuts are known."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from omnilive.engine.pack import open_pack
from omnilive.memory.calibration import calibrate_files, write_calibration
from omnilive.sources.config import SourceConfig


def calibrate(pack_path: str, videos: Sequence[tuple[str, str]]) -> int:
    """Calibrate and write ``calibration.json`` into the pack; prints what was found.

    Raises:
        OmniLiveError: a pack, video or truth file that cannot be used.
    """
    files = [(Path(video), Path(truth)) for video, truth in videos]
    with contextlib.closing(open_pack(Path(pack_path))) as pack:
        calibration = calibrate_files(pack, files, SourceConfig())
        path = write_calibration(pack.path, calibration, source=f"{len(videos)} labelled videos")
    print(
        f"cut_cosine {calibration.cut_cosine:.6f}: F1 {calibration.f1:.3f} "
        f"over {calibration.cuts} cuts in {calibration.pairs} frame pairs; written to {path}"
    )
    return 0
