"""Calibrating a pack on labelled videos, and the record it leaves in the pack."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import av
import numpy as np
import pytest

from memory_fakes import FakePack
from omnilive.errors import ConfigError, OutputError, SourceError
from omnilive.memory.calibration import (
    calibrate_files,
    cut_frames,
    pair_labels,
    read_truth,
    run_calibration,
    write_calibration,
)
from omnilive.memory.config import SegmentationConfig
from omnilive.memory.cut_fit import CutCalibration
from omnilive.memory.segmentation import cut_threshold
from omnilive.sources.config import SourceConfig

RED, GREEN, BLUE = (200, 10, 10), (10, 200, 10), (10, 10, 200)
FOUND = CutCalibration(cut_cosine=0.5, f1=0.9, precision=1.0, recall=0.8, pairs=100, cuts=10)


def shots(*colours, each=4):
    """Frames of ``each`` slightly varied pictures per colour."""
    return [
        np.clip(np.full((20, 30, 3), colour) + i, 0, 255).astype(np.uint8)
        for colour in colours
        for i in range(each)
    ]


@pytest.mark.parametrize("cut_feature", ["cls", "mean_patch"])
def test_videos_whose_shots_differ_calibrate_without_error(cut_feature):
    videos = [(shots(RED, GREEN, BLUE), [4, 8]), (iter(shots(BLUE, RED)), [4])]
    got = run_calibration(FakePack(), videos, cut_feature=cut_feature)
    assert (got.f1, got.pairs, got.cuts) == (1, 11 + 7, 3)
    assert 0.2 < got.cut_cosine < 0.999


def test_a_label_outside_the_video_is_refused():
    for frame in (0, 8):
        with pytest.raises(ConfigError, match=f"frame {frame}"):
            run_calibration(FakePack(), [(shots(RED, GREEN), [frame])])


def test_a_label_names_the_pair_before_its_frame():
    assert pair_labels(3, [1, 3]) == [True, False, True]


def test_a_cut_belongs_to_the_first_sampled_frame_at_or_after_it():
    pts = [500, 1500, 2500]
    assert cut_frames(pts, [1000, 1500, 1501]) == [1, 2]
    assert cut_frames(pts, [0, 500, 2501]) == []
    assert cut_frames([], [0]) == []


def film(path, *colours, seconds=4, fps=5):
    """A video of ``seconds`` of each colour."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for colour in colours:
            picture = np.full((48, 64, 3), colour, np.uint8)
            for _ in range(seconds * fps):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    return path


def write_truth(path, *cuts):
    path.write_text("".join(json.dumps({"cut_us": c}) + "\n\n" for c in cuts))
    return path


def test_files_are_sampled_and_labelled_as_a_session_samples_them(tmp_path):
    videos = [
        (film(tmp_path / "a.mp4", RED, BLUE, GREEN), write_truth(tmp_path / "a", 4e6, 8e6)),
        (film(tmp_path / "b.mp4", GREEN, RED), write_truth(tmp_path / "b", 4_000_000)),
    ]
    got = calibrate_files(FakePack(), videos, SourceConfig(fps=1.0))
    assert (got.pairs, got.cuts, got.f1) == (11 + 7, 3, 1)
    assert 0.3 < got.cut_cosine < 0.95


def test_a_file_that_is_no_video_is_a_source_error(tmp_path):
    (tmp_path / "film.mp4").write_text("not a film")
    truth = write_truth(tmp_path / "truth.jsonl", 1)
    with pytest.raises(SourceError):
        calibrate_files(FakePack(), [(tmp_path / "film.mp4", truth)], SourceConfig())


@pytest.mark.parametrize(
    "row", ["3", "{", '{"cut": 1}', '{"cut_us": "1"}', '{"cut_us": true}', '{"cut_us": NaN}']
)
def test_an_odd_row_of_truth_is_named_by_its_line(tmp_path, row):
    path = tmp_path / "truth.jsonl"
    path.write_text('{"cut_us": 5}\n\n' + row + "\n")
    with pytest.raises(ConfigError, match="line 3"):
        read_truth(path)


def test_a_missing_truth_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"truth\.jsonl"):
        read_truth(tmp_path / "truth.jsonl")


def test_a_recorded_calibration_is_the_threshold_in_use(tmp_path):
    write_calibration(tmp_path, FOUND, "two films")
    write_calibration(tmp_path, FOUND.__class__(0.7, 1, 1, 1, 2, 1), "x", cut_feature="mean_patch")
    record = json.loads((tmp_path / "calibration.json").read_text())
    assert (record["source"], record["source_mean_patch"]) == ("two films", "x")
    assert (record["f1"], record["pairs"], record["cuts"]) == (0.9, 100, 10)
    numbers = {k: v for k, v in record.items() if not isinstance(v, str)}
    assert cut_threshold(SegmentationConfig(), numbers).cosine == 0.5
    patch = SegmentationConfig(cut_feature="mean_patch")
    assert cut_threshold(patch, numbers).cosine == 0.7


def test_measures_of_others_stay_and_a_damaged_record_is_replaced(tmp_path):
    file = tmp_path / "calibration.json"
    file.write_text('{"other": 3, "f1": 0.1}')
    write_calibration(tmp_path, FOUND, "films")
    assert json.loads(file.read_text())["other"] == 3
    file.write_text("{")
    write_calibration(tmp_path, FOUND, "films")
    assert json.loads(file.read_text())["f1"] == 0.9


def test_a_full_disk_keeps_the_old_calibration(tmp_path, monkeypatch):
    write_calibration(tmp_path, FOUND, "films")
    before = (tmp_path / "calibration.json").read_bytes()

    def full(path, text, encoding):
        with open(path, "w") as file:
            file.write(text[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match="old calibration is kept"):
        write_calibration(tmp_path, FOUND, "other films")
    assert [p.name for p in tmp_path.iterdir()] == ["calibration.json"]
    assert (tmp_path / "calibration.json").read_bytes() == before


def test_rows_of_another_type_are_left_out(tmp_path):
    path = tmp_path / "truth.jsonl"
    rows = [{"type": "scene", "room": "kitchen"}, {"type": "cut", "cut_us": 7}, {"cut_us": 9}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_truth(path) == [7, 9]
