"""One WebRTC peer: its offer becomes an answer, its tracks pictures and sound of a session.

Needs aiortc. It decides nothing about HTTP, and who may publish has been decided before.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any

import av
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from omnilive.service.config import WebRtcConfig
from omnilive.service.ice import IcePolicy
from omnilive.service.offer import OfferError, guarded_offer
from omnilive.service.peer_feed import PeerFeed
from omnilive.service.peer_sound import PeerSound
from omnilive.sources.picture import rgb_of
from omnilive.sources.types import US_PER_SECOND

ID_BYTES = 8

WATCH_S = 0.5
"""How often a peer is looked after, seconds."""

RATE_S = 5.0
"""Over how long what a peer sends is averaged, seconds."""

CLOSE_S = 5.0
"""How long a peer's sockets and decoders may take to close, seconds."""

BEHIND_S = 10.0
"""A peer's pictures that are decoded so much later than they were sent come faster than this
machine decodes them, seconds; what waits for the decoder has no other limit."""

DRIFT = 1e-3
"""Two clocks differ by less than this."""

MOST_DATAGRAMS = 2_048
"""Datagrams that may wait to be read, anybody's: the newest make way, as they would in a kernel."""

log = logging.getLogger(__name__)


class Peer:
    """A connection that a peer publishes through: ``answer`` it, then ``serve`` until it leaves."""

    def __init__(self, config: WebRtcConfig, policy: IcePolicy, most_pixels: int) -> None:
        """Prepare; ``most_pixels`` is the largest picture taken, pixels."""
        self.id = secrets.token_hex(ID_BYTES)
        self._config = config
        self._policy = policy
        self._most_pixels = most_pixels
        servers = [RTCIceServer(url, policy.username, policy.password) for url in policy.servers]
        # An empty list, not none: none would ask a server of the library's choice.
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._tracks: list[MediaStreamTrack] = []
        self._connection.on("track", self._tracks.append)
        self._connection.on("connectionstatechange", self._on_state)
        self._now_s = asyncio.get_running_loop().time
        self._heard_s = self._now_s()
        self._left = asyncio.Event()
        self._why = ""
        self._is_connected = False
        self._feed: PeerFeed | None = None
        self._received: list[tuple[float, int]] = []

    async def answer(self, offer: str) -> str:
        """The SDP answer to an offer, with all addresses to reach this service at.

        Raises:
            OfferError: it is not taken.
        """
        guarded = guarded_offer(offer, self._policy)
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(guarded, "offer"))
            _bound_agents(self._connection, self._policy.addresses)
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except Exception as e:  # the library raises whatever it stumbles on in what it was offered
            log.info("an offer of a WebRTC peer cannot be answered: %s", e)
            raise OfferError(422, "the offer has nothing that this service can receive") from e
        return str(self._connection.localDescription.sdp)

    async def serve(self, feed: PeerFeed, ended: asyncio.Event) -> None:
        """Hand its pictures and sound to ``feed`` until it leaves or the session has ``ended``."""
        self._feed = feed
        tasks = [asyncio.ensure_future(self._take(track, feed)) for track in self._tracks]
        tasks.append(asyncio.ensure_future(self._watch(feed, ended)))
        try:
            self._on_state()
            await self._left.wait()
        finally:
            feed.notice(f"the WebRTC peer {self._why}; it may come back")
            feed.close()
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    log.error("a WebRTC peer failed", exc_info=outcome)
            await self.close()

    def leave(self, why: str) -> None:
        """Have ``serve`` end; ``why``: what the peer did, for the log."""
        self._why = self._why or why
        self._left.set()

    async def close(self) -> None:
        """Close its sockets and end its threads."""
        try:
            await asyncio.wait_for(self._connection.close(), CLOSE_S)
        except asyncio.TimeoutError:
            log.warning("a WebRTC peer's connection does not close")

    def _on_state(self) -> None:
        state = self._connection.connectionState
        if state == "connected" and self._feed is not None and not self._is_connected:
            self._is_connected = True
            self._heard_s = self._now_s()
            self._feed.notice("connected to a WebRTC peer")
        elif state in ("failed", "closed"):
            self.leave("has gone")

    async def _take(self, track: MediaStreamTrack, feed: PeerFeed) -> None:
        take = self._hear if track.kind == "audio" else self._see
        try:
            await take(track, feed)
        except MediaStreamError:
            self.leave("has ended its stream")
        except Exception:  # a fault of the service: nobody would take what the peer goes on sending
            log.exception("the %s of a WebRTC peer cannot be taken", track.kind)
            self.leave(f"sends {track.kind} that cannot be taken")

    async def _hear(self, track: MediaStreamTrack, feed: PeerFeed) -> None:
        sound = PeerSound()
        while True:
            frame = await track.recv()
            if isinstance(frame, AudioFrame):
                self._heard_s = self._now_s()
                feed.push_sound(*sound.take(frame))

    async def _see(self, track: MediaStreamTrack, feed: PeerFeed) -> None:
        began: tuple[float, float] | None = None
        showing: asyncio.Future[None] | None = None
        while True:
            frame = await track.recv()
            if not isinstance(frame, VideoFrame) or frame.pts is None or not frame.time_base:
                continue
            self._heard_s = self._now_s()
            if frame.width * frame.height > self._most_pixels:
                self.leave(f"sends pictures of {frame.width}x{frame.height} pixels")
                return
            at_s = float(frame.pts * frame.time_base)
            began = began or (self._heard_s, at_s)
            passed_s = self._heard_s - began[0]
            if passed_s - (at_s - began[1]) > BEHIND_S + DRIFT * passed_s:
                self.leave("sends pictures faster than they can be decoded")
                return
            pts_us = round(at_s * US_PER_SECOND)
            # One at a time, and not waited for: what is decoded meanwhile must not pile up.
            if (showing is None or showing.done()) and feed.wants_picture(pts_us):
                showing = asyncio.ensure_future(_show(frame, pts_us, feed))

    async def _watch(self, feed: PeerFeed, ended: asyncio.Event) -> None:
        began_s = self._now_s()
        while not self._left.is_set():
            now_s = self._now_s()
            if ended.is_set():
                self.leave("is not needed any more: the session has ended")
            elif feed.closed:
                self.leave("was replaced")
            elif not self._is_connected:
                if now_s - began_s > self._config.negotiation_s:
                    self.leave(f"did not connect within {self._config.negotiation_s:g} s")
            elif now_s - self._heard_s > self._config.idle_s:
                self.leave(f"sent nothing for {self._config.idle_s:g} s")
            elif await self._bytes_per_s(now_s) > self._config.bytes_per_s:
                self.leave("sends more than webrtc.bytes_per_s")
            await asyncio.sleep(WATCH_S)

    async def _bytes_per_s(self, now_s: float) -> float:
        """What came over the last ``RATE_S``, bytes a second; 0 before so much time has passed."""
        report = await self._connection.getStats()
        received = sum(getattr(entry, "bytesReceived", 0) for entry in report.values())
        self._received.append((now_s, received))
        while len(self._received) > 1 and now_s - self._received[1][0] >= RATE_S:
            self._received.pop(0)
        then_s, before = self._received[0]
        return (received - before) / (now_s - then_s) if now_s - then_s >= RATE_S else 0.0


