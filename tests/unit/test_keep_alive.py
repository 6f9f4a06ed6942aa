"""Keeping a fake device awake: when it is given a piece of work, and when it may rest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from omnilive.engine.config import EngineConfig
from omnilive.errors import ConfigError
from omnilive.lanes import Lane
from test_cuda_lanes import Device

IDLE_US, LIMIT_US, SECOND_US = 50_000, 3_000_000, 1_000_000
CONFIG = EngineConfig(keep_alive_ms=50, keep_alive_limit_ms=3_000)


class Kept(Device):
    """Device lanes with a keep-alive that is called by hand, as its thread would call it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        started: list[Callable[[], None]] = []
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", lambda thread: started.append(thread.run))
            super().__init__(4, CONFIG)
            self.lanes.lane(Lane.SEE)
        assert len(started) == 1
        self.keeper = self.lanes._keep_alive
        self.pieces = 0

        def count(address: int, value: int, nbytes: int, stream: int) -> object:
            assert self.cuda.priorities[stream] == 0  # the fake's lowest
            assert stream != self.lanes.lane(Lane.SEE).stream.handle
            self.pieces += 1
            return clear(address, value, nbytes, stream)

        clear, self.cuda.cudaMemsetAsync = self.cuda.cudaMemsetAsync, count  # type: ignore[method-assign]

    def run_until(self, time_us: int, *, device: bool = True) -> None:
        """Wake the keeper whenever it asks to be, until ``time_us``."""
        while (wait_us := self.keeper.tick()) is not None:
            assert wait_us > 0
            if device:
                self.finish()
            if self.clock.now_us() + wait_us > time_us:
                break
            self.clock.advance_to(self.clock.now_us() + wait_us)
        self.clock.advance_to(time_us)

    def finish(self) -> None:
        """Let the device do all that it was given."""
        for handle in self.cuda.queues:
            self.cuda.drain(handle)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    device = Kept(monkeypatch)
    yield device
    device.lanes.close()


def test_between_frames_the_device_is_given_a_piece_every_so_often(kept: Kept) -> None:
    for second in range(1, 6):
        kept.submit(Lane.SEE, "frame")
        kept.run_until(second * SECOND_US)
    # Twenty in each second, but for the moment of the frame.
    assert 5 * 18 <= kept.pieces <= 5 * 20
    assert kept.log == ["frame"] * 5


def test_frames_that_come_sooner_than_that_need_no_piece(kept: Kept) -> None:
    for frame in range(1, 50):
        kept.submit(Lane.SEE, "frame")
        kept.run_until(frame * (IDLE_US - 10_000))
    assert kept.pieces == 0


def test_a_device_that_works_is_given_nothing(kept: Kept) -> None:
    kept.submit(Lane.SEE, "long")
    kept.run_until(SECOND_US, device=False)
    assert kept.pieces == 0 and kept.log == []
    kept.finish()
    kept.run_until(SECOND_US + 2 * IDLE_US)
    assert kept.pieces >= 1


def test_a_piece_that_is_not_done_is_not_followed_by_another(kept: Kept) -> None:
    kept.submit(Lane.SEE, "frame").wait()
    kept.run_until(SECOND_US, device=False)
    assert kept.pieces == 1


def test_a_paused_source_lets_the_device_rest_and_the_next_frame_wakes_it(kept: Kept) -> None:
    kept.submit(Lane.SEE, "frame")
    kept.run_until(LIMIT_US)
    given = kept.pieces
    assert given > 0
    assert kept.keeper.tick() is None
    kept.run_until(LIMIT_US + 3_600 * SECOND_US)
    assert kept.pieces == given
    assert not kept.keeper._wake.is_set()
    kept.submit(Lane.SEE, "frame")
    assert kept.keeper._wake.is_set()
    kept.run_until(kept.clock.now_us() + SECOND_US)
    assert kept.pieces > given


def test_its_thread_ends_with_the_lanes() -> None:
    device = Device(4, EngineConfig(keep_alive_ms=5, keep_alive_limit_ms=0))
    device.submit(Lane.SEE, "frame")
    keeper = device.lanes._keep_alive._thread
    assert keeper.is_alive()
    device.lanes.close()
    assert not keeper.is_alive()


def test_without_being_asked_for_there_is_none() -> None:
    before = threading.active_count()
    device = Device(4)
    device.submit(Lane.SEE, "frame")
    assert device.lanes._keep_alive is None and threading.active_count() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [("keep_alive_ms", 1), ("keep_alive_ms", -5), ("keep_alive_limit_ms", -1)],
)
def test_odd_times_are_refused(field: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"engine.{field}"):
        EngineConfig(**{field: value}).validate()
