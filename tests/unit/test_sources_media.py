"""Media files, sound and faulty: what is read, on which timeline, and what is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from media_maker import (
    QUADRANTS,
    Audio,
    Video,
    cut_off,
    every,
    grey,
    join,
    make,
    set_mp4_matrix,
    shifted_ts,
    sine,
)
from omnilive.errors import ConfigError, SourceError
from omnilive.sources.config import SourceConfig
from omnilive.sources.media import MediaSource, open_media
from omnilive.sources.types import Frame, MediaInfo, Pcm, SourceWarning, samples_to_us

SECOND = 1_000_000


class Read:
    """One pass over a file, with the promises that hold for every file checked on the way."""

    def __init__(self, path: Path, config: SourceConfig | None = None) -> None:
        source = open_media(str(path), config or SourceConfig())
        self.info: MediaInfo = source.info
        self.frames: list[Frame] = []
        self.pcm: list[Pcm] = []
        self.warnings: list[str] = []
        last_us = 0
        for item in source:
            end_us = item.end_us if isinstance(item, Pcm) else item.pts_us
            assert end_us >= last_us, "items out of order"
            last_us = end_us
            if isinstance(item, Frame):
                assert item.rgb.dtype == np.uint8 and item.rgb.flags.c_contiguous
                self.frames.append(item)
            elif isinstance(item, Pcm):
                assert 0 < len(item.samples) <= 1_600 and item.samples.dtype == np.float32
                assert np.abs(item.samples).max() <= 1.0
                self.pcm.append(item)
            else:
                assert isinstance(item, SourceWarning)
                self.warnings.append(item.what)
        source.close()
        at = 0
        for block in self.pcm:
            assert block.pts_us == samples_to_us(at), "audio is not contiguous from 0"
            at += len(block.samples)

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate([b.samples for b in self.pcm]) if self.pcm else np.zeros(0)

    @property
    def times(self) -> list[float]:
        return [f.pts_us / SECOND for f in self.frames]

    @property
    def greys(self) -> list[int]:
        return [round(float(f.rgb.mean())) for f in self.frames]

    def told(self, *parts: str) -> bool:
        return any(all(p in w for p in parts) for w in self.warnings)

    def loud(self, start: float, end: float) -> bool:
        part = self.samples[int(start * 16_000) : int(end * 16_000)]
        return len(part) > 0 and float(np.sqrt(np.mean(part**2))) > 0.1

    def silent(self, start: float, end: float) -> bool:
        part = self.samples[int(start * 16_000) : int(end * 16_000)]
        return len(part) > 0 and not part.any()


def near(values: list[int], expected: list[int], tolerance: int = 4) -> bool:
    return len(values) == len(expected) and all(
        abs(a - b) <= tolerance for a, b in zip(values, expected, strict=True)
    )


def tone_is_in_place(read: Read, audio: Audio, tolerance: float = 0.02) -> bool:
    """Whether the sine is found, in phase, where the file says it is."""
    n = int((audio.seconds - 0.4) * 16_000)
    at = int((audio.start + 0.2) * 16_000)
    wave = sine(replace(audio, rate=16_000))[3_200 : 3_200 + n]
    return bool(np.abs(read.samples[at : at + n] - wave).max() < tolerance)


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


def test_a_variable_frame_rate_is_sampled_by_time(tmp_path: Path) -> None:
    times = (0.0, 0.1, 0.2, 0.95, 1.05, 1.9, 4.5, 4.6, 6.0, 6.9, 7.01)
    read = Read(make(tmp_path / "a.mp4", Video(times), Audio(8)))
    assert read.times == [0.0, 1.05, 4.5, 6.0, 7.01]
    assert near(read.greys, [grey(i) for i in (0, 4, 6, 8, 10)])
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


def test_a_new_picture_size_in_mid_stream_is_followed(tmp_path: Path) -> None:
    parts = [
        shifted_ts(tmp_path / "1.ts", 0, Video(every(3)), None),
        shifted_ts(tmp_path / "2.ts", 3, Video(every(3), width=96, height=80), None),
    ]
    read = Read(join(tmp_path / "a.ts", parts))
    assert read.told("64x48", "96x80")
    shapes = [f.rgb.shape[:2] for f in read.frames]
    assert shapes[0] == (48, 64) and shapes[-1] == (80, 96) and len(shapes) == 6


@pytest.mark.parametrize("suffix", ["mkv", "avi", "ts"])
def test_damaged_packets_are_told_and_the_rest_is_read(tmp_path: Path, suffix: str) -> None:
    video = Video(every(6), codec="mpeg4", damaged=(12, 13, 14))
    audio = Audio(6, codec="aac" if suffix != "avi" else "libmp3lame", damaged=(20, 21, 22, 23))
    read = Read(make(tmp_path / f"a.{suffix}", video, audio))
    assert read.told("damaged")
    assert len(read.frames) >= 5
    assert read.loud(0.2, 1.0) and read.loud(3.0, 5.8)
    assert 5.8 < len(read.samples) / 16_000 < 6.4


def test_a_transport_stream_with_missing_packets_is_told_and_read_on(tmp_path: Path) -> None:
    path = make(tmp_path / "a.ts", Video(every(6), width=320, height=240), Audio(6))
    data = path.read_bytes()
    packets = [data[i : i + 188] for i in range(0, len(data), 188)]

    def is_inside_picture(index: int) -> bool:
        flags_and_pid = int.from_bytes(packets[index][1:3], "big")
        return flags_and_pid == 0x100  # the first PID FFmpeg gives out, no start of a frame

    third = len(packets) // 3
    inside = next(i for i in range(third, len(packets)) if is_inside_picture(i))
    path.write_bytes(b"".join(packets[:inside] + packets[inside + 1 :]))
    read = Read(path)
    assert read.told("damaged")
    assert len(read.frames) >= 5


@pytest.mark.parametrize(
    ("suffix", "options", "kept"),
    # Half of this avi is its index, at its end.
    [("mp4", {"movflags": "+faststart"}, 0.5), ("mkv", {}, 0.5), ("avi", {}, 0.25)],
)
def test_a_file_cut_off_is_read_as_far_as_it_goes(
    tmp_path: Path, suffix: str, options: dict[str, str], kept: float
) -> None:
    codec = "mpeg4" if suffix == "avi" else "libx264"
    video = Video(every(20), width=160, height=120, codec=codec)
    audio = Audio(20, codec="libmp3lame" if suffix == "avi" else "aac")
    path = make(tmp_path / f"a.{suffix}", video, audio, options)
    read = Read(cut_off(path, kept))
    assert read.told("seems cut off")
    assert 3 < len(read.frames) < 17
    assert read.loud(0.1, len(read.frames) - 2)


def test_a_wav_file_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", None, Audio(4, codec="pcm_s16le"))
    read = Read(cut_off(path, 0.5))
    assert read.told("seems cut off")
    assert 1.9 < len(read.samples) / 16_000 < 2.1


def test_an_mp4_cut_off_before_its_index_is_one_clear_error(tmp_path: Path) -> None:
    path = cut_off(make(tmp_path / "a.mp4", Video(every(5)), Audio(5)), 0.5)
    with pytest.raises(SourceError, match="cut off before its index") as caught:
        open_media(str(path), SourceConfig())
    assert caught.value.where == str(path)


def random_bytes(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(50_000))


@pytest.mark.parametrize(
    ("name", "write", "what"),
    [
        ("gone.mp4", lambda p: None, "no such file"),
        ("folder", lambda p: p.mkdir(), "is a folder"),
        ("notes.txt", lambda p: p.write_text("not a video\n" * 100), "not a media file"),
        ("noise.mp4", random_bytes, "not a media file"),
        ("empty.mp4", lambda p: p.write_bytes(b""), "not a media file"),
        ("empty", lambda p: p.write_bytes(b""), "not a media file"),
    ],
)
def test_what_is_no_media_file_is_one_clear_error(
    tmp_path: Path, name: str, write: object, what: str
) -> None:
    path = tmp_path / name
    write(path)  # type: ignore[operator]
    with pytest.raises(SourceError, match=what) as caught:
        open_media(str(path), SourceConfig())
    assert str(path) in str(caught.value) and caught.value.mend


def test_a_file_of_which_no_frame_decodes_is_one_clear_error(tmp_path: Path) -> None:
    video = Video(every(1), codec="mpeg4", damaged=tuple(range(10)))
    with pytest.raises(SourceError, match="nothing that can be decoded"):
        open_media(str(make(tmp_path / "a.mkv", video)), SourceConfig())


def test_a_wav_file_of_no_samples_is_one_clear_error(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", None, Audio(0.5, codec="pcm_s16le"))
    path.write_bytes(path.read_bytes()[:44])
    with pytest.raises(SourceError):
        open_media(str(path), SourceConfig())


def test_a_video_of_which_no_frame_decodes_leaves_its_audio(tmp_path: Path) -> None:
    video = Video(every(2), codec="mpeg4", damaged=tuple(range(20)))
    read = Read(make(tmp_path / "a.mkv", video, Audio(2)))
    assert not read.info.has_video and read.info.has_audio
    assert read.told("no frame of the video") and read.loud(0.1, 1.9)


def test_audio_of_which_nothing_decodes_leaves_the_video(tmp_path: Path) -> None:
    audio = Audio(3, damaged=tuple(range(100)))
    read = Read(make(tmp_path / "a.mkv", Video(every(3)), audio))
    assert read.told("no audio can be decoded") and len(read.frames) == 3
    assert not read.samples.any()


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
