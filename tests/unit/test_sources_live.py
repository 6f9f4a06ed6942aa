"""A live source: what is pushed comes out gapless, on the stream's own time, in bounded room."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive.sources.config import SourceConfig
from omnilive.sources.live import BLOCK_SAMPLES, LiveSource
from omnilive.sources.types import Frame, Pcm, SourceWarning

S = 1_000_000
RGB = np.zeros((4, 6, 3), np.uint8)


class Clock:
    def __init__(self) -> None:
        self.us = 0

    def __call__(self) -> int:
        return self.us


def reading(config: SourceConfig | None = None, **has: bool) -> tuple[LiveSource, Clock, Iterator]:
    """A source that is being read, its clock, and what is read."""
    source, clock = LiveSource(config or SourceConfig(), name="test", **has), Clock()
    return source, clock, source.items(clock)


def sound(samples: int, value: float = 0.5) -> np.ndarray:
    return np.full(samples, value, np.float32)


def heard(items: list) -> np.ndarray:
    """The joined sound, checked to be contiguous from time 0."""
    blocks = [i for i in items if isinstance(i, Pcm)]
    at = 0
    for block in blocks:
        assert block.pts_us == pytest.approx(at * S / 16_000, abs=1)
        assert 0 < len(block.samples) <= BLOCK_SAMPLES
        at += len(block.samples)
    return np.concatenate([b.samples for b in blocks]) if blocks else sound(0)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5_000), st.integers(0, 300_000)), min_size=1, max_size=12),
    st.integers(-(10**12), 10**12),
    st.integers(0, 5 * S),
)
def test_sound_keeps_its_distances_and_gaps_are_silent(
    pieces: list[tuple[int, int]], origin_us: int, now_us: int
) -> None:
    source, clock, items = reading()
    clock.us = now_us
    at_us = origin_us
    spans = []
    for count, gap_us in pieces:
        at_us += gap_us if gap_us > 50_000 else 0
        assert source.push_pcm(at_us, sound(count))
        spans.append((at_us, count))
        at_us += count * S // 16_000
    source.end()
    got = heard(list(items))
    first_us, first_count = spans[0]
    # The first piece ends at the moment it was pushed, or at the start of the stream.
    offset_us = max(now_us - first_count * S // 16_000, 0) - first_us
    assert np.count_nonzero(got) == pytest.approx(sum(c for c, _ in pieces), abs=2 * len(pieces))
    last_us, last_count = spans[-1]
    end = (last_us + offset_us) * 16_000 // S + last_count
    assert len(got) == pytest.approx(end, abs=2 * len(pieces) + 40 * 16)


def test_nothing_is_taken_before_the_session_reads_nor_after_the_end() -> None:
    source = LiveSource(SourceConfig(), name="test")
    assert not source.push_pcm(0, sound(10))
    assert not source.push_frame(0, RGB)
    source, _, items = reading()
    source.end()
    assert not source.push_pcm(0, sound(10))
    assert not source.push_frame(0, RGB)
    assert list(items) == []


def test_sound_beyond_the_limit_is_not_taken_until_some_was_read() -> None:
    source, _, items = reading()
    second = sound(16_000)
    taken = 0
    while source.push_pcm(taken * S, second):
        taken += 1
    assert taken == LiveSource.MAX_WAITING_S
    assert source.waiting_us == taken * S
    next(items)
    assert source.push_pcm(taken * S, second)


def test_frames_are_thinned_and_the_oldest_makes_way() -> None:
    source, _, items = reading()
    took = [source.push_frame(i * S // 10, RGB) for i in range(100)]
    assert took.count(True) == 10
    source.end()
    frames = [i.pts_us for i in items if isinstance(i, Frame)]
    assert frames == [6 * S, 7 * S, 8 * S, 9 * S]


def test_a_new_clock_goes_on_from_now() -> None:
    source, clock, items = reading()
    source.push_pcm(7 * S, sound(1_600))
    clock.us = 5 * S
    source.restart_clock()
    source.push_pcm(-3 * S, sound(1_600))
    source.end()
    got = heard(list(items))
    assert len(got) == pytest.approx(5 * 16_000, abs=2)
    assert np.count_nonzero(got) == 3_200


def test_a_microphone_that_went_away_is_silence() -> None:
    source, clock, items = reading(SourceConfig(stall_ms=1_000))
    source.push_pcm(0, sound(1_600))
    assert len(next(items).samples) == 1_600
    clock.us = 3 * S
    silence = [next(items) for _ in range(19)]
    assert not np.concatenate([b.samples for b in silence]).any()
    assert silence[-1].end_us == pytest.approx(2 * S, abs=100)


def test_a_paused_microphone_is_silence_a_second_at_a_time_and_loses_no_place_in_time() -> None:
    source, clock, items = reading(SourceConfig(stall_ms=500))
    source.push_pcm(0, sound(1_600))
    got = [next(items)]
    for second in range(1, 31):
        clock.us = second * S
        while got[-1].end_us < (second - 2) * S:
            got.append(next(items))
    before = got[-1].end_us
    clock.us += S
    at_once = [next(items) for _ in range(10)]
    assert at_once[-1].end_us == pytest.approx(before + S, abs=100)
    source.push_pcm(31 * S, sound(1_600))
    source.end()
    got += [*at_once, *items]
    assert np.count_nonzero(heard(got)) == 3_200
    assert got[-1].end_us == pytest.approx(31.1 * S, abs=100)


def test_without_sound_only_frames_and_notices_come() -> None:
    source, clock, items = reading(has_audio=False)
    clock.us = 60 * S
    source.push_frame(0, RGB)
    source.notice("the camera went away")
    source.end()
    frame, notice = items
    assert (frame.pts_us, notice) == (60 * S, SourceWarning(60 * S, "the camera went away"))


def test_a_large_picture_is_scaled_down() -> None:
    source, _, items = reading(SourceConfig(max_side_px=64))
    source.push_frame(0, np.zeros((200, 100, 3), np.uint8))
    source.end()
    (frame,) = items
    assert frame.rgb.shape == (64, 32, 3)


def test_discarding_ends_it_with_what_waits() -> None:
    source, _, items = reading()
    source.push_pcm(0, sound(1_600))
    source.end(discard=True)
    assert list(items) == []


@pytest.mark.parametrize("rgb", [RGB[..., :2], RGB[0], RGB.astype(np.float32), RGB[:0]])
def test_what_is_no_picture_is_refused(rgb: np.ndarray) -> None:
    source, _, _ = reading()
    with pytest.raises(ValueError, match="a frame is uint8"):
        source.push_frame(0, rgb)


@pytest.mark.parametrize("samples", [np.zeros(3), np.zeros((2, 3), np.float32)])
def test_what_is_no_sound_is_refused(samples: np.ndarray) -> None:
    source, _, _ = reading()
    with pytest.raises(ValueError, match="sound is float32"):
        source.push_pcm(0, samples)
