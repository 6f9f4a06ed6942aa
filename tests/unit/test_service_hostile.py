"""Clients that mean harm: each is answered as ``docs/protocol.md`` says, and holds nobody else up.

What is asserted is structure: turns of the event loop and what is taken in them, never time.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError
from aiohttp.client import ClientWebSocketResponse
from aiohttp.test_utils import TestClient

from omnilive.service import completions
from omnilive.service.config import ClientConfig, ServiceConfig
from omnilive.service.media_frames import PcmMessage, encode_media
from omnilive.service.protocol import AskMessage, Hello, PingMessage, encode_text
from service_fakes import Service, answer, connect, running

TOKEN = "a-token-of-some-length"
TEXT, BINARY, MORE, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA
UPGRADE = (
    b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
BURST = 300

Act = Callable[[Service, TestClient], Awaitable[Any]]


def serve(folder: Path, act: Act, *, client: ClientConfig | None = None, **options: Any) -> Any:
    """Run ``act`` against a service."""
    service = options.pop("service", None) or ServiceConfig(max_sessions=8, sessions_per_client=8)

    async def run() -> Any:
        made = Service(folder, service, client or ClientConfig(), **options)
        async with running(made) as http:
            return await act(made, http)

    return asyncio.run(asyncio.wait_for(run(), 60))


def frame(opcode: int, payload: bytes = b"", *, last: bool = True) -> bytes:
    """A WebSocket frame of a client, masked with zeros."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else struct.pack(">BH", 0x80 | 126, size)
    return bytes([last << 7 | opcode]) + length + bytes(4) + payload


def transport_of(socket: ClientWebSocketResponse) -> asyncio.Transport:
    connection = socket._conn
    assert connection is not None and isinstance(connection.transport, asyncio.Transport)
    return connection.transport


async def greeted(http: TestClient, hello: Hello | None = None) -> ClientWebSocketResponse:
    """A connection that has been welcomed."""
    socket = await connect(http, hello)
    assert (await socket.receive_json())["type"] == "welcome"
    return socket


async def close_code(socket: ClientWebSocketResponse) -> int | None:
    """The code the service closes with, whatever it says before."""
    while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED):
        pass
    return socket.close_code


class Counted:
    """Stands for a session's rate: notes in which turn of the event loop each message is taken."""

    def __init__(self, turn: Callable[[], int]) -> None:
        self.turn = turn
        self.turns: list[int] = []

    def take(self, now_s: float) -> bool:
        self.turns.append(self.turn())
        return True


async def count_turns() -> tuple[Callable[[], int], asyncio.Task[None]]:
    turns = itertools.count()
    now = [0]

    async def count() -> None:
        for now[0] in turns:
            await asyncio.sleep(0)

    return lambda: now[0], asyncio.ensure_future(count())


@pytest.mark.parametrize(
    "flood",
    [frame(PING), frame(PONG), frame(TEXT, b'{"type":"ping","id":1}'), frame(TEXT, b'"no message')],
)
def test_of_a_flood_one_message_is_taken_a_turn_and_others_are_served_between(
    tmp_path: Path, flood: bytes
) -> None:
    async def act(service: Service, http: TestClient) -> None:
        wild, calm = await greeted(http), await greeted(http)
        turn, counting = await count_turns()
        rates = [Counted(turn), Counted(turn)]
        for session, rate in zip(service.made, rates, strict=True):
            session.rates.messages = rate  # type: ignore[assignment]
        transport_of(wild).write(flood * BURST)
        await calm.send_str(encode_text(PingMessage(1)))
        assert (await calm.receive_json())["type"] == "pong"
        taken_meanwhile = len(rates[0].turns)
        while len(rates[0].turns) < BURST:
            await asyncio.sleep(0)
        counting.cancel()
        assert taken_meanwhile < BURST / 2
        assert len(set(rates[0].turns)) == BURST

    serve(tmp_path, act, client=ClientConfig(errors=10_000))


@pytest.mark.parametrize("opcode", [PING, PONG])
def test_a_flood_of_control_frames_ends_the_connection(tmp_path: Path, opcode: int) -> None:
    async def act(service: Service, http: TestClient) -> None:
        wild = await greeted(http)
        transport_of(wild).write(frame(opcode) * 50_000)
        said = []
        while (message := await wild.receive()).type is WSMsgType.TEXT:
            said.append(message.json()["code"])
        assert (said, wild.close_code) == (["flood"], 1008)

    serve(tmp_path, act, client=ClientConfig(messages_per_s=1, message_burst=100))


