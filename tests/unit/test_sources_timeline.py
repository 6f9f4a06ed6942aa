"""The timeline: streams stay in step, a clock jump changes nothing, time never runs away."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from omnilive.sources.sampler import FrameSampler
from omnilive.sources.timeline import Timeline

SECOND = 1_000_000
FRAME_US = 40_000
BLOCK_US = 64_000


def timeline(origin_us: int = 0) -> Timeline:
    return Timeline(origin_us=origin_us, max_gap_us=30 * SECOND, max_overlap_us=200_000)


def two_streams(seconds: int, lag_us: int) -> list[tuple[str, int, int]]:
    """(stream, true time, duration) in file order, the video ``lag_us`` behind the audio."""
    video = [(t + lag_us, "video", t, FRAME_US) for t in range(0, seconds * SECOND, FRAME_US)]
    audio = [(t, "audio", t, BLOCK_US) for t in range(0, seconds * SECOND, BLOCK_US)]
    return [(stream, t, d) for _, stream, t, d in sorted(video + audio)]


@settings(deadline=None)
@given(
    origin_us=st.integers(-(10**9), 10**12),
    lag_us=st.integers(-500_000, 500_000),
    jumps=st.lists(
        st.tuples(
            st.integers(1, 19),
            st.one_of(
                st.integers(60 * SECOND, 10**11),
                st.integers(-(10**11), -SECOND),
            ),
        ),
        max_size=3,
        unique_by=lambda j: j[0],
    ),
)
def test_clock_jumps_that_all_streams_share_leave_no_trace(
    origin_us: int, lag_us: int, jumps: list[tuple[int, int]]
) -> None:
    clocks = [0]
    for _, step in sorted(jumps):
        clocks.append(clocks[-1] + step)
    # A clock that nearly returns to an earlier one is taken for that one.
    assume(all(a == b or abs(a - b) > 2 * SECOND for a in clocks for b in clocks))
    line = timeline(origin_us)
    found = 0
    for stream, true_us, duration_us in two_streams(20, lag_us):
        jumped = sum(step for second, step in jumps if true_us >= second * SECOND)
        position = line.place(stream, origin_us + true_us + jumped, duration_us)
        # The anchor is the stream's own end: exact for frames and blocks that follow without gap.
        assert abs(position.start_us - true_us) <= max(FRAME_US, BLOCK_US)
        found += bool(position.jump_us)
    assert found <= len(jumps)
    if len(jumps) == 1:
        assert found == 1


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["video", "audio"]),
            st.one_of(st.none(), st.integers(-(10**13), 10**13), st.integers(0, 60 * SECOND)),
            st.integers(0, 10**7),
        ),
        max_size=60,
    )
)
def test_any_sequence_of_stamps_gives_bounded_steps_from_zero(
    pieces: list[tuple[str, int | None, int]],
) -> None:
    line = timeline()
    ends = {"video": 0, "audio": 0}
    for stream, pts_us, duration_us in pieces:
        before_us = line.end_us
        start_us = line.place(stream, pts_us, duration_us).start_us
        assert start_us >= max(0, ends[stream] - 200_000)
        assert start_us <= max(before_us, ends[stream]) + 30 * SECOND
        ends[stream] = max(ends[stream], start_us + duration_us)


def test_one_stray_stamp_does_not_move_what_follows() -> None:
    line = timeline()
    stray = {50: -5 * SECOND, 70: 3600 * SECOND}
    for index in range(100):
        true_us = index * FRAME_US
        position = line.place("video", true_us + stray.get(index, 0), FRAME_US)
        assert position.start_us == true_us
        assert bool(position.jump_us) == (index in stray)


def test_a_pause_of_one_stream_is_a_pause_while_the_other_goes_on() -> None:
    line = timeline()
    for second in range(120):
        assert line.place("audio", second * SECOND, SECOND) == line.place(
            "audio2", second * SECOND, SECOND
        )
    late = line.place("video", 119 * SECOND, FRAME_US)
    assert (late.start_us, late.jump_us) == (119 * SECOND, 0)


def test_missing_stamps_follow_the_piece_before() -> None:
    line = timeline(origin_us=500)
    assert line.place("video", None, FRAME_US).start_us == 0
    assert line.place("video", None, FRAME_US).start_us == FRAME_US
    assert line.place("video", 500 + 3 * FRAME_US, FRAME_US).start_us == 3 * FRAME_US
    assert line.place("video", None, FRAME_US).start_us == 4 * FRAME_US


@settings(deadline=None)
@given(
    fps=st.sampled_from([0.5, 1.0, 2.0, 3.0, 7.5]),
    times=st.lists(st.integers(0, 40 * SECOND), min_size=1).map(sorted),
)
def test_the_sampler_takes_the_first_frame_of_each_tick_and_no_other(
    fps: float, times: list[int]
) -> None:
    sampler = FrameSampler(fps)
    taken = [t for t in times if sampler.takes(t)]
    expected = {}
    for t in times:
        expected.setdefault(int(t * fps // SECOND), t)
    assert taken == list(expected.values())
