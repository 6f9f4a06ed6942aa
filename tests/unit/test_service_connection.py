"""One connection over a real socket: greetings, media, questions, and clients that misbehave."""

from __future__ import annotations

import asyncio
import io
import threading
from pathlib import Path

import numpy as np
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError
from aiohttp.test_utils import TestClient
from PIL import Image

from omnilive.service import connection
from omnilive.service.config import ClientConfig
from omnilive.service.faults import ProtocolError
from omnilive.service.media_frames import (
    PcmMessage,
    PictureMessage,
    encode_answer_audio,
    encode_media,
)
from omnilive.service.pictures import decode_picture
from omnilive.service.protocol import (
    AskMessage,
    ClockMessage,
    Hello,
    InterruptMessage,
    PingMessage,
    PlayoutMessage,
    PullMessage,
    encode_text,
)
from service_fakes import Service, connect, serve

TOKEN = "a-token-of-some-length"


def jpeg(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "JPEG")
    return file.getvalue()


def sound(sequence: int, samples: int = 320) -> bytes:
    return encode_media(PcmMessage(sequence, sequence * 20_000, np.zeros(samples, np.float32)))


def test_nothing_a_client_says_waits_for_a_picture_and_the_newest_picture_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, decode = threading.Event(), connection.decode_picture

    def slowly(data: bytes, pixels: int) -> np.ndarray:
        assert may_end.wait(60)
        return decode(data, pixels)

    monkeypatch.setattr(connection, "decode_picture", slowly)

    async def act(service: Service, http: TestClient) -> None:
        socket = await connect(http)
        await socket.receive_json()
        calls = service.made[0].calls
        for sequence in range(4):
            await socket.send_bytes(encode_media(PictureMessage(sequence, sequence, jpeg(64, 48))))
        await socket.send_str(encode_text(InterruptMessage(3, 800)))
        await socket.send_str(encode_text(PingMessage(5)))
        assert await socket.receive_json() == {"type": "pong", "id": 5}
        assert calls == [("start",), ("interrupt", 3, 800)]
        may_end.set()
        while len(calls) < 4:
            await asyncio.sleep(0)
        assert calls[2:] == [("frame", 0, (48, 64, 3)), ("frame", 3, (48, 64, 3))]

    serve(tmp_path, act)