def test_before_its_hello_a_client_has_few_control_frames(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        few = await http.ws_connect("/v1/live")
        transport_of(few).write(frame(PING) * 3)
        await few.send_str(encode_text(Hello(1)))
        assert (await few.receive_json())["type"] == "welcome"
        many = await http.ws_connect("/v1/live")
        transport_of(many).write(frame(PING) * 50_000)
        assert (await many.receive_json())["code"] == "flood"
        assert await close_code(many) == 1008
        assert len(service.made) == 1

    serve(tmp_path, act)


def test_nothing_is_taken_of_a_client_after_what_it_is_cut_off_for(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        wild = await greeted(http)
        session = service.made[0]
        turn, counting = await count_turns()
        counted = Counted(turn)
        session.rates.messages = counted  # type: ignore[assignment]
        transport_of(wild).write(frame(TEXT, b"x" * 20_000) + frame(TEXT, b"{}") * BURST)
        assert await close_code(wild) == 1008
        while session.connection is not None:
            await asyncio.sleep(0)
        counting.cancel()
        assert len(counted.turns) == 1

    serve(tmp_path, act)


def test_coming_again_does_not_renew_what_a_client_may_send(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket = await connect(http)
        token = (await socket.receive_json())["resume"]
        for _ in range(3):
            await socket.send_str(encode_text(AskMessage("who is there")))
        await socket.send_str(encode_text(PingMessage(1)))
        await socket.receive_json()
        again = await greeted(http, Hello(1, token))
        await again.send_str(encode_text(AskMessage("who is there")))
        assert (await again.receive_json())["code"] == "too_often"
        assert service.made[0].asked == 3

    serve(tmp_path, act, client=ClientConfig(questions_per_s=0.01, question_burst=3))


def test_a_message_in_fragments_is_one_message(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket = await greeted(http)
        text = encode_text(AskMessage("who is there")).encode()
        parts = [frame(TEXT, text[:7], last=False), frame(PING), frame(MORE, b"", last=False)]
        transport_of(socket).write(b"".join([*parts, frame(MORE, text[7:])]))
        await socket.send_str(encode_text(PingMessage(1)))
        assert (await socket.receive_json())["type"] == "pong"
        assert service.made[0].calls == [("start",), ("ask", "who is there")]

    serve(tmp_path, act)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(BINARY, b"a", last=False) + frame(MORE, b"a" * 1_000, last=False) * 70, 1009),
        (frame(BINARY, bytes(65_000)) * 2, 1009),
        (frame(MORE, b"a"), 1002),
        (frame(TEXT, b"a", last=False) + frame(TEXT, b"b"), 1002),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(PING, b"a" * 126), 1002),
        (frame(0x3), 1002),
    ],
    ids=["endless", "large", "no beginning", "two at once", "no UTF-8", "long ping", "reserved"],
)
def test_frames_that_no_message_is_made_of_close_the_connection(
    tmp_path: Path, data: bytes, code: int
) -> None:
    async def act(service: Service, http: TestClient) -> None:
        token = (await (socket := await connect(http)).receive_json())["resume"]
        transport_of(socket).write(data)
        assert await close_code(socket) == code
        assert (await (await connect(http, Hello(1, token))).receive_json())["resumed"]

    serve(tmp_path, act, client=ClientConfig(picture_bytes=1 << 10))


def test_a_session_that_has_ended_is_not_taken_up_again(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket = await connect(http)
        first = await socket.receive_json()
        service.made[0].finish()
        assert await close_code(socket) == 1000
        second = await (await connect(http, Hello(1, first["resume"]))).receive_json()
        assert not second["resumed"]
        assert second["session"] != first["session"]
        assert second["resume"] != first["resume"]

    serve(tmp_path, act)


@pytest.mark.parametrize("who_first", ["service", "client"])
def test_each_side_says_once_that_it_closes(tmp_path: Path, who_first: str) -> None:
    async def act(service: Service, http: TestClient) -> None:
        reader, writer = await asyncio.open_connection(http.host, http.port)
        writer.write(UPGRADE + frame(TEXT, encode_text(Hello(1)).encode()))
        await reader.readuntil(b"stream_us")
        if who_first == "service":
            service.made[0].finish()
            await reader.readuntil(bytes([0x80 | CLOSE]))
        writer.write(frame(CLOSE, struct.pack(">H", 1000)))
        said = (await reader.read()).count(bytes([0x80 | CLOSE]))
        assert said == (0 if who_first == "service" else 1)
        writer.close()

    serve(tmp_path, act)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/v1/live?token={TOKEN}", {}),
        ("/v1/live", {"Cookie": f"token={TOKEN}"}),
        ("/v1/live", {"Authorization": TOKEN}),
        ("/v1/live", {"Authorization": f"Basic {TOKEN}"}),
        ("/v1/live", {"Sec-WebSocket-Protocol": f"omnilive.v1, omnilive.token.{TOKEN}"}),
        ("/v1/live", {"X-Token": TOKEN}),
    ],
)
def test_a_token_shown_elsewhere_is_none(
    tmp_path: Path, path: str, headers: dict[str, str]
) -> None:
    async def act(service: Service, http: TestClient) -> None:
        with pytest.raises(WSServerHandshakeError) as caught:
            await http.ws_connect(path, headers=headers)
        assert caught.value.status == 401
        assert not service.made

    serve(tmp_path, act, token=TOKEN)


