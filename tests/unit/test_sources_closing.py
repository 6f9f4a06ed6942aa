"""Closing a media source while a thread reads it: nothing vanishes under the reader."""

from __future__ import annotations

import threading
from collections.abc import Generator
from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np
import pytest

from omnilive.sources.config import SourceConfig
from omnilive.sources.demux import Decoded
from omnilive.sources.media import MediaSource

WAIT_S = 30


def sound(number: int) -> Decoded:
    """A tenth of a second."""
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1_600), np.float32), "fltp", "mono")
    frame.sample_rate, frame.time_base = 16_000, Fraction(1, 16_000)
    return Decoded("audio", frame, number * 100_000, 100_000)


class StallingDemuxer:
    """Gives sound, then nothing until it is released, then more."""

    path = "a pipe"
    video = None
    audio = object()
    duration_us = None
    states_duration = False

    def __init__(self) -> None:
        self.stalled, self.release, self.closed = threading.Event(), threading.Event(), False

    def stated_start_us(self, stream: Literal["video", "audio"]) -> int | None:
        return None

    def events(self) -> Generator[Decoded, None, None]:
        yield from map(sound, range(3))
        self.stalled.set()
        assert self.release.wait(WAIT_S)
        yield sound(3)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def demuxer() -> StallingDemuxer:
    return StallingDemuxer()


def source_of(demuxer: Any) -> MediaSource:
    return MediaSource(demuxer, SourceConfig())


def test_a_file_is_left_open_while_a_thread_waits_for_it(demuxer: StallingDemuxer) -> None:
    source = source_of(demuxer)
    thread = threading.Thread(target=lambda: list(source))
    thread.start()
    assert demuxer.stalled.wait(WAIT_S)
    source.close()
    assert not demuxer.closed
    demuxer.release.set()
    thread.join(WAIT_S)
    source.close()
    assert demuxer.closed


def test_a_closed_file_gives_no_more(demuxer: StallingDemuxer) -> None:
    demuxer.release.set()
    source = source_of(demuxer)
    items = iter(source)
    next(items)
    source.close()
    assert demuxer.closed
    assert len(list(items)) < 3
