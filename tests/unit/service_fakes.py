"""Stands in for sessions where a test is about connections: what is called is written down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import ClientWebSocketResponse
from aiohttp.test_utils import TestClient, TestServer

from omnilive import events
from omnilive.events import Event
from omnilive.service.app import SUBPROTOCOL, Served, make_app
from omnilive.service.config import ClientConfig, ServiceConfig
from omnilive.service.live_session import SessionNames
from omnilive.service.memory_view import MemoryView
from omnilive.service.metrics import Metrics
from omnilive.service.outbox import Outbox
from omnilive.service.protocol import Hello, encode_text
from omnilive.service.pull_guard import check_pull
from omnilive.service.rate import SessionRates
from omnilive.service.sessions import Sessions


class FakeSession:
    """A session as the service knows it, without engines.

    ``full`` makes it refuse that many blocks of sound first; ``wants`` says which pictures it
    looks at.
    """

    def __init__(self, names: SessionNames, folder: Path, client: ClientConfig) -> None:
        self.names, self.folder = names, folder
        self.calls: list[tuple[Any, ...]] = []
        self.full = 0
        self.wants: Callable[[int], bool] = lambda pts_us: True
        self.outbox = Outbox(client.replayed_messages, client.unsent_bytes)
        self.rates = SessionRates(client, time.monotonic())
        self.memory = MemoryView()
        self.connection: Any = None
        self.ended = asyncio.Event()
        self.events = 0
        self.now_us = 0
        self.remembered_bytes = 0
        self.asked = 0
        self._listeners: list[Callable[[int, int, Event], None]] = []
        self.answer_to: Callable[[int, str], list[Event]] = lambda utterance, text: []

    def start(self) -> None:
        self.calls.append(("start",))

    def listen(self, listener: Callable[[int, int, Event], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def say(self, event: Event) -> None:
        """Let an event happen."""
        self.events += 1
        self.memory.take(event)
        for listener in tuple(self._listeners):
            listener(self.events, self.now_us, event)

    def ask(self, text: str) -> int | None:
        if self.ended.is_set():
            return None
        self.asked += 1
        self.calls.append(("ask", text))
        for event in self.answer_to(-self.asked, text):
            self.say(event)
        return -self.asked

    def interrupt(self, generation: int, samples: int) -> None:
        self.calls.append(("interrupt", generation, samples))

    def playout(self, generation: int, samples: int, *, final: bool) -> None:
        self.calls.append(("playout", generation, samples, final))

    def resume_answer(self) -> bool:
        self.calls.append(("resume",))
        return False

    def wants_picture(self, pts_us: int) -> bool:
        return self.wants(pts_us)

    def push_picture(self, pts_us: int, rgb: np.ndarray) -> None:
        self.calls.append(("frame", pts_us, rgb.shape))

    def push_sound(self, pts_us: int, samples: np.ndarray) -> bool:
        if self.full:
            self.full -= 1
            return False
        self.calls.append(("pcm", pts_us, len(samples)))
        return True

    def restart_clock(self) -> None:
        self.calls.append(("clock",))

    def pull(self, addresses: list[str]) -> None:
        self.calls.append(("pull", *addresses))

    def end(self) -> None:
        self.finish()

    def stop(self) -> None:
        self.calls.append(("stop",))
        self.finish()

    def finish(self) -> None:
        self.outbox.say("ended")
        self.outbox.close()
        self.ended.set()


class Service:
    """A service on a free port over fake sessions."""

    def __init__(
        self,
        folder: Path,
        service: ServiceConfig,
        client: ClientConfig,
        token: str = "",
        *,
        ready: bool = True,
        on_loopback: bool = True,
    ) -> None:
        self.made: list[FakeSession] = []
        self.sessions = Sessions(service, service.max_sessions, folder, self._make)  # type: ignore[arg-type]
        self._client_config = client
        self.metrics = Metrics(lambda: len(self.sessions), lambda: 0)

        def pull(session: Any, url: str) -> None:
            if url:
                check_pull(url, client, on_loopback=on_loopback)
            session.pull([url] if url else [])

        self.app = make_app(
            Served(service, client, token, self.sessions, self.metrics, lambda: ready, pull)
        )

    def _make(self, names: SessionNames, folder: Path) -> FakeSession:
        session = FakeSession(names, folder, self._client_config)
        session.listen(self.metrics.listener())
        self.made.append(session)
        return session


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[TestClient]:
    """A client of the service while it serves."""
    async with TestClient(TestServer(service.app)) as client:
        yield client


async def connect(client: TestClient, hello: Hello | None = None) -> ClientWebSocketResponse:
    """An open WebSocket, with its hello sent."""
    socket = await client.ws_connect("/v1/live", protocols=(SUBPROTOCOL,))
    await socket.send_str(encode_text(hello or Hello(1)))
    return socket


def answer(utterance: int, words: list[str]) -> list[Event]:
    """The events of an answer from its question to its end."""
    decoded: list[Event] = [
        events.TokenDecoded(utterance, 1, index, word) for index, word in enumerate(words)
    ]
    end = events.AnswerFinished(utterance, 1, "".join(words), "en", len(words), "stop")
    return [*decoded, end]
