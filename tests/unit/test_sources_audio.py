"""Audio joining and ordering: exact silence, exact trimming, nothing lost, everything in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive.sources.audio import AudioJoiner, mono_float
from omnilive.sources.interleave import Interleaver
from omnilive.sources.types import Frame, Pcm, SourceWarning, samples_to_us

SECOND = 1_000_000
JITTER_US = 40_000


@settings(deadline=None)
@given(
    rate=st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000]),
    pieces=st.lists(
        st.tuples(st.integers(-2 * SECOND, 2 * SECOND), st.integers(1, 30_000)), max_size=10
    ),
)
def test_length_always_matches_time_to_a_sample(rate: int, pieces: list[tuple[int, int]]) -> None:
    joiner = AudioJoiner(JITTER_US)
    total = 0
    for off_us, n in pieces:
        time_us = max(0, joiner.position_us + off_us)
        position_us = joiner.position_us
        joined = joiner.push(time_us, np.ones(n, np.float32), rate)
        total += len(joined.samples)
        off_us = time_us - position_us
        assert joined.silence_us == (off_us if off_us > JITTER_US else 0)
        if off_us < -JITTER_US:
            assert joined.trimmed_us > 0
        end_us = position_us + joined.silence_us - joined.trimmed_us + n * SECOND // rate
        assert abs(joiner.position_us - end_us) <= 150
    end_us = joiner.position_us
    total += len(joiner.fill(end_us))
    # Each end of a run is rounded to a sample (62.5 µs) once.
    assert abs(total * SECOND / 16_000 - end_us) <= 63 * (len(pieces) + 2)


def test_a_gap_is_exactly_silent_and_what_follows_is_in_its_place() -> None:
    joiner = AudioJoiner(JITTER_US)
    tone = np.full(16_000, 0.5, np.float32)
    first = joiner.push(0, tone, 16_000)
    second = joiner.push(3 * SECOND, tone, 16_000)
    signal = np.concatenate([first.samples, second.samples, joiner.fill(5 * SECOND)])
    expected = np.zeros(80_000, np.float32)
    expected[:16_000] = expected[48_000:64_000] = 0.5
    np.testing.assert_array_equal(signal, expected)
    assert (first.silence_us, second.silence_us) == (0, 2 * SECOND)


def test_an_overlap_is_trimmed_and_nothing_else() -> None:
    joiner = AudioJoiner(JITTER_US)
    ramp = np.arange(16_000, dtype=np.float32) / 16_000
    joiner.push(0, ramp, 16_000)
    joined = joiner.push(SECOND - 100_000, ramp, 16_000)
    assert joined.trimmed_us == 100_000
    np.testing.assert_array_equal(joined.samples, ramp[1_600:])
    assert len(joiner.push(SECOND, ramp[:1_000], 16_000).samples) == 0


def test_resampled_audio_keeps_its_tone_and_level_across_pieces() -> None:
    t = np.arange(44_100 * 2) / 44_100
    wave = (0.5 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    joiner = AudioJoiner(JITTER_US)
    parts = [
        joiner.push(start * SECOND // 44_100, wave[start : start + 1024], 44_100).samples
        for start in range(0, len(wave), 1024)
    ]
    signal = np.concatenate([*parts, joiner.fill(2 * SECOND)])
    assert len(signal) == 32_000
    ideal = 0.5 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)
    assert np.abs(signal - ideal)[500:-500].max() < 1e-3


def test_a_change_of_rate_in_mid_stream_leaves_no_hole() -> None:
    joiner = AudioJoiner(JITTER_US)
    ones = np.ones(44_100, np.float32)
    parts = [
        joiner.push(0, ones, 44_100).samples,
        joiner.push(SECOND, ones[:8_000], 8_000).samples,
        joiner.push(2 * SECOND, ones[:16_000], 16_000).samples,
        joiner.fill(3 * SECOND),
    ]
    signal = np.concatenate(parts)
    assert len(signal) == 48_000
    assert np.mean(signal > 0.9) > 0.98


@pytest.mark.parametrize(
    ("dtype", "half"),
    [(np.int16, 1 << 14), (np.int32, 1 << 30), (np.uint8, 192), (np.float32, 0.5), (float, 0.5)],
)
@pytest.mark.parametrize("planar", [True, False])
def test_every_sample_format_and_layout_becomes_mono_float(
    dtype: type, half: float, planar: bool
) -> None:
    zero = 128 if dtype is np.uint8 else 0
    stereo = np.array([[half] * 4, [zero] * 4], dtype)
    raw = stereo if planar else stereo.T.reshape(1, -1)
    mono = mono_float(raw, channels=2, planar=planar)
    assert mono.dtype == np.float32
    np.testing.assert_allclose(mono, 0.25)


def test_the_low_frequency_channel_is_left_out_and_full_scale_does_not_clip() -> None:
    surround = np.full((6, 4), 1.0, np.float32)
    surround[3] = -1.0
    np.testing.assert_array_equal(mono_float(surround, channels=6, planar=True, lfe=3), 1.0)


def test_samples_that_are_no_numbers_or_too_loud_are_tamed() -> None:
    raw = np.array([[np.nan, np.inf, -np.inf, 3.0, -3.0, 0.5]], np.float32)
    assert mono_float(raw, channels=1, planar=True).tolist() == [0, 1, -1, 1, -1, 0.5]


def end_us(item: Frame | Pcm | SourceWarning) -> int:
    return item.end_us if isinstance(item, Pcm) else item.pts_us


PICTURE = np.zeros((1, 1, 3), np.uint8)


@settings(deadline=None)
@given(
    frame_times=st.lists(st.integers(0, 3 * SECOND), max_size=20, unique=True).map(sorted),
    audio=st.lists(st.integers(0, 5_000), max_size=20),
    order=st.lists(st.booleans(), max_size=60),
    has_video=st.booleans(),
)
def test_items_come_in_order_of_their_end_and_none_is_lost(
    frame_times: list[int], audio: list[int], order: list[bool], has_video: bool
) -> None:
    if not has_video:
        frame_times = []
    joint = Interleaver(has_video=has_video, has_audio=bool(audio))
    frames = [Frame(t, PICTURE) for t in frame_times]
    ramp = np.arange(sum(audio), dtype=np.float32)
    blocks = np.split(ramp, np.cumsum(audio))[:-1] if audio else []
    out: list[Frame | Pcm | SourceWarning] = []
    for video_next in [*order, *[True] * len(frames), *[False] * len(blocks)]:
        if video_next and frames:
            frame = frames.pop(0)
            joint.add(frame)
            joint.advance_video(frame.pts_us)
        elif not video_next and blocks:
            joint.add_samples(blocks.pop(0))
        out += joint.ready()
    out += joint.finish()
    ends = [end_us(item) for item in out]
    assert ends == sorted(ends)
    pcm = [item for item in out if isinstance(item, Pcm)]
    heard = np.concatenate([p.samples for p in pcm]) if pcm else ramp[:0]
    np.testing.assert_array_equal(heard, ramp)
    assert [item.pts_us for item in out if isinstance(item, Frame)] == frame_times
    at = 0
    for index, block in enumerate(pcm):
        assert block.pts_us == samples_to_us(at)
        assert len(block.samples) == 1_600 or index == len(pcm) - 1
        at += len(block.samples)


def test_a_frame_waits_only_for_the_audio_before_it() -> None:
    joint = Interleaver(has_video=True, has_audio=True)
    joint.add(Frame(150_000, PICTURE))
    joint.advance_video(150_000)
    assert joint.ready() == []
    joint.add_samples(np.zeros(2_400, np.float32))
    assert [type(i) for i in joint.ready()] == [Pcm, Frame]
