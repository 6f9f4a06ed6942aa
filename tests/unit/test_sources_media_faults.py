"""Faulty media files: what can be read is read and the fault told; the rest is one clear error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media_maker import (
    Audio,
    Video,
    cut_off,
    every,
    make,
)
from media_reading import Read
from omnilive.errors import SourceError
from omnilive.sources.config import SourceConfig
from omnilive.sources.media import open_media


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
        ("noise.bin", random_bytes, "not a media file"),
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
