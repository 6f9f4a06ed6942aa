"""Media files, sound ones: what is read from any container, rate, channel count and picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media_maker import (
    QUADRANTS,
    Audio,
    Video,
    every,
    grey,
    join,
    make,
    set_mp4_matrix,
    shifted_ts,
)
from media_reading import Read, near, tone_is_in_place
from omnilive.errors import ConfigError
from omnilive.sources.config import SourceConfig
from omnilive.sources.media import MediaSource, open_media

CONTAINERS = [
    ("mp4", "libx264", "aac"),
    ("mov", "libx264", "aac"),
    ("mkv", "libx264", "aac"),
    ("webm", "libvpx", "libopus"),
    ("avi", "mpeg4", "libmp3lame"),
    ("avi", "mjpeg", "pcm_s16le"),
    ("ts", "libx264", "aac"),
]


@pytest.mark.parametrize(("suffix", "video", "audio"), CONTAINERS)
def test_each_container_gives_one_frame_a_second_and_the_tone_in_its_place(
    tmp_path: Path, suffix: str, video: str, audio: str
) -> None:
    track = Audio(4, rate=48_000, channels=2, codec=audio)
    read = Read(make(tmp_path / f"a.{suffix}", Video(every(4), codec=video), track))
    assert read.warnings == []
    assert (read.info.width, read.info.height) == (64, 48)
    assert read.info.has_video and read.info.has_audio
    assert read.info.duration_us is not None and abs(read.info.duration_us - 4e6) < 2e5
    assert len(read.frames) == 4
    # Containers may start the video some packets late (ts) or on a coarse clock (avi).
    assert all(abs(t - i) <= 0.25 for i, t in enumerate(read.times))
    assert near(read.greys, [grey(round(10 * (t - read.times[0]))) for t in read.times], 10)
    assert 3.9 < len(read.samples) / 16_000 < 4.3
    if suffix == "mp4":
        assert read.times == [0, 1, 2, 3]
        assert tone_is_in_place(read, track)


def test_the_frames_are_those_of_their_time(tmp_path: Path) -> None:
    read = Read(make(tmp_path / "a.mp4", Video(every(5), b_frames=2)), SourceConfig(fps=2))
    assert read.times == [i / 2 for i in range(10)]
    assert near(read.greys, [grey(5 * i) for i in range(10)])


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channel_count_becomes_16_khz_mono_of_the_same_level(
    tmp_path: Path, rate: int, channels: int
) -> None:
    audio = Audio(1.5, rate=rate, channels=channels, codec="pcm_s16le", level=0.9)
    read = Read(make(tmp_path / "a.wav", None, audio))
    assert not read.info.has_video and (read.info.width, read.info.height) == (0, 0)
    assert read.frames == [] and read.warnings == []
    assert len(read.samples) == 24_000
    assert tone_is_in_place(read, audio)


def test_a_video_without_audio_gives_frames_only(tmp_path: Path) -> None:
    read = Read(make(tmp_path / "a.mp4", Video(every(3))))
    assert read.info.has_video and not read.info.has_audio
    assert len(read.frames) == 3 and read.pcm == [] and read.warnings == []


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    import av

    song = make(tmp_path / "plain.mp3", None, Audio(1, codec="libmp3lame", rate=44_100))
    covered = tmp_path / "covered.mp3"
    with av.open(str(song)) as source, av.open(str(covered), "w") as target:
        audio = target.add_stream_from_template(source.streams.audio[0])
        cover = target.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        target.mux(cover.encode(picture))
        target.mux(cover.encode(None))
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = audio
                target.mux(packet)
    read = Read(covered)
    assert not read.info.has_video and read.frames == []
    assert len(read.samples) > 15_000


@pytest.mark.parametrize(
    ("matrix", "corners", "size"),
    [
        ((1, 0, 0, 1), (0, 1, 2, 3), (64, 48)),
        ((0, 1, -1, 0), (2, 0, 3, 1), (48, 64)),  # held upright: a quarter turn clockwise
        ((-1, 0, 0, -1), (3, 2, 1, 0), (64, 48)),
        ((0, -1, 1, 0), (1, 3, 0, 2), (48, 64)),
        ((-1, 0, 0, 1), (1, 0, 3, 2), (64, 48)),  # a mirrored front camera
        ((0, 1, 1, 0), (0, 2, 1, 3), (48, 64)),
    ],
)
def test_pictures_are_upright(
    tmp_path: Path,
    matrix: tuple[int, int, int, int],
    corners: tuple[int, int, int, int],
    size: tuple[int, int],
) -> None:
    path = make(tmp_path / "a.mp4", Video(every(1), quadrants=True))
    read = Read(set_mp4_matrix(path, *matrix))
    assert (read.info.width, read.info.height) == size
    rgb = read.frames[0].rgb.astype(int)
    width, height = size
    assert rgb.shape == (height, width, 3)
    for corner, (y, x) in zip(corners, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        pixel = rgb[height // 4 + y * height // 2, width // 4 + x * width // 2]
        assert np.abs(pixel - np.array(QUADRANTS[corner])).max() < 60


def test_large_pictures_are_scaled_to_the_configured_side(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Video(every(1), width=320, height=160))
    assert Read(path, SourceConfig(max_side_px=64)).frames[0].rgb.shape == (32, 64, 3)


def test_a_new_picture_size_in_mid_stream_is_followed(tmp_path: Path) -> None:
    parts = [
        shifted_ts(tmp_path / "1.ts", 0, Video(every(3)), None),
        shifted_ts(tmp_path / "2.ts", 3, Video(every(3), width=96, height=80), None),
    ]
    read = Read(join(tmp_path / "a.ts", parts))
    assert read.told("64x48", "96x80")
    shapes = [f.rgb.shape[:2] for f in read.frames]
    assert shapes[0] == (48, 64) and shapes[-1] == (80, 96) and len(shapes) == 6


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Video(every(3), b_frames=2), Audio(3, rate=44_100))
    first, second = Read(path), Read(path)
    np.testing.assert_array_equal(first.samples, second.samples)
    assert first.times == second.times
    for a, b in zip(first.frames, second.frames, strict=True):
        np.testing.assert_array_equal(a.rgb, b.rgb)


def test_closing_before_and_twice_is_fine(tmp_path: Path) -> None:
    source = open_media(str(make(tmp_path / "a.mp4", Video(every(1)))), SourceConfig())
    assert isinstance(source, MediaSource)
    source.close()
    source.close()


@pytest.mark.parametrize(
    "config",
    [
        SourceConfig(fps=0),
        SourceConfig(fps=float("nan")),
        SourceConfig(max_side_px=1),
        SourceConfig(max_gap_s=0),
        SourceConfig(max_overlap_ms=-1),
        SourceConfig(audio_jitter_ms=0),
        SourceConfig(max_interleave_s=0),
        SourceConfig(warnings_per_kind=0),
    ],
)
def test_values_out_of_range_are_refused(config: SourceConfig) -> None:
    with pytest.raises(ConfigError, match="source"):
        config.validate()
