"""The answer track: pieces never overlap, a cut is exact, the WAV file is always valid."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive.errors import OutputError
from omnilive.output_config import OutputConfig
from omnilive.speech import wav
from omnilive.speech.track import AnswerTrack
from omnilive.speech.wav import WavWriter
from omnilive.speech.wav_parts import WavParts

SECOND = 1_000_000


def read_wav(path: Path) -> np.ndarray:
    with wave.open(str(path)) as f:
        assert (f.getframerate(), f.getnchannels(), f.getsampwidth()) == (16_000, 1, 2)
        return np.frombuffer(f.readframes(f.getnframes()), np.int16)


def tone(samples: int) -> np.ndarray:
    return np.full(samples, 0.5, np.float32)


PLACES = st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(0, 20_000)), max_size=12)


@settings(deadline=None)
@given(PLACES)
def test_pieces_never_overlap_and_never_start_early(places: list[tuple[int, int]]) -> None:
    track = AnswerTrack()
    end_us = 0
    for at_us, n in places:
        placed = track.place(at_us, tone(n), generation=1)
        assert placed.start_us >= max(at_us, end_us)
        # Each edge is floored to a microsecond.
        assert abs(placed.end_us - placed.start_us - n * SECOND / 16_000) <= 1
        end_us = placed.end_us if n else end_us
        assert track.end_us == end_us


@settings(deadline=None)
@given(
    places=PLACES,
    cut_us=st.integers(0, 4 * SECOND),
    settles=st.lists(st.integers(0, 5 * SECOND), max_size=4).map(sorted),
)
def test_a_cut_leaves_exact_silence_after_it_and_nothing_changed_before(
    tmp_path_factory: pytest.TempPathFactory,
    places: list[tuple[int, int]],
    cut_us: int,
    settles: list[int],
) -> None:
    track = AnswerTrack()
    path = tmp_path_factory.mktemp("track") / "a.wav"
    track.write_wav(path)
    expected = np.zeros(16_000 * 20, np.int16)
    total = 0
    for at_us, n in places:
        placed = track.place(at_us, tone(n), generation=1)
        start = -(-placed.start_us * 16 // 1000)
        expected[start : start + n] = round(0.5 * 32767)
        total += n
    cut = -(-cut_us * 16 // 1000)
    heard = int(np.count_nonzero(expected[:cut]))
    dropped_us = track.cut(cut_us)
    assert dropped_us == (total - heard) * SECOND // 16_000
    expected[cut:] = 0
    for until_us in settles:
        track.settle(until_us)
    track.close(6 * SECOND)
    got = read_wav(path)
    assert len(got) >= 6 * 16_000
    np.testing.assert_array_equal(got, expected[: len(got)])
    assert not expected[len(got) :].any()


def test_what_was_heard_cannot_be_cut_any_more(tmp_path: Path) -> None:
    track = AnswerTrack()
    track.write_wav(tmp_path / "a.wav")
    track.place(0, tone(16_000), generation=1)
    track.settle(SECOND // 2)
    assert track.cut(SECOND // 4) == SECOND // 2
    track.close()
    assert np.count_nonzero(read_wav(tmp_path / "a.wav")) == 8_000


def test_a_piece_after_a_cut_starts_no_earlier_than_asked(tmp_path: Path) -> None:
    track = AnswerTrack()
    track.place(0, tone(32_000), generation=1)
    track.cut(SECOND, generation=2)
    assert track.place(3 * SECOND // 2, tone(16_000), generation=2).start_us == 3 * SECOND // 2


def test_a_stale_generation_is_not_spoken() -> None:
    track = AnswerTrack()
    track.place(0, tone(16_000), generation=1)
    track.cut(SECOND // 2, generation=2)
    stale = track.place(SECOND // 2, tone(16_000), generation=1)
    assert stale.start_us == stale.end_us
    assert track.end_us == SECOND // 2
    fresh = track.place(SECOND // 2, tone(16_000), generation=2)
    assert (fresh.start_us, fresh.end_us) == (SECOND // 2, 3 * SECOND // 2)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3_000), max_size=6))
def test_the_wav_file_is_valid_after_every_write(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    path = tmp_path_factory.mktemp("wav") / "a.wav"
    writer = WavWriter(path)
    written = 0
    assert len(read_wav(path)) == 0
    for size in sizes:
        writer.append(tone(size))
        written += size
        assert len(read_wav(path)) == written == writer.samples
        assert path.stat().st_size == 44 + 2 * written
    writer.close()


def test_a_file_with_data_its_header_does_not_know_yet_still_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with WavWriter(path) as writer:
        writer.append(tone(100))
    with path.open("ab") as f:
        f.write(b"\x01\x02" * 50)  # as after a crash between data and header
    assert len(read_wav(path)) == 100


def test_samples_beyond_full_scale_are_clipped_not_wrapped(tmp_path: Path) -> None:
    with WavWriter(tmp_path / "a.wav") as writer:
        writer.append(np.array([2.0, -2.0, 1.0, 0.0], np.float32))
    assert read_wav(tmp_path / "a.wav").tolist() == [32767, -32767, 32767, 0]


def test_a_full_disk_is_one_output_error_and_keeps_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.wav"
    track = AnswerTrack()
    track.write_wav(path)
    track.place(0, tone(16_000), generation=1)
    track.settle(SECOND // 4)

    def no_space(self: WavWriter, offset: int, data: bytes) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(WavWriter, "_write", no_space)
    with pytest.raises(OutputError, match="No space left"):
        track.settle(SECOND // 2)
    with pytest.raises(OutputError):
        track.close()
    assert len(read_wav(path)) == 4_000


def test_the_size_limit_of_wav_is_an_output_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wav, "MAX_SAMPLES", 150)
    with WavWriter(tmp_path / "a.wav") as writer:
        writer.append(tone(100))
        with pytest.raises(OutputError, match="4 GiB"):
            writer.append(tone(100))
    assert len(read_wav(tmp_path / "a.wav")) == 100


def sound(folder: Path) -> dict[str, int]:
    """Samples in each part."""
    return {p.name: len(read_wav(p)) for p in sorted(folder.glob("*.wav"))}


@settings(deadline=None)
@given(st.lists(st.integers(0, 300), max_size=12), st.integers(20, 100))
def test_parts_together_hold_every_sample_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], part_samples: int
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    writer = WavParts(folder / "a.wav", 44 + 2 * part_samples, parts=10_000)
    written = 0
    for size in sizes:
        writer.append((np.arange(written, written + size) / 32767).astype(np.float32))
        written += size
        assert writer.samples == written
    writer.close()
    names = ["a.wav", *(f"a-{i}.wav" for i in range(2, len(list(folder.iterdir())) + 1))]
    pieces = [read_wav(folder / name) for name in names]
    assert all(len(piece) == part_samples for piece in pieces[:-1])
    assert np.concatenate(pieces).tolist() == list(range(written))


def test_a_track_that_fills_a_file_goes_on_in_the_next_and_the_oldest_goes(tmp_path: Path) -> None:
    config = OutputConfig(audio_part_bytes=44 + 2 * 16_000, audio_parts=2)
    track = AnswerTrack()
    track.write_wav(tmp_path / "answers.wav", config)
    track.place(SECOND // 2, tone(16_000), generation=1)
    track.settle(3 * SECOND // 2)
    assert sound(tmp_path) == {"answers-2.wav": 8_000, "answers.wav": 16_000}
    heard = [read_wav(tmp_path / name) for name in ("answers.wav", "answers-2.wav")]
    assert [int(np.count_nonzero(part)) for part in heard] == [8_000, 8_000]
    track.close(7 * SECOND // 2)
    assert sound(tmp_path) == {"answers-3.wav": 16_000, "answers-4.wav": 8_000}


def test_a_new_track_leaves_no_part_of_an_earlier_one(tmp_path: Path) -> None:
    for name in ("answers-2.wav", "answers-9.wav", "answers-mine.wav"):
        (tmp_path / name).write_bytes(b"old")
    track = AnswerTrack()
    track.write_wav(tmp_path / "answers.wav")
    track.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answers-mine.wav", "answers.wav"]


def test_a_next_part_that_cannot_be_made_loses_nothing_written(tmp_path: Path) -> None:
    writer = WavParts(tmp_path / "a.wav", 44 + 2 * 100, parts=2)
    (tmp_path / "a-2.wav").mkdir()
    for _ in range(2):
        with pytest.raises(OutputError, match=r"a-2\.wav"):
            writer.append(tone(150))
        assert writer.samples == 100
    writer.close()
    assert len(read_wav(tmp_path / "a.wav")) == 100


def test_a_path_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        AnswerTrack().write_wav(tmp_path / "missing" / "a.wav")


def test_settled_audio_leaves_memory() -> None:
    track = AnswerTrack()
    for second in range(50):
        track.place(second * SECOND, tone(8_000), generation=second)
        track.settle(second * SECOND)
    assert len(track._pieces) == 1
