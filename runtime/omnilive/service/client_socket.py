"""The WebSocket of one client, read and closed so that no client can hold anything else up.

One message is taken a turn of the event loop; what is sent, and every close, has an end in time
whether the client reads or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Coroutine
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

CLOSE_S = 1.0
"""How long a client may take to agree to a close, seconds; then it is cut off."""

LINGER_S = 0.25
"""Between the reason a client is cut off for and the cut, seconds: the reason travels meanwhile."""

ENDS = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
CONTROLS = (WSMsgType.PING, WSMsgType.PONG)


class CutOffError(Exception):
    """A client has broken a rule that ends its connection.

    Attributes:
        code: close code.
        reason: what it is told.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class ClientSocket:
    """An open WebSocket; made without ``autoping`` and ``autoclose``: control frames count, too."""

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport, unread_s: float
    ) -> None:
        """Wrap.

        Args:
            socket: prepared.
            transport: what is below it.
            unread_s: how long a message may wait for a client that reads nothing, seconds; then
                the connection is broken.
        """
        self._socket = socket
        self._transport = transport
        self._unread_s = unread_s
        self._ending = False

    async def receive(self) -> WSMessage:
        """The next message, a ping or pong too. Whatever else has something to do comes first."""
        await asyncio.sleep(0)
        message = await self._socket.receive()
        if self._ending and message.type in ENDS:
            self._transport.close()  # both have said it: browsers complain of a second close
        return message

    async def pong(self, data: bytes) -> None:
        """Answer a ping."""
        await self._bounded(self._socket.pong(data))

    async def send(self, message: str | bytes) -> None:
        """Send a text or binary message; waits while the client reads too slowly.

        Raises:
            ConnectionError: it has gone, or has read nothing for too long.
        """
        if isinstance(message, bytes):
            await self._bounded(self._socket.send_bytes(message))
        else:
            await self._bounded(self._socket.send_str(message))

    async def end(self, code: int, reason: str) -> None:
        """Close once all before it has been read; who receives sees the client agree.

        Raises:
            ConnectionError: it has not agreed in time, and is cut off.
        """
        self._ending = True
        await self._bounded(self._socket.send_frame(_close(code, reason), WSMsgType.CLOSE))
        await asyncio.sleep(CLOSE_S)
        self._transport.abort()
        raise ConnectionResetError("the client does not agree to the close")

    async def cut_off(self, code: int, reason: str) -> None:
        """Say why and break the connection. Not a byte more of it is read meanwhile."""
        self._transport.pause_reading()
        with contextlib.suppress(asyncio.TimeoutError, ConnectionError):  # it may not read
            frame = self._socket.send_frame(_close(code, reason), WSMsgType.CLOSE)
            await asyncio.wait_for(frame, LINGER_S)
            await asyncio.sleep(LINGER_S)
        self._transport.abort()

    async def _bounded(self, sending: Coroutine[Any, Any, None]) -> None:
        timer = asyncio.get_running_loop().call_later(self._unread_s, self._transport.abort)
        try:
            await sending
        finally:
            timer.cancel()


def _close(code: int, reason: str) -> bytes:
    return struct.pack(">H", code) + reason.encode()
