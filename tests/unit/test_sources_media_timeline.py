"""Media files on one timeline: streams that start late, end early, pause, or whose clock jumps."""

from __future__ import annotations

from pathlib import Path

import pytest

from media_maker import (
    Audio,
    Video,
    every,
    grey,
    join,
    make,
    shifted_ts,
)
from media_reading import SECOND, Read, near, tone_is_in_place
from omnilive.sources.config import SourceConfig
from omnilive.sources.media import open_media
from omnilive.sources.types import Pcm


def test_a_variable_frame_rate_is_sampled_by_time(tmp_path: Path) -> None:
    times = (0.0, 0.1, 0.2, 0.95, 1.05, 1.9, 4.5, 4.6, 6.0, 6.9, 7.01)
    read = Read(make(tmp_path / "a.mp4", Video(times), Audio(8)))
    assert read.times == [0.0, 1.05, 4.5, 6.0, 7.01]
    assert near(read.greys, [grey(i) for i in (0, 4, 6, 8, 10)])
    assert read.warnings == []


def test_pictures_far_apart_come_in_time_with_the_audio(tmp_path: Path) -> None:
    times = (0.0, 7.0, 14.0, 21.0, 28.0)
    read = Read(make(tmp_path / "a.mp4", Video(times), Audio(35)))
    assert read.times == list(times)
    assert read.warnings == []


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_slide_that_stands_for_minutes_is_a_pause_where_the_file_states_its_length(
    tmp_path: Path, suffix: str
) -> None:
    times = (0.0, 1.0, 46.0, 150.0, 151.0)
    read = Read(make(tmp_path / f"a.{suffix}", Video(times)))
    assert read.times == list(times)
    assert read.warnings == []


def test_audio_that_starts_late_is_put_in_its_place(tmp_path: Path) -> None:
    audio = Audio(3, start=2.0, rate=44_100)
    read = Read(make(tmp_path / "a.mkv", Video(every(5)), audio))
    assert read.told("audio starts at 2.0")
    assert read.silent(0, 1.9) and read.loud(2.1, 4.9)
    assert tone_is_in_place(read, audio)
    assert read.times == [0, 1, 2, 3, 4]


def test_video_that_starts_late_is_put_in_its_place(tmp_path: Path) -> None:
    read = Read(make(tmp_path / "a.mkv", Video(every(3, start=2.0)), Audio(5)))
    assert read.times == [2, 3, 4]
    assert read.loud(0.1, 4.9)


def test_audio_that_ends_early_goes_on_as_silence(tmp_path: Path) -> None:
    read = Read(make(tmp_path / "a.mkv", Video(every(12)), Audio(3)))
    assert read.loud(0.1, 2.9) and read.silent(3.2, 11.9)
    assert len(read.warnings) == 1 and read.told("silence")
    assert len(read.frames) == 12


def test_video_that_ends_early_lets_the_audio_go_on(tmp_path: Path) -> None:
    read = Read(make(tmp_path / "a.mkv", Video(every(2)), Audio(12)))
    assert len(read.frames) == 2 and read.loud(0.1, 11.9)
    assert read.warnings == []


def test_audio_is_not_held_longer_than_the_limit_when_video_stays_away(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mkv", Video(every(2)), Audio(20))
    source = open_media(str(path), SourceConfig(max_interleave_s=1))
    heard_us = 0
    for item in source:
        if isinstance(item, Pcm):
            # What was decoded is at most the limit, a block and a packet ahead of what came out.
            assert source._interleaver.audio_us - heard_us < 1.4 * SECOND
            heard_us = item.end_us
    source.close()
    assert heard_us > 19.9 * SECOND


def test_a_gap_in_the_audio_is_silence_told_once(tmp_path: Path) -> None:
    audio = Audio(6, codec="pcm_s16le", pieces=((0, 2), (4, 6)))
    read = Read(make(tmp_path / "a.mkv", Video(every(6)), audio))
    assert len(read.warnings) == 1 and read.told("pauses for")
    assert read.loud(0.1, 1.9) and read.silent(2.2, 3.8) and read.loud(4.2, 5.9)


def test_streams_that_do_not_start_at_zero_do_here(tmp_path: Path) -> None:
    read = Read(shifted_ts(tmp_path / "a.ts", 5_000, Video(every(3)), Audio(3)))
    assert read.warnings == []
    assert [round(t) for t in read.times] == [0, 1, 2]
    assert read.loud(0.1, 2.9)


@pytest.mark.parametrize(("first", "second"), [(100, 4_000), (4_000, 100), (10, 5)])
def test_a_clock_jump_is_told_and_time_goes_on(tmp_path: Path, first: float, second: float) -> None:
    parts = [
        shifted_ts(tmp_path / "1.ts", first, Video(every(4)), Audio(4)),
        shifted_ts(tmp_path / "2.ts", second, Video(every(4)), Audio(4)),
    ]
    read = Read(join(tmp_path / "a.ts", parts))
    assert read.told("clock jumps")
    assert sum("clock jumps" in w for w in read.warnings) == 1
    assert [round(t) for t in read.times[:8]] == list(range(8))
    assert 7.8 < len(read.samples) / 16_000 < 8.4
    assert read.loud(0.1, 3.8) and read.loud(4.3, 7.8)


def test_a_clock_jump_in_a_file_that_states_its_length_is_not_taken_for_a_cut(
    tmp_path: Path,
) -> None:
    times = (*every(3), *every(3, start=3_603.0))
    read = Read(make(tmp_path / "a.mkv", Video(times)))
    assert read.told("clock jumps 3600.000 s ahead")
    assert len(read.warnings) == 1
    assert read.times == pytest.approx([0, 1, 2, 3, 4, 5], abs=0.11)


def test_many_clock_jumps_are_told_a_few_times_and_counted(tmp_path: Path) -> None:
    parts = [
        shifted_ts(tmp_path / f"{i}.ts", 1_000 * ((i * 7) % 10), Video(every(1)), Audio(1))
        for i in range(9)
    ]
    read = Read(join(tmp_path / "a.ts", parts))
    assert sum("clock jumps" in w for w in read.warnings) == 3
    assert read.told("more warnings about clock")
    assert 8.5 < len(read.samples) / 16_000 < 10.5


def test_pts_out_of_order_do_not_disturb_the_timeline(tmp_path: Path) -> None:
    times = every(6)
    swapped = list(times)
    for i in range(5, 55, 10):
        swapped[i], swapped[i + 1] = swapped[i + 1], swapped[i]
    muxed = tuple(t + 0.2 for t in swapped)  # the decoder's order is kept: PTS stay above DTS
    video = Video(times, codec="mpeg4", times_muxed=muxed)
    read = Read(make(tmp_path / "a.mkv", video, Audio(6)))
    assert [round(t) for t in read.times] == [0, 1, 2, 3, 4, 5, 6][: len(read.times)]
    assert len(read.times) >= 6
    assert read.times[0] == pytest.approx(0.2, abs=0.01)
    assert read.loud(0.1, 5.9)


def test_frames_without_any_pts_are_counted_at_the_stated_rate(tmp_path: Path) -> None:
    read = Read(make(tmp_path / "a.h264", Video(every(10))))
    assert read.info.duration_us is None
    # A raw stream states no rate: FFmpeg assumes 25 frames per second, so 100 frames last 4 s.
    assert read.times == [0, 1, 2, 3]
