"""A client of the live protocol: what it hears is kept, and waited for."""

from __future__ import annotations

import asyncio
import contextlib
import io
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from PIL import Image

from omnilive.service.app import SUBPROTOCOL
from omnilive.service.media_frames import (
    AnswerAudio,
    PictureMessage,
    decode_answer_audio,
    encode_media,
)
from omnilive.service.protocol import AskMessage, ClientMessage, Hello, encode_text
from omnilive_micropack.painting import paint
from omnilive_micropack.world import World

WAIT_S = 90.0
SIZE = (320, 240)

Said = dict[str, Any]


def is_frame(event: Said) -> bool:
    return bool(event["type"] == "frame_encoded")


CAMERA_PERIOD_S = 0.5
"""Longest time between two pictures; each event of the service brings the next one, too."""


class Talk:
    """One connection. ``said``: every text message; ``events``: those of events; ``audio``."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, welcome: Said) -> None:
        self.socket = socket
        self.welcome = welcome
        self.said: list[Said] = []
        self.audio: list[AnswerAudio] = []
        self._pictures = 0
        self._changed = asyncio.Condition()
        self._reader = asyncio.ensure_future(self._read())

    @property
    def events(self) -> list[Said]:
        return [message["event"] for message in self.said if message["type"] == "event"]

    @property
    def seq(self) -> int:
        """Number of the newest message."""
        return max((message.get("seq", 0) for message in self.said), default=0)

    async def say(self, message: ClientMessage) -> None:
        await self.socket.send_str(encode_text(message))

    async def heard(self, is_it: Callable[[AnswerAudio], bool]) -> None:
        """Wait for a chunk of sound."""
        await self._wait(lambda: any(map(is_it, self.audio)))

    async def ended(self) -> None:
        """Wait until the service has closed the connection."""
        await asyncio.wait_for(asyncio.shield(self._reader), WAIT_S)

    async def until(self, is_it: Callable[[Said], bool], after: int = 0) -> Said:
        """The first event that is it, of those from the ``after``-th on."""
        await self._wait(lambda: self._reader.done() or any(map(is_it, self.events[after:])))
        return next(filter(is_it, self.events[after:]))

    async def seen(self, count: int) -> None:
        """Wait until so many frames have been seen on this connection."""

        def enough() -> bool:
            return sum(is_frame(event) for event in self.events) >= count

        await self.until(lambda _: enough())

    async def show(self, world: World, at_s: float, count: int) -> None:
        """Send the picture of a time as a camera does, until it has been seen ``count`` times."""
        picture = io.BytesIO()
        Image.fromarray(paint(world, at_s, SIZE)).save(picture, "JPEG", quality=92)
        before = sum(is_frame(event) for event in self.events)
        while sum(is_frame(event) for event in self.events) < before + count:
            now_us = time.monotonic_ns() // 1000
            message = PictureMessage(self._pictures, now_us, picture.getvalue())
            self._pictures += 1
            await self.socket.send_bytes(encode_media(message))
            async with self._changed:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), CAMERA_PERIOD_S)

    async def ask(self, question: str) -> str:
        """Type a question; its answer, once it has been decoded."""
        after = len(self.events)
        await self.say(AskMessage(question))
        asked = await self.until(
            lambda e: e["type"] == "transcribed" and e.get("typed", False), after
        )
        ended = await self.until(
            lambda e: (
                e["type"] in ("answer_finished", "answer_cancelled", "unanswered")
                and e["utterance"] == asked["utterance"]
            ),
            after,
        )
        assert ended["type"] == "answer_finished", ended
        return str(ended["text"]).strip()

    async def hang_up(self) -> None:
        """Break the connection without a word."""
        connection = self.socket._conn
        assert connection is not None and connection.transport is not None
        connection.transport.abort()
        await self._reader

    async def close(self) -> None:
        await self.socket.close()
        await self._reader

    async def _wait(self, done: Callable[[], bool]) -> None:
        async def wait() -> None:
            async with self._changed:
                await self._changed.wait_for(done)

        await asyncio.wait_for(wait(), WAIT_S)

    async def _read(self) -> None:
        try:
            async for message in self.socket:
                async with self._changed:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        self.said.append(message.json())
                    elif message.type is aiohttp.WSMsgType.BINARY:
                        self.audio.append(decode_answer_audio(message.data))
                    self._changed.notify_all()
        finally:
            async with self._changed:
                self._changed.notify_all()


@asynccontextmanager
async def talking(
    url: str, resume: str = "", after: int = 0, trust: ssl.SSLContext | None = None
) -> AsyncIterator[Talk]:
    """A connection whose hello has been answered; ``trust`` is what a phone trusts."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust or True)) as http:
        address = f"{url}v1/live" + ("?resume" if resume else "")
        socket = await http.ws_connect(address, protocols=(SUBPROTOCOL,))
        await socket.send_str(encode_text(Hello(1, resume, after)))
        welcome = await socket.receive_json()
        assert welcome["type"] == "welcome", welcome
        talk = Talk(socket, welcome)
        yield talk
        await talk.close()
