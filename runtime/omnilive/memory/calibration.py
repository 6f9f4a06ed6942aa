"""Calibrates a pack's cut cosine on labelled videos and records it in the pack.

The labels are the user's (``truth.jsonl``); it never guesses one. It keeps one feature vector
at a time, so videos may be of any length.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from omnilive.engine.interface import F32
from omnilive.engine.pack import CALIBRATION_NAME, EnginePack
from omnilive.errors import ConfigError, OutputError, SourceError
from omnilive.memory.cut_fit import CutCalibration, calibrate_cut
from omnilive.memory.segmentation import CALIBRATION_KEYS, cosine_similarity, cut_vector
from omnilive.perception.frame_encoder import FrameEncoder
from omnilive.sources.config import SourceConfig
from omnilive.sources.media import open_media
from omnilive.sources.types import Frame

TRUTH_ROW = 'Give one row per cut, like {"cut_us": 12500000} (microseconds).'

Rgb = npt.NDArray[np.uint8]


def pair_cosines(
    encoder: FrameEncoder, frames: Iterable[Rgb], cut_feature: str = "cls"
) -> list[float]:
    """Cosine of each frame's cut vector with the one before: one fewer than frames."""
    cosines: list[float] = []
    previous: F32 | None = None
    for rgb in frames:
        encoded = encoder.encode(rgb)
        vector = cut_vector(cut_feature, encoded.features, encoded.cls)
        if previous is not None:
            cosines.append(cosine_similarity(previous, vector))
        previous = vector
    return cosines


def pair_labels(pairs: int, cut_frames: Sequence[int]) -> list[bool]:
    """Whether each of ``pairs`` neighbouring frames is parted by a cut.

    ``cut_frames`` are indices of the first frame after each cut, 1 … pairs.

    Raises:
        ConfigError: an index outside that range.
    """
    labels = [False] * pairs
    for frame in cut_frames:
        if not 1 <= frame <= pairs:
            raise ConfigError(
                f"names frame {frame} of a video of {pairs + 1} frames",
                where="calibration truth",
                mend=f"Give the first frame after the cut, 1 to {pairs}.",
            )
        labels[frame - 1] = True
    return labels


def cut_frames(pts_us: Sequence[int], cuts_us: Sequence[int]) -> list[int]:
    """Index of the first sampled frame at or after each cut; cuts that no pair spans are left out.

    Two cuts between the same frames are one.
    """
    found = {bisect_left(pts_us, cut) for cut in cuts_us}
    return sorted(i for i in found if 1 <= i < len(pts_us))


def run_calibration(
    pack: EnginePack,
    videos: Iterable[tuple[Iterable[Rgb], Sequence[int]]],
    *,
    cut_feature: str = "cls",
) -> CutCalibration:
    """Calibrate on frames in memory.

    Args:
        pack: the pack to calibrate; it is read, not changed.
        videos: per video its frames uint8 [h, w, 3] at the rate the session samples, and the
            indices of the frames that begin a new shot.
        cut_feature: ``segmentation.cut_feature`` the threshold is for.

    Raises:
        ConfigError: odd labels, or none.
    """
    encoder = FrameEncoder(pack)
    cosines, labels = [], []
    for frames, cuts in videos:
        cosines.append(pair_cosines(encoder, frames, cut_feature))
        labels.append(pair_labels(len(cosines[-1]), cuts))
    return calibrate_cut(cosines, labels)


def calibrate_files(
    pack: EnginePack,
    videos: Iterable[tuple[Path, Path]],
    source_config: SourceConfig,
    *,
    cut_feature: str = "cls",
) -> CutCalibration:
    """Calibrate on (video, truth.jsonl) files, sampled as a session samples them.

    Raises:
        SourceError: a video that cannot be read or holds no pictures.
        ConfigError: a truth file that cannot be read, or no cut between sampled frames.
    """
    encoder = FrameEncoder(pack)
    cosines, labels = [], []
    for video, truth in videos:
        cuts_us = read_truth(truth)
        pts: list[int] = []
        cosines.append(pair_cosines(encoder, _frames(video, source_config, pts), cut_feature))
        if not pts:
            raise SourceError("has no pictures", where=str(video), mend="Give a video with cuts.")
        labels.append(pair_labels(len(cosines[-1]), cut_frames(pts, cuts_us)))
    return calibrate_cut(cosines, labels)


def _frames(video: Path, config: SourceConfig, pts: list[int]) -> Iterator[Rgb]:
    """The sampled frames of a file; their stream times are appended to ``pts``."""
    with contextlib.closing(open_media(str(video), config)) as source:
        for item in source:
            if isinstance(item, Frame):
                pts.append(item.pts_us)
                yield item.rgb


def read_truth(path: Path) -> list[int]:
    """Cut times in microseconds of one ``truth.jsonl``: rows {"cut_us": int}.

    Blank lines and rows of another ``type`` than ``cut`` are left out.

    Raises:
        ConfigError: a file that cannot be read, or a row of another form.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"cannot be read ({e})", where=str(path), mend=TRUTH_ROW) from e
    cuts = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if row.get("type", "cut") != "cut":
                continue
            cut = row["cut_us"]
        except (ValueError, KeyError, AttributeError) as e:
            raise ConfigError(
                "is not a row of cuts", where=f"{path} line {number}", mend=TRUTH_ROW
            ) from e
        if isinstance(cut, bool) or not isinstance(cut, int | float) or not math.isfinite(cut):
            raise ConfigError(f"has cut_us {cut!r}", where=f"{path} line {number}", mend=TRUTH_ROW)
        cuts.append(round(cut))
    return cuts


def write_calibration(
    pack_path: Path, calibration: CutCalibration, source: str, *, cut_feature: str = "cls"
) -> Path:
    """Record a calibration in ``PACK/calibration.json``, written beside and renamed.

    Other measures already there stay. The keys are CutCalibration's fields and ``source``, all
    ending in ``_mean_patch`` for that feature.

    Args:
        pack_path: the pack's folder.
        calibration: what ``run_calibration`` or ``calibrate_files`` found.
        cut_feature: the feature it was found for.
        source: what it was calibrated on, in words.

    Raises:
        OutputError: the file cannot be written; the old one is kept.
    """
    path = pack_path / CALIBRATION_NAME
    suffix = CALIBRATION_KEYS[cut_feature].removeprefix("cut_cosine")
    fields = {**dataclasses.asdict(calibration), "source": source}
    record = _existing(path)
    record.update({f"{name}{suffix}": value for name, value in fields.items()})
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as e:
        with contextlib.suppress(OSError):  # the first failure is the one to tell
            part.unlink(missing_ok=True)
        raise OutputError(
            f"could not be written ({e.strerror or e})",
            where=str(path),
            mend="Free space, or make the pack's folder writable; the old calibration is kept.",
        ) from e
    return path


def _existing(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # none yet, or a damaged one: either way the new record replaces it
    return record if isinstance(record, dict) else {}