async def _show(frame: VideoFrame, pts_us: int, feed: PeerFeed) -> None:
    try:
        rgb = await asyncio.to_thread(rgb_of, frame, feed.max_side_px)
    except (av.error.FFmpegError, ValueError, MemoryError) as e:
        feed.notice(f"a picture cannot be converted ({e})")
    else:
        feed.push_picture(pts_us, rgb)


class _Datagrams(asyncio.Queue[Any]):
    """What came and was not read yet, within a limit; the library's own has none."""

    def put_nowait(self, item: Any) -> None:
        """Keep ``item`` if there is room; None, which ends the reading, always."""
        if item is None or self.qsize() < MOST_DATAGRAMS:
            super().put_nowait(item)


def _bound_agents(connection: RTCPeerConnection, addresses: Sequence[str]) -> None:
    """Have ICE keep few datagrams, and open ports at ``addresses`` alone; everywhere when empty.

    The library has no setting for either: its agent's queue and the step that opens its ports are
    replaced before it is used.
    """
    for transceiver in connection.getTransceivers():
        agent: Any = transceiver.receiver.transport.transport.iceGatherer._connection
        agent._queue = _Datagrams()
        if addresses:
            agent.get_component_candidates = partial(
                _gather_at, agent.get_component_candidates, list(addresses)
            )


async def _gather_at(
    gather: Any, chosen: Sequence[str], component: int, addresses: Sequence[str]
) -> Any:
    """Candidates at ``chosen`` instead of ``addresses``, all those of this machine."""
    return await gather(component=component, addresses=chosen)
