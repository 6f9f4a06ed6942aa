"""Lets connections in: how many of an address, how often, and how long they may take to begin.

What is refused here is closed before a byte of it is read: neither TLS nor HTTP is spoken with it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from omnilive.service.config import ClientConfig
from omnilive.service.rate import AddressRates, client_of

BACKLOG = 128
"""Connections that may wait to be let in."""

MOST_CONNECTIONS = 512
"""Of all addresses together: a process has some thousand files to open."""

HANDSHAKE_S = 10.0
"""How long a client may take over the TLS handshake, seconds."""

IDLE_S = 20.0
"""How long an HTTP connection may ask for nothing, or take over a request's head, seconds."""

UNWANTED_S = 1.0
"""How long the rest of a body is waited for that nobody reads, seconds."""

HANG_UP_S = 1.0
"""How long clients may take to hang up at the end, seconds."""

OUT_OF_FILES_S = 1.0
"""How long nobody is let in when the process can open no more files, seconds."""

PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)

MakeProtocol = Callable[[], asyncio.Protocol]


class Door:
    """Listens, and hands what it lets in to a server. Belongs to one event loop."""

    def __init__(
        self, make: MakeProtocol, config: ClientConfig, tls: ssl.SSLContext | None = None
    ) -> None:
        """Prepare.

        Args:
            make: the protocol that serves a connection.
            config: limits of one address.
            tls: what is spoken below it; None for nothing.
        """
        self._make = make
        self._most = config.connections
        self._rates = AddressRates(config.connects_per_s, config.connect_burst)
        self._tls = tls
        self._open: Counter[str] = Counter()
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The TCP port listened on."""
        return int(self._sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many are inside, their handshakes counted."""
        return self._open.total()

    async def open(self, host: str, port: int) -> None:
        """Listen on every address of ``host``.

        Raises:
            OSError: one cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listener = socket.socket(family, kind, protocol)
            self._sockets.append(listener)
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
            self._begin(self._accept(listener))

    async def close(self) -> None:
        """Let nobody else in; who is in stays."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener in self._sockets:
            listener.close()

    async def _accept(self, listener: socket.socket) -> None:
        """One connection a turn, so that many that come at once do not keep others waiting."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0)
            try:
                client, peer = await loop.sock_accept(listener)
            except OSError as e:
                if e.errno in PASSING:
                    log.error("no more connections can be opened (%s)", e.strerror)
                    await asyncio.sleep(OUT_OF_FILES_S)
                continue  # else it has gone before it was let in
            address = client_of(peer[0])
            if self._lets_in(address, loop.time()):
                self._open[address] += 1
                self._begin(self._serve(client, address))
            else:
                client.close()

    def _lets_in(self, address: str, now_s: float) -> bool:
        return (
            self._rates.take(address, now_s)
            and self._open[address] < self._most
            and self.connections < MOST_CONNECTIONS
        )

    async def _serve(self, client: socket.socket, address: str) -> None:
        guest = _Guest(self._make(), lambda: self._gone(address))
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: guest,
                client,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_S if self._tls else None,
            )
        except (OSError, asyncio.CancelledError):  # no TLS, too slow, or it has gone
            client.close()
            guest.leave()

    def _gone(self, address: str) -> None:
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Guest(asyncio.Protocol):
    """The protocol of a connection that was let in; it says once when the connection has gone."""

    def __init__(self, served: asyncio.Protocol, gone: Callable[[], None]) -> None:
        self._served = served
        self._gone = gone
        self._left = False
        self.connection_made = served.connection_made  # type: ignore[method-assign]
        self.data_received = served.data_received  # type: ignore[method-assign]
        self.eof_received = served.eof_received  # type: ignore[method-assign]
        self.pause_writing = served.pause_writing  # type: ignore[method-assign]
        self.resume_writing = served.resume_writing  # type: ignore[method-assign]

    def connection_lost(self, exc: Exception | None) -> None:
        self._served.connection_lost(exc)
        self.leave()

    def leave(self) -> None:
        """The connection has gone, or never was."""
        if not self._left:
            self._left = True
            self._gone()


def make_runner(app: web.Application) -> web.AppRunner:
    """What serves HTTP to who is let in: it waits for nothing of a client without end."""
    faults = logging.getLogger(f"{__name__}.http")
    faults.addFilter(_is_fault)
    return web.AppRunner(
        app,
        access_log=None,
        logger=faults,
        keepalive_timeout=IDLE_S,
        lingering_time=UNWANTED_S,
        shutdown_timeout=HANG_UP_S,
    )


def _is_fault(record: logging.LogRecord) -> bool:
    """Not every client's malformed request is one; those are answered, and would fill a log."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
