"""What hostile clients do to a service: one coroutine for each kind. They measure nothing."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import socket as sockets
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import aiohttp
from PIL import Image

from omnilive.service.app import SUBPROTOCOL
from omnilive.service.media_frames import PictureMessage, encode_media
from omnilive.service.protocol import AskMessage, Hello, encode_text

Attack = Callable[[str], Awaitable[None]]


async def guess_tokens(url: str) -> None:
    """Greet with resume tokens that are none."""
    async with aiohttp.ClientSession() as http:
        socket = await http.ws_connect(f"{url}v1/live?resume", protocols=(SUBPROTOCOL,))
        await socket.send_str(encode_text(Hello(1, random.randbytes(24).hex())))
        await socket.receive()
        await socket.close()


async def send_garbage(url: str) -> None:
    """Send what is no message, until cut off."""
    async with _greeted(url) as socket:
        for _ in range(200):
            await socket.send_bytes(random.randbytes(random.randrange(1, 4_000)))
            await socket.send_str('{"type": "' + "[" * 2_000)


async def flood(url: str) -> None:
    """Send valid messages as fast as they are taken."""
    async with _greeted(url) as socket:
        for _ in range(5_000):
            await socket.send_str('{"type": "ping", "id": 1}')


async def ask_without_end(url: str) -> None:
    """Ask long questions as fast as they are taken."""
    async with _greeted(url) as socket:
        for _ in range(200):
            await socket.send_str(encode_text(AskMessage("what " * 300)))


async def send_bombs(url: str) -> None:
    """Send pictures that are far larger than their files, and messages that are too long."""
    file = io.BytesIO()
    Image.new("L", (12_000, 12_000)).save(file, "JPEG", quality=1)
    async with _greeted(url) as socket:
        for index in range(20):
            await socket.send_bytes(encode_media(PictureMessage(index, index, file.getvalue())))
        await socket.send_bytes(bytes(8 << 20))


async def read_nothing(url: str) -> None:
    """Ask, and never read what is answered."""
    async with _greeted(url) as socket:
        connection = socket._conn
        assert connection is not None and connection.transport is not None
        connection.transport.pause_reading()
        for _ in range(10):
            await socket.send_str(encode_text(AskMessage("what do you see now")))
        await asyncio.sleep(2)


async def say_nothing(url: str) -> None:
    """Open connections, send half a request or nothing at all."""
    address = urlsplit(url)
    opened = []
    for index in range(20):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(address.hostname, address.port)
            opened.append(writer)
            if index % 2:
                writer.write(b"GET /v1/live HTTP/1.1\r\nHost: a\r\n")
    await asyncio.sleep(1)
    for writer in opened:
        raw = writer.get_extra_info("socket")
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.close()


ATTACKS: tuple[Attack, ...] = (
    guess_tokens,
    send_garbage,
    flood,
    ask_without_end,
    send_bombs,
    read_nothing,
    say_nothing,
)


async def attack(url: str, until: Callable[[], bool]) -> int:
    """Every attack in turn, over and over; returns how many."""
    count = 0
    while not until():
        with contextlib.suppress(aiohttp.ClientError, ConnectionError, asyncio.TimeoutError):
            await asyncio.wait_for(ATTACKS[count % len(ATTACKS)](url), 5)
        count += 1
        await asyncio.sleep(0.05)
    return count


@contextlib.asynccontextmanager
async def _greeted(url: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as http:
        socket = await http.ws_connect(f"{url}v1/live?resume", protocols=(SUBPROTOCOL,))
        await socket.send_str(encode_text(Hello(1)))
        try:
            yield socket
        finally:
            connection = socket._conn
            if connection is not None and connection.transport is not None:
                connection.transport.abort()