def test_what_a_client_sends_becomes_calls_of_its_session(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket = await connect(http)
        welcome = await socket.receive_json()
        assert (welcome["type"], welcome["resumed"], welcome["missed"]) == ("welcome", False, 0)
        await socket.send_bytes(sound(0))
        for message in (
            AskMessage("who is there"),
            InterruptMessage(3, 800),
            PlayoutMessage(3, 900, True),
            ClockMessage(),
            PullMessage("rtmp://localhost/live/a"),
            PingMessage(5),
        ):
            await socket.send_str(encode_text(message))
        assert await socket.receive_json() == {"type": "pong", "id": 5}
        assert service.made[0].calls == [
            ("start",),
            ("pcm", 0, 320),
            ("ask", "who is there"),
            ("interrupt", 3, 800),
            ("playout", 3, 900, True),
            ("clock",),
            ("pull", "rtmp://localhost/live/a"),
        ]

    serve(tmp_path, act)


@pytest.mark.parametrize(
    ("sent", "code", "closes"),
    [
        ("{", "malformed", False),
        ('{"type":"ask","text":"a","x":1}', "malformed", False),
        ("x" * 20_000, "too_large", True),
        (b"\x01", "malformed", False),
        (b"\x01\x09" + bytes(30), "unsupported", False),
        (b"\x02\x01" + bytes(30), "bad_picture", False),
        (encode_media(PictureMessage(0, 0, jpeg(64, 48)[:200])), "bad_picture", False),
        (encode_media(PictureMessage(0, 0, jpeg(300, 300))), "bad_picture", False),
        (sound(0, 32_001), "too_large", True),
        (encode_text(Hello(1)), "malformed", False),
        (encode_text(PullMessage("file:///etc/passwd")), "forbidden", False),
        ('{"type":"resume"}', "nothing_to_resume", False),
    ],
)
def test_a_message_that_is_not_allowed_is_named_and_the_session_goes_on(
    tmp_path: Path, sent: str | bytes, code: str, closes: bool
) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket = await connect(http)
        token = (await socket.receive_json())["resume"]
        await (socket.send_str(sent) if isinstance(sent, str) else socket.send_bytes(sent))
        assert (await socket.receive_json())["code"] == code
        if closes:
            assert (await socket.receive()).type is WSMsgType.CLOSE
            socket = await connect(http, Hello(1, token))
            assert (await socket.receive_json())["resumed"]
        await socket.send_str(encode_text(PingMessage(1)))
        assert (await socket.receive_json())["type"] == "pong"

    serve(tmp_path, act, client=ClientConfig(picture_pixels=200 * 200))


def test_sound_out_of_order_is_dropped_and_said(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket = await connect(http)
        await socket.receive_json()
        for sequence in (0, 5, 4, 5, 6):
            await socket.send_bytes(sound(sequence))
        codes = [(await socket.receive_json())["code"] for _ in range(2)]
        await socket.send_str(encode_text(PingMessage(1)))
        await socket.receive_json()
        assert codes == ["out_of_order"] * 2
        taken = [call[1] // 20_000 for call in service.made[0].calls if call[0] == "pcm"]
        assert taken == [0, 5, 6]

    serve(tmp_path, act)


def test_no_sound_is_dropped_while_the_session_has_no_room(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket = await connect(http)
        await socket.receive_json()
        service.made[0].full = 3
        for sequence in range(5):
            await socket.send_bytes(sound(sequence))
        await socket.send_str(encode_text(PingMessage(1)))
        await socket.receive_json()
        assert [c[1] // 20_000 for c in service.made[0].calls if c[0] == "pcm"] == list(range(5))

    serve(tmp_path, act)


def test_a_flood_ends_the_connection_and_only_that(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        calm, wild = await connect(http), await connect(http)
        for socket in (calm, wild):
            await socket.receive_json()
        for number in range(40):
            await wild.send_str(encode_text(PingMessage(number)))
        seen = []
        while (message := await wild.receive()).type is WSMsgType.TEXT:
            seen.append(message.json())
        assert seen[-1]["code"] == "flood"
        await calm.send_str(encode_text(PingMessage(1)))
        assert (await calm.receive_json())["type"] == "pong"

    serve(tmp_path, act, client=ClientConfig(messages_per_s=1, message_burst=20))


def test_a_connection_that_only_errs_is_closed(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket = await connect(http)
        await socket.receive_json()
        for _ in range(5):
            await socket.send_str("no json")
        errors = 0
        while (await socket.receive()).type is WSMsgType.TEXT:
            errors += 1
        assert (errors, socket.close_code) == (3, 1008)

    serve(tmp_path, act, client=ClientConfig(errors=3))


def test_a_connection_without_a_hello_is_closed(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        silent = await http.ws_connect("/v1/live")
        assert (await silent.receive()).type is WSMsgType.CLOSE
        rude = await http.ws_connect("/v1/live")
        await rude.send_bytes(sound(0))
        assert (await rude.receive_json())["code"] == "no_hello"
        assert not service.made

    serve(tmp_path, act, client=ClientConfig(hello_s=0.1))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil.example"}, 403),
        ({"Sec-WebSocket-Protocol": "omnilive.v1, omnilive.token.!!"}, 401),
    ],
)
def test_who_lacks_the_token_or_comes_from_another_page_is_refused(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    async def act(service: Service, http: TestClient) -> None:
        with pytest.raises(WSServerHandshakeError) as caught:
            await http.ws_connect("/v1/live", headers=headers)
        assert caught.value.status == status
        assert not service.made

    serve(tmp_path, act, token=TOKEN)


def test_a_browser_shows_the_token_as_a_subprotocol(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        shown = "omnilive.token.YS10b2tlbi1vZi1zb21lLWxlbmd0aA"
        socket = await http.ws_connect("/v1/live", protocols=("omnilive.v1", shown))
        assert socket.protocol == "omnilive.v1"
        await socket.send_str(encode_text(Hello(1)))
        assert (await socket.receive_json())["type"] == "welcome"

    serve(tmp_path, act, token=TOKEN)


def test_sound_and_events_reach_the_client_in_order(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket = await connect(http)
        await socket.receive_json()
        chunk = encode_answer_audio(1, -1, 0, 5, np.zeros(160, np.float32), last=True)
        outbox = service.made[0].outbox
        outbox.say("event", event={"id": 1})
        outbox.say_sound(chunk, 1)
        service.made[0].finish()
        assert (await socket.receive_json())["event"] == {"id": 1}
        assert (await socket.receive()).data == chunk
        assert (await socket.receive_json())["type"] == "ended"
        assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == 1000

    serve(tmp_path, act)


def test_a_picture_that_is_not_looked_at_is_not_decoded(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket = await connect(http)
        await socket.receive_json()
        service.made[0].wants = lambda pts_us: pts_us == 1
        for sequence in range(3):
            await socket.send_bytes(encode_media(PictureMessage(sequence, sequence, jpeg(8, 8))))
        await socket.send_bytes(encode_media(PictureMessage(3, 3, b"no picture at all")))
        await socket.send_str(encode_text(PingMessage(1)))
        assert (await socket.receive_json())["type"] == "pong"
        calls = service.made[0].calls
        while len(calls) < 2:
            await asyncio.sleep(0)
        assert calls == [("start",), ("frame", 1, (8, 8, 3))]

    serve(tmp_path, act)


def test_questions_come_only_so_often(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket = await connect(http)
        await socket.receive_json()
        for number in range(5):
            await socket.send_str(encode_text(AskMessage(f"question {number}")))
        codes = [(await socket.receive_json())["code"] for _ in range(2)]
        assert codes == ["too_often"] * 2
        assert sum(call[0] == "ask" for call in service.made[0].calls) == 3
        assert not socket.closed

    serve(tmp_path, act, client=ClientConfig(questions_per_s=0.01, question_burst=3))


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_an_address_may_knock_only_so_often(tmp_path: Path, headers: dict[str, str]) -> None:
    async def act(service: Service, http: TestClient) -> None:
        statuses = []
        for _ in range(5):
            answer = await http.get("/v1/live", headers=headers)
            statuses.append(answer.status)
        assert statuses == [401] * 3 + [429] * 2
        assert int(answer.headers["Retry-After"]) > 0
        assert (await http.get("/live")).status == 200

    serve(tmp_path, act, token=TOKEN, client=ClientConfig(requests_per_s=0.01, request_burst=3))


def test_a_fault_of_the_service_ends_the_connection_without_telling_more(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket, other = await connect(http), await connect(http)
        for one in (socket, other):
            await one.receive_json()

        def fail(text: str) -> None:
            raise RuntimeError("a secret of the service")

        service.made[0].ask = fail  # type: ignore[method-assign, assignment]
        await socket.send_str(encode_text(AskMessage("who is there")))
        message = await socket.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1011)
        assert "secret" not in str(message.extra)
        await other.send_str(encode_text(PingMessage(1)))
        assert (await other.receive_json())["type"] == "pong"

    serve(tmp_path, act)


def test_a_small_file_of_very_many_scans_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="scans"):
        decode_picture(jpeg(8, 8) + b"\xff\xda" * 70, 1 << 20)
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(file, "JPEG", progressive=True)
    assert decode_picture(file.getvalue(), 1 << 20).shape == (64, 64, 3)
