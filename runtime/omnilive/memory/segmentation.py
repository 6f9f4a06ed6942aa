"""Decides where one clip ends and the next begins, from features already computed (spec §2.9).

It never runs a model and keeps one feature vector and one count, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from omnilive.engine.interface import F32
from omnilive.errors import EngineError
from omnilive.memory.config import SegmentationConfig

DEFAULT_CUT_COSINE = 0.9
"""The reference's threshold (spec §2.9). It was set for SigLIP's pooled feature; for the CLIP
features compared here it is only a starting point, so a pack without a calibration is worth
calibrating (``omnilive calibrate``)."""

CALIBRATION_KEYS = {"cls": "cut_cosine", "mean_patch": "cut_cosine_mean_patch"}
"""Where a pack's calibration keeps the threshold of each cut feature."""


@dataclass(frozen=True)
class CutThreshold:
    """The cut cosine in use. ``origin``: ``config``, ``calibration`` or ``default``."""

    cosine: float
    origin: str


@dataclass(frozen=True)
class CutDecision:
    """What one frame means for the clip before it.

    Attributes:
        cut: True when this frame begins a new clip.
        reason: ``cut`` (the picture changed), ``length`` (the clip was full) or "".
        cosine: similarity to the frame before; None for the first frame.
    """

    cut: bool
    reason: str
    cosine: float | None


def cut_threshold(config: SegmentationConfig, calibration: Mapping[str, float]) -> CutThreshold:
    """The threshold to use: the configuration's, else the pack's calibration, else the default."""
    if config.cut_cosine is not None:
        return CutThreshold(config.cut_cosine, "config")
    calibrated = calibration.get(CALIBRATION_KEYS[config.cut_feature])
    if calibrated is not None:
        return CutThreshold(float(calibrated), "calibration")
    return CutThreshold(DEFAULT_CUT_COSINE, "default")


def cut_vector(cut_feature: str, features: F32, cls: F32) -> F32:
    """The vector compared from frame to frame.

    Args:
        cut_feature: ``cls`` or ``mean_patch``.
        features: float32 [G·G, 4C], one frame's mixed patch features.
        cls: float32 [C].
    """
    if cut_feature == "cls":
        return cls
    mean: F32 = features.mean(axis=0, dtype=np.float32)
    return mean


def cosine_similarity(a: F32, b: F32) -> float:
    """Cosine of two vectors, summed in float64; 0 when either is all zeros."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    norms = float(np.sqrt(x @ x) * np.sqrt(y @ y))
    return float(x @ y) / norms if norms > 0 else 0.0


class Segmenter:
    """Applies the cut rule to one stream of frames.

    A frame begins a new clip when the open clip holds at least ``clip_min`` frames and either
    holds ``clip_max`` or the cosine with the previous frame is at most ``cut_cosine``.
    """

    def __init__(self, config: SegmentationConfig, cut_cosine: float) -> None:
        self._config = config
        self._cut_cosine = cut_cosine
        self._previous: F32 | None = None
        self._last_pts_us: int | None = None
        self._frames = 0

    @property
    def frames(self) -> int:
        """Frames in the open clip."""
        return self._frames

    def push(self, pts_us: int, cls: F32) -> CutDecision:
        """Take the next frame.

        Args:
            pts_us: its stream time, microseconds, not before the previous frame's.
            cls: float32 [C], its cut vector (``cut_vector``).

        Raises:
            EngineError: a feature that is not finite.
            ValueError: a frame before the previous one.
        """
        if not np.isfinite(cls).all():
            raise EngineError(
                "gave a frame feature that is not finite",
                where="engine mem_vit",
                mend="Rebuild the pack with --verify, or with a higher precision.",
            )
        if self._last_pts_us is not None and pts_us < self._last_pts_us:
            raise ValueError(f"frame at {pts_us} µs is before {self._last_pts_us} µs")
        cosine = None if self._previous is None else cosine_similarity(self._previous, cls)
        reason = self._reason(cosine)
        self._previous = cls
        self._last_pts_us = pts_us
        self._frames = 1 if reason else self._frames + 1
        return CutDecision(bool(reason), reason, cosine)

    def _reason(self, cosine: float | None) -> str:
        if cosine is None or self._frames < self._config.clip_min:
            return ""
        if cosine <= self._cut_cosine:
            return "cut"
        return "length" if self._frames >= self._config.clip_max else ""
