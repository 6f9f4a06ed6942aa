"""Who gets a session, who takes one up again, and when it is let go; over real sockets."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError
from aiohttp.test_utils import TestClient
from aiohttp.web import WebSocketResponse

from omnilive.service.config import ClientConfig, ServiceConfig
from omnilive.service.protocol import (
    Hello,
    PingMessage,
    PullMessage,
    encode_text,
)
from service_fakes import Service, connect, serve


def test_a_client_that_comes_back_has_its_session_and_misses_nothing(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket = await connect(http)
        welcome = await socket.receive_json()
        session = service.made[0]
        session.outbox.say("event", event={"id": 1})
        first = await socket.receive_json()
        await socket.close()
        session.outbox.say("event", event={"id": 2})
        again = await connect(http, Hello(1, welcome["resume"], first["seq"]))
        greeting = await again.receive_json()
        assert (greeting["session"], greeting["resumed"]) == (welcome["session"], True)
        assert (await again.receive_json())["event"] == {"id": 2}
        assert len(service.made) == 1

    serve(tmp_path, act)


def test_a_session_nobody_comes_back_to_ends_after_the_grace_period(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket = await connect(http)
        await socket.receive_json()
        await socket.close()
        await service.made[0].ended.wait()
        assert ("stop",) in service.made[0].calls

    serve(tmp_path, act, service=ServiceConfig(grace_s=0.05))


def test_a_client_that_leaves_amid_the_greeting_leaves_no_session_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say = WebSocketResponse.send_str

    async def gone(socket: WebSocketResponse, text: str, *options: Any) -> None:
        if "welcome" in text:
            raise ConnectionResetError("the client has gone")
        await say(socket, text, *options)

    async def act(service: Service, http: TestClient) -> None:
        await connect(http)
        while not service.made:
            await asyncio.sleep(0)
        await service.made[0].ended.wait()

    monkeypatch.setattr(WebSocketResponse, "send_str", gone)
    serve(tmp_path, act, service=ServiceConfig(grace_s=0.05))


def test_a_second_connection_takes_the_session_from_the_first(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        first = await connect(http)
        token = (await first.receive_json())["resume"]
        second = await connect(http, Hello(1, token))
        assert (await second.receive_json())["resumed"]
        assert (await first.receive()).type is WSMsgType.CLOSE
        assert first.close_code == 4002
        service.made[0].outbox.say_sound(b"sound", 1)
        assert (await second.receive()).data == b"sound"

    serve(tmp_path, act)


def test_a_wrong_resume_token_gets_a_session_of_its_own(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        first = await (await connect(http)).receive_json()
        other = await (await connect(http, Hello(1, first["resume"] + "x"))).receive_json()
        assert not other["resumed"]
        assert other["session"] != first["session"]

    serve(tmp_path, act)


def test_past_its_capacity_the_service_says_when_to_come_again(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        sockets = [await connect(http) for _ in range(2)]
        for socket in sockets:
            assert (await socket.receive_json())["type"] == "welcome"
        page = await http.ws_connect(
            "/v1/live", headers={"Origin": f"http://{http.host}:{http.port}"}
        )
        await page.send_str(encode_text(Hello(1)))
        refusal = await page.receive_json()
        assert (refusal["code"], refusal["after"]) == ("full", 60)
        await page.receive()
        assert page.close_code == 1013
        with pytest.raises(WSServerHandshakeError) as caught:  # a program
            await connect(http)
        assert caught.value.status == 503
        assert caught.value.headers is not None
        assert caught.value.headers["Retry-After"] == "60"

    serve(tmp_path, act, service=ServiceConfig(max_sessions=2, sessions_per_client=9))


def test_while_the_engines_warm_up_nobody_is_served(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        with pytest.raises(WSServerHandshakeError) as caught:
            await http.ws_connect("/v1/live")
        assert caught.value.status == 503
        assert (await http.get("/ready")).status == 503
        assert (await http.get("/live")).status == 200

    serve(tmp_path, act, ready=False)


def test_a_client_that_does_not_read_is_cut_off_and_may_come_back(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        first = await connect(http)
        token = (await first.receive_json())["resume"]
        session = service.made[0]
        transport = first._conn.transport  # type: ignore[union-attr]
        transport.pause_reading()  # type: ignore[union-attr]
        while session.connection is not None:
            session.outbox.say_sound(bytes(200_000), 1)
            assert session.outbox.unsent_bytes < 1 << 20
            await asyncio.sleep(0)
        again = await connect(http, Hello(1, token))
        assert (await again.receive_json())["resumed"]
        transport.abort()  # type: ignore[union-attr]

    serve(tmp_path, act, client=ClientConfig(unsent_bytes=1 << 20))


def test_who_comes_back_does_not_wait_for_the_connection_that_hangs(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        first = await connect(http)
        token = (await first.receive_json())["resume"]
        transport = first._conn.transport  # type: ignore[union-attr]
        transport.pause_reading()  # type: ignore[union-attr]
        again = await connect(http, Hello(1, token))
        assert (await again.receive_json(timeout=5))["resumed"]
        transport.abort()  # type: ignore[union-attr]

    serve(tmp_path, act)


def test_of_ended_sessions_the_newest_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number:016x}").mkdir()
        os.utime(tmp_path / f"{number:016x}", (number, number))
    (tmp_path / "mine").mkdir()

    async def act(service: Service, http: TestClient) -> None:
        await (await connect(http)).receive_json()
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            *(f"{number:016x}" for number in (3, 4)),
            "mine",
        ]

    serve(tmp_path, act, service=ServiceConfig(kept_sessions=2))


def test_who_connects_first_talks_to_the_services_own_session(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        own = await service.sessions.begin_own()
        first, second = await connect(http), await connect(http)
        names = [(await socket.receive_json())["session"] for socket in (first, second)]
        assert names[0] == own.names.id != names[1]
        await first.close()
        again = await connect(http)
        assert (await again.receive_json())["session"] == own.names.id
        assert ("stop",) not in service.made[0].calls

    serve(tmp_path, act, service=ServiceConfig(grace_s=0, max_sessions=2))


def test_an_empty_url_gives_the_session_back_to_its_client(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        socket = await connect(http)
        await socket.receive_json()
        for url in ("rtmp://localhost/a", ""):
            await socket.send_str(encode_text(PullMessage(url)))
        await socket.send_str(encode_text(PingMessage(1)))
        await socket.receive_json()
        assert service.made[0].calls == [("start",), ("pull", "rtmp://localhost/a"), ("pull",)]

    serve(tmp_path, act)
