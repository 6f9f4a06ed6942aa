"""WHIP: what is refused and how, and what a real peer's tracks become in a session."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from omnilive.service.config import ClientConfig, ServiceConfig, WebRtcConfig
from omnilive.service.ice import IcePolicy, ice_policy
from service_fakes import FakeFeed, FakeSession, Service, connect, running

pytest.importorskip("aiortc", reason="needs aiortc: pip install 'omnilive-edge[webrtc]'")

from aiortc import RTCConfiguration, RTCIceGatherer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from omnilive.service.offer import OfferError, guarded_offer
from omnilive.service.peer import MOST_DATAGRAMS, Peer

TOKEN = "a-token-of-some-length"
SDP = {"Content-Type": "application/sdp"}
TONE_HZ = 440
GREY = 90


class Tone(AudioStreamTrack):
    """A tone, 8 kHz mono, at the speed it is heard."""

    _at = 0

    async def recv(self) -> Any:
        frame = await super().recv()
        phase = 2 * np.pi * TONE_HZ * (np.arange(frame.samples) + self._at) / frame.sample_rate
        self._at += frame.samples
        frame.planes[0].update((10_000 * np.sin(phase)).astype(np.int16).tobytes())
        return frame


class Grey(VideoStreamTrack):
    """Grey pictures of 64x48, at the speed they are seen; ``size`` may be changed."""

    size = (48, 64)

    async def recv(self) -> Any:
        import av

        pts, time_base = await self.next_timestamp()
        frame = av.VideoFrame.from_ndarray(np.full((*self.size, 3), GREY, np.uint8))
        frame.pts, frame.time_base = pts, time_base
        return frame


@dataclass
class Publisher:
    """A peer that publishes: ``response`` to its offer, and where to end it."""

    connection: RTCPeerConnection
    response: ClientResponse

    async def close(self) -> None:
        await self.connection.close()


def bare() -> RTCPeerConnection:
    """A peer that asks no server."""
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


async def publish(
    http: TestClient, session: FakeSession, *tracks: Any, trickles: bool = False, extra: str = ""
) -> Publisher:
    """Offer the tracks; ``trickles``: without a candidate, as browsers begin; ``extra``: lines."""
    connection = bare()
    for track in tracks:
        connection.addTrack(track)
    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp
    if trickles:
        offer = "".join(
            line for line in offer.splitlines(True) if "candidate" not in line.split(":")[0]
        )
    path = f"/v1/sessions/{session.names.id}/whip"
    response = await http.post(path, data=offer + extra, headers=SDP)
    answer = await response.text()
    if response.status == 201:
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    return Publisher(connection, response)


def serve(
    folder: Path, act: Callable[[Service, TestClient], Awaitable[Any]], **options: Any
) -> Any:
    """Run ``act`` on a service, ``webrtc`` being its settings of WebRTC."""
    client = options.pop("client", ClientConfig(request_burst=99))

    async def run() -> Any:
        made = Service(folder, ServiceConfig(sessions_per_client=9), client, **options)
        async with running(made) as http:
            return await act(made, http)

    return asyncio.run(asyncio.wait_for(run(), 60))


async def session_of(service: Service, http: TestClient) -> FakeSession:
    await (await connect(http)).receive_json()
    return service.made[-1]


def told(feed: FakeFeed, what: str) -> bool:
    return any(what in notice for notice in feed.notices)


async def code_of(response: ClientResponse) -> tuple[int, str]:
    return response.status, (await response.json())["error"]["code"]


async def made_offer() -> str:
    connection = bare()
    connection.addTrack(Tone())
    connection.addTrack(Grey())
    await connection.setLocalDescription(await connection.createOffer())
    text = str(connection.localDescription.sdp)
    await connection.close()
    return text


OFFER = asyncio.run(made_offer())


@pytest.mark.parametrize("trickles", [False, True])
def test_a_peers_pictures_and_sound_reach_the_session_on_clocks_that_run_as_sent(
    tmp_path: Path, trickles: bool
) -> None:
    async def act(service: Service, http: TestClient) -> None:
        session = await session_of(service, http)
        peer = await publish(http, session, Tone(), Grey(), trickles=trickles)
        assert peer.response.status == 201
        assert peer.response.content_type == "application/sdp"
        place = peer.response.headers["Location"]
        assert place.startswith(f"/v1/sessions/{session.names.id}/whip/")
        (feed,) = session.fed
        await feed.until(
            lambda f: len(f.pictures) >= 5 and sum(len(s) for _, s in f.sound) >= 16_000
        )
        for _, rgb in feed.pictures:
            assert rgb.shape == (48, 64, 3)
            assert abs(float(rgb.mean()) - GREY) < 6
        assert np.all(np.diff([pts_us for pts_us, _ in feed.pictures]) > 0)
        heard = [(pts_us, samples) for pts_us, samples in feed.sound if len(samples)]
        for (pts_us, samples), (next_us, _) in pairwise(heard):
            assert abs(next_us - pts_us - len(samples) * 1_000_000 // 16_000) <= 40_000
        tail = np.concatenate([samples for _, samples in heard])[-8_000:]
        spectrum = np.abs(np.fft.rfft(tail * np.hanning(len(tail))))
        assert abs(int(spectrum.argmax()) * 16_000 / len(tail) - TONE_HZ) < 5
        assert (await http.delete(place)).status == 200
        assert feed.closed
        assert feed.notices[0] == "connected to a WebRTC peer"
        assert "has hung up" in feed.notices[-1]
        assert (await http.delete(place)).status == 404
        assert not session.ended.is_set()
        await peer.close()

    serve(tmp_path, act)


def test_a_peer_that_goes_without_a_word_is_let_go_and_may_come_back(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        session = await session_of(service, http)
        peer = await publish(http, session, Tone())
        await session.fed[0].until(lambda f: len(f.sound) > 0)
        for transport in (
            t.receiver.transport.transport for t in peer.connection.getTransceivers()
        ):
            await transport._connection.close()  # nothing more is sent, not even a goodbye
        await session.fed[0].until(lambda f: told(f, "sent nothing for 0.5 s"))
        again = await publish(http, session, Tone())
        await session.fed[1].until(lambda f: len(f.sound) > 0)
        assert not session.ended.is_set()
        await peer.close()
        await again.close()

    serve(tmp_path, act, webrtc=WebRtcConfig(idle_s=0.5))


def test_a_new_peer_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        session = await session_of(service, http)
        first = await publish(http, session, Tone())
        second = await publish(http, session, Tone())
        await session.fed[1].until(lambda f: len(f.sound) > 0)
        assert session.fed[0].closed
        await first.close()
        await second.close()

    serve(tmp_path, act)


@pytest.mark.parametrize(
    ("webrtc", "client", "why"),
    [
        (WebRtcConfig(bytes_per_s=1 << 10), ClientConfig(), "more than webrtc.bytes_per_s"),
        (WebRtcConfig(), ClientConfig(picture_pixels=1_024), "pictures of 64x48 pixels"),
    ],
)
def test_a_peer_that_sends_more_than_it_may_is_let_go(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    webrtc: WebRtcConfig,
    client: ClientConfig,
    why: str,
) -> None:
    from omnilive.service import peer as module

    monkeypatch.setattr(module, "RATE_S", 1.0)

    async def act(service: Service, http: TestClient) -> None:
        session = await session_of(service, http)
        peer = await publish(http, session, Tone(), Grey())
        await session.fed[0].until(lambda f: told(f, why))
        await peer.close()

    serve(tmp_path, act, webrtc=webrtc, client=client)


def test_a_peer_that_never_connects_is_let_go(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        session = await session_of(service, http)
        path = f"/v1/sessions/{session.names.id}/whip"
        assert (await http.post(path, data=OFFER, headers=SDP)).status == 201
        await session.fed[0].until(lambda f: told(f, "did not connect within 0.2 s"))

    serve(tmp_path, act, webrtc=WebRtcConfig(negotiation_s=0.2))


def test_offers_that_are_not_taken_are_refused_as_documented(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        session = await session_of(service, http)
        path = f"/v1/sessions/{session.names.id}/whip"

        async def post(data: Any = OFFER, to: str = path, **headers: str) -> tuple[int, str]:
            return await code_of(await http.post(to, data=data, headers={**SDP, **headers}))

        assert await post(to="/v1/sessions/none/whip") == (404, "no_session")
        assert await post(**{"Content-Type": "application/json"}) == (415, "unsupported")
        assert await post(data="v=0\r\n" * 30_000) == (413, "too_large")
        assert await post(data=b"\xff\xfe") == (400, "bad_offer")
        assert await post(data="hello") == (400, "bad_offer")
        assert await post(data=OFFER.replace("a=sendrecv", "a=recvonly")) == (422, "bad_offer")
        assert await post(data=OFFER.replace("m=video", "m=audio")) == (422, "bad_offer")
        assert await post(data=OFFER.replace("m=video", "m=application")) == (422, "bad_offer")
        assert await post(data=OFFER.replace("a=ice-pwd", "a=ice-none")) == (400, "bad_offer")
        assert await post(Origin="https://elsewhere.example") == (403, "forbidden")
        session.pulls = True
        assert await post() == (409, "watching")
        for method in ("GET", "HEAD", "PUT", "PATCH"):
            assert (await http.request(method, path)).status == 405
            assert (await http.request(method, f"{path}/peer")).status == 405
        options = await http.options(path)
        assert options.headers["Accept-Post"] == "application/sdp"
        assert session.fed == []

    serve(tmp_path, act)


def test_past_the_most_peers_an_offer_is_told_when_to_come_back(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        first, second = await session_of(service, http), await session_of(service, http)
        peer = await publish(http, first, Tone())
        refused = await publish(http, second, Tone())
        assert refused.response.status == 503
        assert int(refused.response.headers["Retry-After"]) > 0
        assert (await http.delete(peer.response.headers["Location"])).status == 200
        taken = await publish(http, second, Tone())
        assert taken.response.status == 201
        for one in (peer, refused, taken):
            await one.close()

    serve(tmp_path, act, webrtc=WebRtcConfig(peers=1))


def test_an_address_that_offers_too_often_is_told_to_wait(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        for _ in range(3):
            response = await http.post("/v1/sessions/x/whip", data=OFFER, headers=SDP)
        assert await code_of(response) == (429, "too_often")
        assert int(response.headers["Retry-After"]) > 0

    limits = ClientConfig(request_burst=1, requests_per_s=0.01)
    serve(tmp_path, act, client=limits)


def test_publishing_needs_the_token(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        shown = {**SDP, "Authorization": f"Bearer {TOKEN}"}
        for path in ("/v1/sessions/x/whip", "/v1/sessions/x/whip/y"):
            for method in ("POST", "OPTIONS", "DELETE", "PATCH"):
                assert (await http.request(method, path, data=OFFER, headers=SDP)).status == 401
        assert (await http.post("/v1/sessions/x/whip", data=OFFER, headers=shown)).status == 404

    serve(tmp_path, act, token=TOKEN)


@pytest.mark.parametrize("how", ["missing", "off"])
def test_without_webrtc_an_offer_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "missing":
        monkeypatch.delitem(sys.modules, "omnilive.service.peer", raising=False)
        monkeypatch.setitem(sys.modules, "aiortc", None)

    async def act(service: Service, http: TestClient) -> None:
        session = await session_of(service, http)
        path = f"/v1/sessions/{session.names.id}/whip"
        refused = await http.post(path, data=OFFER, headers=SDP)
        assert await code_of(refused) == (501, "webrtc_off")
        message = (await refused.json())["error"]["message"]
        wanted = {"missing": "pip install 'omnilive-edge[webrtc]'", "off": "webrtc.enabled"}
        assert wanted[how] in message

    serve(tmp_path, act, webrtc=WebRtcConfig(enabled=how != "off"))


def test_no_server_is_asked_and_on_loopback_only_loopback_is_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_asked() -> None:
        raise AssertionError("the library would ask a server of its own choice")

    monkeypatch.setattr(RTCIceGatherer, "getDefaultIceServers", not_asked)

    async def act(service: Service, http: TestClient) -> None:
        session = await session_of(service, http)
        path = f"/v1/sessions/{session.names.id}/whip"
        answer = await (await http.post(path, data=OFFER, headers=SDP)).text()
        candidates = [c for m in SessionDescription.parse(answer).media for c in m.ice_candidates]
        assert {(c.type, c.ip) for c in candidates} == {("host", "127.0.0.1")}

    serve(tmp_path, act)


HOSTS = st.one_of(
    st.ip_addresses().map(str),
    st.sampled_from(["10.1.2.3", "127.0.0.1", "a.local", "intranet", "fd00::7", "169.254.169.254"]),
)


@given(st.lists(HOSTS, max_size=50), st.sampled_from(["", "10.0.0.0/8", "10.0.0.0/8 fd00::/8"]))
def test_no_candidate_outside_the_allowed_networks_is_left_in_an_offer(
    hosts: list[str], networks: str
) -> None:
    policy = ice_policy(WebRtcConfig(peer_networks=networks), "0.0.0.0")
    named = "".join(
        f"a=candidate:1 1 udp {index + 1} {host} 9 typ host\r\n" for index, host in enumerate(hosts)
    )
    guarded = SessionDescription.parse(guarded_offer(OFFER + named, policy))
    for media in guarded.media:
        assert all(policy.may_contact(candidate.ip) for candidate in media.ice_candidates)
        assert not media.ice_candidates_complete
    kept = {c.ip for media in guarded.media for c in media.ice_candidates}
    if networks and "10.1.2.3" in hosts[:30]:
        assert "10.1.2.3" in kept


@given(st.data())
def test_an_offer_however_broken_is_taken_or_refused(data: st.DataObject) -> None:
    lines = OFFER.splitlines(True)
    cut = data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=4))
    text = "".join(line for index, line in enumerate(lines) if index not in cut)
    at = data.draw(st.integers(0, len(text)))
    text = text[:at] + data.draw(st.text(max_size=8)) + text[at:]
    try:
        guarded_offer(text, IcePolicy())
    except OfferError as refused:
        assert refused.status in (400, 422)


def test_what_waits_to_be_read_of_a_peer_is_bounded_and_its_end_is_not_lost() -> None:
    async def act() -> None:
        config = WebRtcConfig()
        peer = Peer(config, ice_policy(config, "127.0.0.1"), 1 << 20)
        await peer.answer(OFFER)
        (agent,) = {
            t.receiver.transport.transport.iceGatherer._connection
            for t in peer._connection.getTransceivers()
        }
        (protocol,) = agent._protocols
        for _ in range(MOST_DATAGRAMS + 9):
            protocol.datagram_received(b"\x80 not STUN", ("192.0.2.9", 9))
        assert agent._queue.qsize() == MOST_DATAGRAMS
        await peer.close()
        assert agent._queue.qsize() == MOST_DATAGRAMS + 1

    asyncio.run(act())


@pytest.mark.parametrize(("networks", "contacted"), [("", False), ("127.0.0.0/8", True)])
def test_a_host_named_in_an_offer_hears_nothing_unless_its_network_is_allowed(
    tmp_path: Path, networks: str, contacted: bool
) -> None:
    async def act(service: Service, http: TestClient) -> None:
        session = await session_of(service, http)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as named:
            named.bind(("127.0.0.1", 0))
            named.setblocking(False)
            port = named.getsockname()[1]
            line = f"a=candidate:1 1 udp 9 127.0.0.1 {port} typ host\r\n"
            peer = await publish(http, session, Tone(), extra=line)
            await session.fed[0].until(lambda f: len(f.sound) > 0)
            try:
                heard = len(named.recv(2_048)) > 0
            except BlockingIOError:
                heard = False
            assert heard == contacted
        await peer.close()

    serve(tmp_path, act, webrtc=WebRtcConfig(peer_networks=networks))
