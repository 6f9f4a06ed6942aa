"""Frames become clips and clips memory; none is lost without a word."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

import pytest

import memory_fakes
from memory_form import Geometry, Stream, incremental_work
from omnilive import events
from omnilive.errors import OutputError
from omnilive.memory.config import SegmentationConfig
from omnilive.session.config import TurnConfig
from omnilive.session.costs import VirtualCostConfig
from session_room import Room, S


def shades(room: Room, frames: int, scene: int) -> None:
    """Frames a second apart, a new scene every ``scene`` frames."""
    for second in range(frames):
        room.show(second, shade=(100, 30)[second // scene % 2])


@pytest.mark.parametrize("frame_us", [25_000, 999_999, 1_600_000])
def test_the_last_frame_reaches_memory_however_late_it_is_encoded(frame_us: int) -> None:
    room = Room(costs=VirtualCostConfig(frame_us=frame_us))
    shades(room, 6, 6)
    room.run(5.5)
    assert [e.pts_us for e in room.events(events.FrameEncoded)] == [i * S for i in range(6)]
    closed = room.only(events.ClipClosed)
    assert (closed.frames, closed.end_us, closed.reason) == (6, 6 * S, "end")
    assert [c.frame_pts[-1] for c in room.store.clips] == [5 * S]
    assert room.events(events.MemoryIntegrated)[-1].clips == 1


def test_the_open_clip_ends_when_the_last_frame_under_way_is_dropped() -> None:
    room = Room(costs=VirtualCostConfig(frame_us=60_000_000))
    shades(room, 5, 5)
    room.run(5)
    dropped = [e.pts_us for e in room.events(events.FrameDropped)]
    # One is being encoded and two wait; the older ones were let go.
    assert dropped == [1 * S, 2 * S]
    assert room.only(events.ClipClosed).frames == 3
    assert (room.watcher.frames, room.watcher.frames_dropped) == (3, 2)


@pytest.mark.parametrize(("frame_us", "clip"), [(25_000, 3), (2_500_000, 1)])
def test_frames_are_let_go_while_memory_is_behind_and_no_clip_is_lost(
    frame_us: int, clip: int
) -> None:
    room = Room(
        segmentation=SegmentationConfig(clip_min=clip, clip_max=clip),
        costs=VirtualCostConfig(frame_us=frame_us, memory_token_us=4_000_000),
    )
    shades(room, 90, 90)
    for second in range(40, 90, 5):
        room.ask(second + 0.5, "what is this")
    room.run(90)
    encoded = [e.pts_us for e in room.events(events.FrameEncoded)]
    dropped = [e.pts_us for e in room.events(events.FrameDropped)]
    assert dropped and sorted(encoded + dropped) == [i * S for i in range(90)]
    closed = [e.clip for e in room.events(events.ClipClosed)]
    assert [e.clip for e in room.events(events.ClipCompressed)] == closed
    assert sum(e.frames for e in room.events(events.ClipClosed)) == len(encoded)


@pytest.mark.parametrize(("frame_us", "missed"), [(S, 0), (S + 1, 1)])
def test_a_frame_seen_after_the_next_one_is_due_is_counted_as_late(
    frame_us: int, missed: int
) -> None:
    room = Room(costs=VirtualCostConfig(frame_us=frame_us))
    room.show(0)
    room.run(2)
    see = room.lanes.figures()["see"]
    assert (see["done"], see.get("missed", 0)) == (1, missed)


def test_a_clip_compressed_for_a_question_is_not_compressed_again_when_it_closes() -> None:
    room = Room()
    shades(room, 4, 4)
    room.ask(3.5, "what is this")
    room.run(4)
    assert room.only(events.ClipCompressed).tokens_computed == 0
    asked_late = Room()
    shades(asked_late, 4, 4)
    asked_late.ask(2.5, "what is this")
    asked_late.run(4)
    assert asked_late.only(events.ClipCompressed).tokens_computed > 0


def test_a_clip_is_compressed_once_it_closes_and_its_keyframes_are_named() -> None:
    room = Room()
    shades(room, 8, 4)
    room.run(8)
    assert [(e.clip, e.frames, e.reason) for e in room.events(events.ClipClosed)] == [
        (0, 4, "cut"),
        (1, 4, "end"),
    ]
    seen = [e.keyframe for e in room.events(events.FrameEncoded)]
    assert [k.id for clip in room.store.clips for k in clip.keyframes] == seen


def test_a_clip_that_closes_while_the_words_are_transcribed_costs_nothing_again() -> None:
    """Memory was made ready for the question at the endpoint, and is kept for it."""
    costs = VirtualCostConfig(audio_decode_step_us=4_000_000)
    room = Room(turn=TurnConfig(snapshot="speech_end"), costs=costs)
    for second in range(10):
        room.show(second, shade=100 if second < 5 else 30)
    room.say(2.3, 2.9, "what is this")
    room.run(10)
    ((ended_us, _),) = room.timed(events.SpeechEnded)
    ((grounded_us, grounded),) = room.timed(events.Grounded)
    (first, _) = room.timed(events.ClipClosed)
    assert ended_us < first[0] < grounded_us and grounded.clips == (0,)

    def text_tokens(start: int, end: int) -> int:
        return len(f"This contains a clip sampled in {start} to {end} seconds".encode())

    spec = memory_fakes.SPEC
    form = Geometry(spec.grid**2, spec.slots, text_tokens, max_clips=32)
    asked_of = sum(1 for e in room.timed(events.FrameEncoded) if e[0] < ended_us)
    stream = Stream((5, 5), ((0, asked_of),))
    assert room.memory_lm.tokens == incremental_work(stream, form).lm_tokens


def test_a_picture_that_cannot_be_written_ends_the_session() -> None:
    room = Room()

    def fail(key: str, done: Callable[[], None]) -> Future[None]:
        written: Future[None] = Future()
        written.set_exception(OutputError("is full", where="disk", mend="Free space."))
        done()
        return written

    room.album.write_soon = fail  # type: ignore[method-assign]
    room.show(0)
    with pytest.raises(OutputError, match="is full"):
        room.run(1)
    assert not room.events(events.FrameEncoded)