def test_every_request_without_the_token_counts_as_a_guess_at_it(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        wrong, right = ({"Authorization": f"Bearer {token}"} for token in ("wrong", TOKEN))
        statuses = []
        for path in ("/metrics", "/v1/sessions", "/v1/none", "/metrics"):
            refused = await http.get(path, headers=wrong)
            statuses.append(refused.status)
        assert statuses == [401] * 3 + [429]
        assert int(refused.headers["Retry-After"]) > 0
        assert (await http.get("/metrics", headers=right)).status == 200
        assert (await http.get("/")).status == 200

    serve(tmp_path, act, token=TOKEN, client=ClientConfig(requests_per_s=0.01, request_burst=3))


def test_an_address_may_fetch_only_so_often_and_each_refusal_costs_it_a_connection(
    tmp_path: Path,
) -> None:
    async def act(service: Service, http: TestClient) -> None:
        statuses = []
        for _ in range(5):
            fetched = await http.get("/")
            statuses.append(fetched.status)
        assert statuses == [200] * 3 + [429] * 2
        assert int(fetched.headers["Retry-After"]) > 0
        assert fetched.headers["Connection"] == "close"

    serve(tmp_path, act, client=ClientConfig(fetches_per_s=0.01, fetch_burst=3))


def test_one_address_gets_only_so_many_sessions(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        for _ in range(2):
            await greeted(http)
        with pytest.raises(WSServerHandshakeError) as caught:
            await connect(http)
        assert caught.value.status == 503
        assert len(service.made) == 2

    serve(tmp_path, act, service=ServiceConfig(max_sessions=8, sessions_per_client=2))


def test_a_client_that_has_gone_without_a_word_loses_its_connection_not_its_session(
    tmp_path: Path,
) -> None:
    async def act(service: Service, http: TestClient) -> None:
        gone = await connect(http)
        token = (await gone.receive_json())["resume"]
        transport_of(gone).pause_reading()  # no ping of the service is answered any more
        session, left, leave = service.made[0], asyncio.Event(), service.sessions.leave

        def noted(*gone: Any, **how: Any) -> None:
            leave(*gone, **how)
            left.set()

        service.sessions.leave = noted  # type: ignore[method-assign]
        await left.wait()
        assert session.connection is None
        assert ("stop",) not in session.calls
        assert (await (await connect(http, Hello(1, token))).receive_json())["resumed"]
        transport_of(gone).abort()

    serve(tmp_path, act, client=ClientConfig(silence_s=1.0))


def test_a_client_that_sends_and_never_reads_is_broken_off(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        wild = await greeted(http)
        transport = transport_of(wild)
        transport.pause_reading()
        session = service.made[0]
        ping = frame(PING, b"a" * 125)
        while session.connection is not None:
            if not transport.get_write_buffer_size():
                transport.write(ping * 1_000)
            await asyncio.sleep(0)
        transport.abort()

    limits = ClientConfig(silence_s=1.0, messages_per_s=10_000, message_burst=100_000)
    serve(tmp_path, act, client=limits)


def test_sound_for_a_session_that_has_ended_does_not_hold_the_end_up(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket = await greeted(http)
        session = service.made[0]
        session.full = 1 << 30
        await socket.send_bytes(encode_media(PcmMessage(0, 0, np.zeros(160, np.float32))))
        session.finish()
        assert (await socket.receive_json())["type"] == "ended"
        assert await close_code(socket) == 1000
        while session.connection is not None:
            await asyncio.sleep(0)

    serve(tmp_path, act)


def test_a_client_that_reads_nothing_of_a_streamed_answer_is_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completions, "UNREAD_S", 0.05)

    async def act(service: Service, http: TestClient) -> None:
        await greeted(http)
        session = service.made[0]
        session.answer_to = lambda utterance, text: answer(utterance, ["word " * 1_000] * 4_000)
        over, listen = asyncio.Event(), session.listen

        def noted(listener: Any) -> Callable[[], None]:
            stop = listen(listener)

            def end() -> None:
                stop()
                over.set()

            return end

        session.listen = noted  # type: ignore[method-assign]
        body = {"messages": [{"role": "user", "content": "who is there"}], "stream": True}
        response = await http.post("/v1/chat/completions", json=body)
        assert response.status == 200
        await over.wait()
        response.close()

    serve(tmp_path, act)
