"""Who is let in, how often and for how long: over real connections, before any route."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from omnilive.service import completions, door
from omnilive.service.config import ClientConfig, ServiceConfig
from omnilive.service.door import Door, make_runner
from omnilive.service.rate import MOST_ADDRESSES, AddressRates, client_of
from service_fakes import Service

GET = b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"
GET_ONCE = GET[:-2] + b"Connection: close\r\n\r\n"
Act = Callable[[Door], Awaitable[Any]]


def enter(
    act: Act,
    app: web.Application | None = None,
    tls: ssl.SSLContext | None = None,
    **limits: Any,
) -> Any:
    """Run ``act`` with an open door before an application, by default of the service."""

    async def run() -> Any:
        config = ClientConfig(**limits)
        runner = make_runner(app or Service(Path("unused"), ServiceConfig(), config).app)
        await runner.setup()
        assert runner.server is not None
        opened = Door(runner.server, config, tls)
        await opened.open("127.0.0.1", 0)
        try:
            return await act(opened)
        finally:
            await opened.close()
            await runner.cleanup()

    return asyncio.run(asyncio.wait_for(run(), 60))


@dataclass(frozen=True)
class Caller:
    """A connection to the door."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> bytes:
        """The head of an answer."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def all(self) -> bytes:
        """What comes until the service closes; nothing where the caller is not let in."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""
        finally:
            self.writer.close()


async def call(opened: Door, data: bytes = b"", address: str = "127.0.0.1") -> Caller:
    """A connection from an address of this machine, with so much sent."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", opened.port, local_addr=(address, 0)
    )
    writer.write(data)
    return Caller(reader, writer)


def test_an_address_has_only_so_many_connections_open_and_others_are_let_in() -> None:
    async def act(opened: Door) -> None:
        inside = [await call(opened, GET) for _ in range(3)]
        for caller in inside:
            assert b" 200 " in await caller.head()
        assert await (await call(opened, GET)).all() == b""
        other = await call(opened, GET, "127.0.0.2")
        assert b" 200 " in await other.head()
        inside[0].writer.close()
        while not (again := await (await call(opened, GET_ONCE)).all()):
            await asyncio.sleep(0)
        assert b" 200 " in again

    enter(act, connections=3, connect_burst=1_000_000)


def test_an_address_connects_only_so_often_and_others_are_let_in() -> None:
    async def act(opened: Door) -> None:
        for _ in range(3):
            assert b" 200 " in await (await call(opened, GET_ONCE)).all()
        assert await (await call(opened, GET_ONCE)).all() == b""
        assert b" 200 " in await (await call(opened, GET_ONCE, "127.0.0.2")).all()

    enter(act, connects_per_s=0.01, connect_burst=3)


def test_all_addresses_together_have_only_so_many_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "MOST_CONNECTIONS", 2)

    async def act(opened: Door) -> None:
        inside = [await call(opened, GET, f"127.0.0.{host}") for host in (2, 3)]
        for caller in inside:
            assert b" 200 " in await caller.head()
        assert await (await call(opened, GET, "127.0.0.4")).all() == b""

    enter(act)


@pytest.mark.parametrize("data", [b"", b"GET / HT", GET[:-2]], ids=["silent", "half", "open head"])
def test_a_client_that_does_not_finish_its_request_is_hung_up_on(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "IDLE_S", 0.1)

    async def act(opened: Door) -> None:
        assert await (await call(opened, data)).all() == b""

    enter(act)


def test_a_head_that_comes_letter_by_letter_gets_no_more_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "IDLE_S", 0.2)

    async def act(opened: Door) -> None:
        caller = await call(opened, b"GET / HTTP/1.1\r\nX: ")
        ended = asyncio.ensure_future(caller.all())
        while not ended.done():
            caller.writer.write(b"a")
            await asyncio.wait({ended}, timeout=0.01)
        assert await ended == b""

    enter(act)


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completions, "BODY_S", 0.05)
    monkeypatch.setattr(door, "UNWANTED_S", 0.05)

    async def act(opened: Door) -> None:
        request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90\r\n"
        request += b"Content-Type: application/json\r\n\r\n{"
        said = await (await call(opened, request)).all()
        assert said.startswith(b"HTTP/1.1 408 ")

    enter(act)


@pytest.mark.parametrize(
    "data",
    [
        b"no request at all\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-Many: a\r\n" * 1_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n",
    ],
    ids=["garbage", "version", "long path", "long header", "many headers", "two lengths"],
)
def test_a_request_that_is_none_is_refused_without_a_trace_in_the_log(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(opened: Door) -> None:
        said = await (await call(opened, data)).all()
        assert b" 400 " in said.partition(b"\r\n")[0]
        assert b" 200 " in await (await call(opened, GET_ONCE)).all()

    enter(act)
    assert not caplog.records


def test_a_fault_of_the_service_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_: web.Request) -> web.StreamResponse:
        raise RuntimeError("a fault of the service")

    async def act(opened: Door) -> None:
        answer = await (await call(opened, GET_ONCE)).all()
        assert b" 500 " in answer and b"fault" not in answer

    app = web.Application()
    app.router.add_get("/live", fail)
    enter(act, app)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize("data", [b"", GET, b"\x16\x03\x01\x00"], ids=["silent", "no TLS", "half"])
def test_who_does_not_finish_the_tls_handshake_is_hung_up_on(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "HANDSHAKE_S", 0.1)

    async def act(opened: Door) -> None:
        for _ in range(3):
            said = await (await call(opened, data)).all()
            assert b"HTTP" not in said
            while opened.connections:
                await asyncio.sleep(0)

    enter(act, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), connections=1)


def test_what_cannot_be_listened_on_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:

        async def act() -> None:
            second = Door(asyncio.Protocol, ClientConfig())
            try:
                with pytest.raises(OSError, match="use"):
                    await second.open("127.0.0.1", taken.getsockname()[1])
            finally:
                await second.close()

        asyncio.run(act())


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.168.1.4", "192.168.1.4"),
        ("::ffff:192.168.1.4", "192.168.1.4"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::99", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        (None, ""),
    ],
)
def test_all_addresses_of_one_subscriber_are_one_client(address: str | None, client: str) -> None:
    assert client_of(address) == client


def test_rates_of_many_addresses_take_no_more_room_than_of_some() -> None:
    rates = AddressRates(0.01, 1)
    for number in range(MOST_ADDRESSES + 100):
        assert rates.take(str(number), 0.0)
    assert len(rates._rates) == MOST_ADDRESSES
    assert not rates.take(str(MOST_ADDRESSES + 99), 0.0)
