"""A WebRTC peer's sound and its place in a session, without a network."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.errors import ConfigError
from omnilive.service.config import WebRtcConfig
from omnilive.service.ice import ice_policy
from omnilive.service.peer_feed import PeerFeed
from omnilive.service.peer_sound import GAP_US, PeerSound
from omnilive.sources.config import SourceConfig
from omnilive.sources.live import LiveSource
from omnilive.sources.types import Frame, Pcm, samples_to_us

TONE_HZ = 310
"""A gap of some frames is no whole number of its periods."""

FRAME_S = 0.02


def tone(at_s: float, rate_hz: int, layout: str) -> av.AudioFrame:
    """20 ms of a tone that began at 0, interleaved 16-bit, as decoders of WebRTC give it."""
    channels = 2 if layout == "stereo" else 1
    times = at_s + np.arange(round(FRAME_S * rate_hz)) / rate_hz
    wave = (16_384 * np.sin(2 * np.pi * TONE_HZ * times)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.repeat(wave, channels)[None], "s16", layout)
    frame.sample_rate = rate_hz
    frame.pts, frame.time_base = round(at_s * rate_hz), Fraction(1, rate_hz)
    return frame


@given(
    st.sampled_from([8_000, 48_000]),
    st.sampled_from(["mono", "stereo"]),
    st.lists(st.integers(0, 5), min_size=20, max_size=60),
)
def test_sound_lies_where_it_was_sent_whatever_is_lost(
    rate_hz: int, layout: str, lost: list[int]
) -> None:
    sound, at_s, worst = PeerSound(), 0.0, 0.0
    for gap in lost:
        at_s += FRAME_S * (gap if gap > 2 else 0)  # 60 ms and more
        begins_us, samples = sound.take(tone(at_s, rate_hz, layout))
        at_s = round(at_s + FRAME_S, 6)
        times = begins_us / 1e6 + np.arange(len(samples)) / 16_000
        wanted = 0.5 * np.sin(2 * np.pi * TONE_HZ * times)
        # The filter rings for some milliseconds where sound begins.
        settled = slice(80, None) if gap > 2 or at_s == FRAME_S else slice(None)
        off = np.abs(samples - wanted)[settled]
        worst = max(worst, float(np.median(off)) if len(off) else 0.0)
    assert worst < 0.02


def test_small_jitter_does_not_break_the_sound_apart() -> None:
    sound = PeerSound()
    given = 0
    for index in range(50):
        frame = tone(index * FRAME_S, 48_000, "mono")
        frame.pts += (index % 3) * (GAP_US // 4) * 48_000 // 1_000_000
        begins_us, samples = sound.take(frame)
        assert begins_us == samples_to_us(given)
        given += len(samples)


def test_a_frame_without_its_time_is_an_error() -> None:
    frame = tone(0, 48_000, "mono")
    frame.pts = None
    with pytest.raises(ValueError, match="without its time"):
        PeerSound().take(frame)


def test_a_feed_takes_the_clients_place_once_it_gives_something_and_until_it_is_closed() -> None:
    now_us = 5_000_000
    source = LiveSource(SourceConfig(), name="test")
    items = source.items(lambda: now_us)
    feed = PeerFeed(source, SourceConfig(), lambda: now_us)
    picture = np.zeros((4, 4, 3), np.uint8)
    assert (feed.has_video, feed.has_audio) == (False, False)
    assert feed.wants_picture(77_000)
    feed.push_picture(77_000, picture)
    feed.push_sound(-9_000_000, np.ones(160, np.float32))
    assert (feed.has_video, feed.has_audio) == (True, True)
    feed.close()
    feed.push_picture(9_077_000, picture)
    feed.push_sound(0, np.ones(160, np.float32))
    feed.notice("not heard any more")
    assert not feed.wants_picture(9_077_000)
    assert (feed.has_video, feed.has_audio) == (False, False)
    source.end()
    taken = list(items)
    assert [item.pts_us for item in taken if isinstance(item, Frame)] == [now_us]
    sound = np.concatenate([item.samples for item in taken if isinstance(item, Pcm)])
    assert len(taken) == 1 + sum(isinstance(item, Pcm) for item in taken)
    assert float(sound.sum()) == 160  # the rest is silence


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("localhost", ("127.0.0.1",)),
        ("192.168.1.7", ("192.168.1.7",)),
        ("::1", ("::1",)),
        ("0.0.0.0", ()),
        ("::", ()),
        ("robot.local", ()),
    ],
)
def test_webrtc_listens_where_the_service_does(host: str, addresses: tuple[str, ...]) -> None:
    assert ice_policy(WebRtcConfig(), host).addresses == addresses


@pytest.mark.parametrize(
    ("config", "where"),
    [
        (WebRtcConfig(peer_networks="192.168.1.0/33"), "webrtc.peer_networks"),
        (WebRtcConfig(peer_networks="robot.local"), "webrtc.peer_networks"),
        (WebRtcConfig(ice_servers="http://stun"), "webrtc.ice_servers"),
        (WebRtcConfig(peers=0), "webrtc.peers"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(config: WebRtcConfig, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.validate()
    assert caught.value.where == where


def test_a_password_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ConfigError, match="/none/here"):
        ice_policy(WebRtcConfig(ice_password_file="/none/here"), "127.0.0.1")
