"""The cut rule of spec §2.9 on features already computed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.errors import ConfigError, EngineError
from omnilive.memory.config import SegmentationConfig
from omnilive.memory.segmentation import (
    DEFAULT_CUT_COSINE,
    Segmenter,
    cosine_similarity,
    cut_threshold,
    cut_vector,
)

SAME = np.array([1, 0], np.float32)
OTHER = np.array([0, 1], np.float32)
SECOND = 1_000_000


def decisions(vectors, cut_cosine=0.9):
    segmenter = Segmenter(SegmentationConfig(), cut_cosine)
    return [segmenter.push(i * SECOND, v) for i, v in enumerate(vectors)]


def cuts(vectors, **kwargs):
    return [(i, d.reason) for i, d in enumerate(decisions(vectors, **kwargs)) if d.cut]


def test_a_picture_change_begins_a_clip_once_the_open_one_holds_clip_min_frames():
    assert cuts([SAME] * 3 + [OTHER] * 3) == [(3, "cut")]


def test_a_picture_change_in_a_short_clip_begins_nothing():
    assert cuts([SAME] * 2 + [OTHER] * 6) == []


def test_a_full_clip_ends_at_clip_max_frames_without_a_picture_change():
    assert cuts([SAME] * 33) == [(16, "length"), (32, "length")]


def test_a_picture_change_at_a_full_clip_is_told_as_a_cut():
    assert cuts([SAME] * 16 + [OTHER]) == [(16, "cut")]


def test_a_cosine_exactly_at_the_threshold_is_a_cut():
    near = np.array([0.6, 0.8], np.float32)
    at = cosine_similarity(SAME, near)
    assert cuts([SAME] * 3 + [near], cut_cosine=at) == [(3, "cut")]
    assert cuts([SAME] * 3 + [near], cut_cosine=np.nextafter(at, 0)) == []


def test_the_first_frame_has_no_cosine_and_the_second_has():
    first, second = decisions([SAME, OTHER])
    assert first.cosine is None and not first.cut
    assert second.cosine == pytest.approx(0)


def test_an_all_zero_feature_has_cosine_zero():
    assert cosine_similarity(np.zeros(2, np.float32), SAME) == 0


def test_a_feature_that_is_not_finite_is_an_engine_error():
    segmenter = Segmenter(SegmentationConfig(), 0.9)
    with pytest.raises(EngineError, match="mem_vit"):
        segmenter.push(0, np.array([np.nan, 1], np.float32))


def test_a_frame_before_the_previous_one_is_refused():
    segmenter = Segmenter(SegmentationConfig(), 0.9)
    segmenter.push(5, SAME)
    with pytest.raises(ValueError, match="before"):
        segmenter.push(4, SAME)


@given(
    st.lists(st.sampled_from([0, 1]), max_size=80),
    st.integers(1, 5),
    st.integers(0, 12),
)
def test_every_clip_respects_its_limits_and_ends_only_for_a_reason(labels, clip_min, extra):
    config = SegmentationConfig(clip_min=clip_min, clip_max=clip_min + extra)
    vectors = [SAME if x else OTHER for x in labels]
    length = 0
    segmenter = Segmenter(config, 0.9)
    for i, vector in enumerate(vectors):
        decision = segmenter.push(i * SECOND, vector)
        changed = i > 0 and labels[i] != labels[i - 1]
        full = length >= config.clip_max
        assert decision.cut == (length >= clip_min and (changed or full))
        assert decision.reason == (("cut" if changed else "length") if decision.cut else "")
        length = 1 if decision.cut else length + 1
        assert segmenter.frames == length <= config.clip_max


def test_the_threshold_comes_from_the_configuration_then_the_pack_then_the_default():
    calibration = {"cut_cosine": 0.97, "cut_cosine_mean_patch": 0.8, "f1": 1.0}
    fixed = cut_threshold(SegmentationConfig(cut_cosine=0.5), calibration)
    assert (fixed.cosine, fixed.origin) == (0.5, "config")
    calibrated = cut_threshold(SegmentationConfig(), calibration)
    assert (calibrated.cosine, calibrated.origin) == (0.97, "calibration")
    patch = cut_threshold(SegmentationConfig(cut_feature="mean_patch"), calibration)
    assert patch.cosine == 0.8
    default = cut_threshold(SegmentationConfig(), {})
    assert (default.cosine, default.origin) == (DEFAULT_CUT_COSINE, "default")


def test_the_cut_vector_is_the_cls_or_the_mean_patch_feature():
    features = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert cut_vector("cls", features, SAME) is SAME
    np.testing.assert_array_equal(cut_vector("mean_patch", features, SAME), [2, 3])


@pytest.mark.parametrize(
    "changes",
    [
        {"clip_min": 0},
        {"clip_min": 9, "clip_max": 8},
        {"cut_feature": "siglip"},
        {"cut_cosine": 1.5},
        {"cut_cosine": float("nan")},
    ],
)
def test_a_segmentation_setting_out_of_range_is_named(changes):
    field = "clip_max" if "clip_max" in changes else next(iter(changes))
    with pytest.raises(ConfigError, match=rf"segmentation\.{field}"):
        SegmentationConfig(**changes).validate()
