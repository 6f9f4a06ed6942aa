"""What hostile clients do to a service, from a process of their own. It measures nothing.

``attacks.py URL SECONDS`` says that it is ready, begins at a line, and says how many there were.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import itertools
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import urlsplit

import aiohttp
from PIL import Image

from live_service import hang_up
from omnilive.service.app import SUBPROTOCOL
from omnilive.service.media_frames import PictureMessage, encode_media
from omnilive.service.protocol import AskMessage, Hello, PingMessage, encode_text

LONGEST_S = 5.0
"""An attack that the service sits out is given up then, seconds."""
PAUSE_S = 0.05
ADDRESSES = tuple(f"127.0.0.{host}" for host in range(2, 10))
"""Where attacks come from, in turn: each has the limits of a client, and nobody else has its."""
NICE = 10
"""Priority of the attackers: their own work is not to slow the service down."""


class Attacker:
    """A hostile client with a session of its own, which it takes up again for each attack."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._token = ""
        self._addresses = itertools.cycle(ADDRESSES)

    async def attack(self, until: Callable[[], bool]) -> int:
        """Every attack in turn, over and over, until told to stop; returns how many."""
        attacks: tuple[Callable[[], Awaitable[None]], ...] = (
            self.guess_tokens,
            self.send_garbage,
            self.flood,
            self.flood_with_pings,
            self.send_fragments,
            self.fetch,
            self.ask_without_end,
            self.send_bombs,
            self.read_nothing,
            self.say_nothing,
        )
        count = 0
        while not until():
            with contextlib.suppress(aiohttp.ClientError, ConnectionError, asyncio.TimeoutError):
                await asyncio.wait_for(attacks[count % len(attacks)](), LONGEST_S)
            count += 1
            await asyncio.sleep(PAUSE_S)
        return count

    async def guess_tokens(self) -> None:
        """Ask for sessions by ids that are none, and greet with tokens that are none."""
        async with self._http() as http:
            for _ in range(20):
                address = f"{self._url}v1/sessions/{random.randbytes(8).hex()}/memory"
                async with http.get(address) as answer:
                    await answer.read()
            socket = await http.ws_connect(f"{self._url}v1/live?resume", protocols=(SUBPROTOCOL,))
            await socket.send_str(encode_text(Hello(1, random.randbytes(24).hex())))
            await socket.receive()
            await socket.close()

    async def fetch(self) -> None:
        """Fetch the page as fast as it comes."""
        async with self._http() as http:
            for _ in range(2_000):
                async with http.get(self._url) as answer:
                    await answer.read()

    async def send_garbage(self) -> None:
        """Send what is no message, until cut off."""
        async with self._greeted() as socket:
            for _ in range(200):
                await socket.send_bytes(random.randbytes(random.randrange(1, 4_000)))
                await socket.send_str('{"type": "' + "[" * 2_000)

    async def flood(self) -> None:
        """Send valid messages as fast as they are taken."""
        async with self._greeted() as socket:
            for _ in range(5_000):
                await socket.send_str(encode_text(PingMessage(1)))

    async def flood_with_pings(self) -> None:
        """Send control frames, which no message limit of a library counts."""
        async with self._greeted() as socket:
            for _ in range(20):
                _transport(socket).write(frame(PING) * 20_000)
                await asyncio.sleep(0)

    async def send_fragments(self) -> None:
        """Send a message in very many parts of one byte, without an end."""
        async with self._greeted() as socket:
            _transport(socket).write(frame(BINARY, b"a", last=False))
            for _ in range(20):
                _transport(socket).write(frame(MORE, b"a", last=False) * 20_000)
                await asyncio.sleep(0)

    async def ask_without_end(self) -> None:
        """Ask questions as fast as they are taken: too long ones, and some that are answered."""
        async with self._greeted() as socket:
            for index in range(200):
                words = 1 if index == 0 else 500
                await socket.send_str(encode_text(AskMessage("what " * words)))

    async def send_bombs(self) -> None:
        """Send pictures far larger than their files, then a message beyond any limit."""
        async with self._greeted() as socket:
            for index in range(20):
                await socket.send_bytes(encode_media(PictureMessage(index, index, bomb())))
            await socket.send_bytes(bytes(8 << 20))

    async def read_nothing(self) -> None:
        """Never read what is said."""
        async with self._greeted() as socket:
            _transport(socket).pause_reading()
            for index in range(100):
                await socket.send_str(encode_text(PingMessage(index)))
            await asyncio.sleep(1)

    async def say_nothing(self) -> None:
        """Open connections, send half a request or nothing at all, and break off."""
        address = urlsplit(self._url)
        for index in range(20):
            _, writer = await asyncio.open_connection(
                address.hostname, address.port, local_addr=(next(self._addresses), 0)
            )
            if index % 2:
                writer.write(b"GET /v1/live HTTP/1.1\r\nHost: a\r\n")
                await writer.drain()
            writer.transport.abort()

    def _http(self) -> aiohttp.ClientSession:
        here = (next(self._addresses), 0)
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=here))

    @asynccontextmanager
    async def _greeted(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self._http() as http:
            address = f"{self._url}v1/live?resume"
            socket = await http.ws_connect(address, protocols=(SUBPROTOCOL,))
            await socket.send_str(encode_text(Hello(1, self._token)))
            welcome = await socket.receive_json()
            self._token = welcome.get("resume", self._token)
            try:
                yield socket
            finally:
                hang_up(socket)


BINARY, PING, MORE = 0x2, 0x9, 0x0


def frame(opcode: int, payload: bytes = b"", *, last: bool = True) -> bytes:
    """A WebSocket frame of a client, of fewer than 126 bytes, masked with zeros."""
    return bytes([last << 7 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


@functools.cache
def bomb() -> bytes:
    """A JPEG of a hundred kilobytes or so that holds 36 million pixels."""
    file = io.BytesIO()
    Image.new("L", (6_000, 6_000)).save(file, "JPEG", quality=1)
    return file.getvalue()


@asynccontextmanager
async def attacking(url: str, seconds: float) -> AsyncIterator[Awaitable[int]]:
    """Attacks from now on for so long; how many there were is known when they end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, url, str(seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    await process.stdout.readline()
    process.stdin.write(b"\n")
    await process.stdin.drain()

    async def count() -> int:
        assert process.stdout is not None
        return int(await process.stdout.readline())

    try:
        yield count()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it may have ended
                process.kill()
            await process.wait()


def main() -> None:
    """Attack ``URL`` for ``SECONDS``."""
    url, seconds = sys.argv[1], float(sys.argv[2])
    bomb()
    os.nice(NICE)
    print("ready", flush=True)
    sys.stdin.readline()
    end_s = time.monotonic() + seconds
    print(asyncio.run(Attacker(url).attack(lambda: time.monotonic() >= end_s)), flush=True)


def _transport(socket: aiohttp.ClientWebSocketResponse) -> asyncio.Transport:
    connection = socket._conn
    if connection is None or connection.transport is None:
        raise ConnectionError("the service has hung up")
    return cast(asyncio.Transport, connection.transport)


if __name__ == "__main__":
    main()
