"""Stands in for sessions where a test is about connections: what is called is written down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import ClientWebSocketResponse
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web_runner import BaseRunner

from omnilive import events
from omnilive.events import Event
from omnilive.service.app import SUBPROTOCOL, Served, make_app
from omnilive.service.config import ClientConfig, ServiceConfig, WebRtcConfig
from omnilive.service.ice import ice_policy
from omnilive.service.live_session import SessionNames
from omnilive.service.memory_view import MemoryView
from omnilive.service.metrics import Metrics
from omnilive.service.outbox import Outbox
from omnilive.service.peers import Peers
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
        self.pulls = False
        self.fed: list[FakeFeed] = []
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
            asyncio.get_running_loop().call_soon(self.say, event)
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

    def feed(self) -> FakeFeed:
        for before in self.fed:
            before.close()
        self.fed.append(FakeFeed())
        return self.fed[-1]

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


class FakeFeed:
    """What a WebRTC peer gives; ``until`` waits for it."""

    max_side_px = 1920

    def __init__(self) -> None:
        self.pictures: list[tuple[int, np.ndarray]] = []
        self.sound: list[tuple[int, np.ndarray]] = []
        self.notices: list[str] = []
        self.closed = False
        self._changed = asyncio.Condition()

    def wants_picture(self, pts_us: int) -> bool:
        return True

    def push_picture(self, pts_us: int, rgb: np.ndarray) -> None:
        self.pictures.append((pts_us, rgb))
        self._tell()

    def push_sound(self, pts_us: int, samples: np.ndarray) -> None:
        self.sound.append((pts_us, samples))
        self._tell()

    def notice(self, what: str) -> None:
        self.notices.append(what)
        self._tell()

    def close(self) -> None:
        self.closed = True

    async def until(self, done: Callable[[FakeFeed], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: done(self))

    def _tell(self) -> None:
        async def tell() -> None:
            async with self._changed:
                self._changed.notify_all()

        self._telling = asyncio.ensure_future(tell())


class Service:
    """A service on a free port over fake sessions.

    ``making`` is called on the thread that makes one, before it is made.
    """

    def __init__(
        self,
        folder: Path,
        service: ServiceConfig,
        client: ClientConfig,
        token: str = "",
        *,
        ready: bool = True,
        on_loopback: bool = True,
        webrtc: WebRtcConfig | None = None,
    ) -> None:
        self.made: list[FakeSession] = []
        self.making: Callable[[], object] = lambda: None
        self.sessions = Sessions(service, service.max_sessions, folder, self._make)  # type: ignore[arg-type]
        self._client_config = client
        self.metrics = Metrics(lambda: len(self.sessions), lambda: 0, lambda: 5_000, lambda: 0)

        def pull(session: Any, url: str) -> None:
            if url:
                check_pull(url, client, on_loopback=on_loopback)
            session.pull([url] if url else [])

        webrtc = webrtc or WebRtcConfig()
        peers = Peers(webrtc, ice_policy(webrtc, "127.0.0.1"), client.picture_pixels)
        self.app = make_app(
            Served(service, client, token, self.sessions, self.metrics, lambda: ready, pull, peers)
        )

    def _make(self, names: SessionNames, folder: Path) -> FakeSession:
        self.making()
        session = FakeSession(names, folder, self._client_config)
        session.listen(self.metrics.listener())
        self.made.append(session)
        return session


class AsServed(TestServer):
    """Leaves a handler alone whose client has gone, as the service does."""

    async def _make_runner(self, **kwargs: Any) -> BaseRunner:
        return await super()._make_runner(**{**kwargs, "handler_cancellation": False})


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[TestClient]:
    """A client of the service while it serves."""
    async with TestClient(AsServed(service.app)) as client:
        yield client


async def connect(client: TestClient, hello: Hello | None = None) -> ClientWebSocketResponse:
    """An open WebSocket, with its hello sent."""
    socket = await client.ws_connect("/v1/live", protocols=(SUBPROTOCOL,))
    await socket.send_str(encode_text(hello or Hello(1)))
    return socket


PROMPT_TOKENS = 41
"""Of the prompt of every answer made here."""


def answer(utterance: int, words: list[str]) -> list[Event]:
    """The events of an answer from its question to its end."""
    chosen = events.EvidenceChosen(utterance, 1, (), 0, 0, 0, 7, PROMPT_TOKENS, "", 0.0, (), 0)
    decoded: list[Event] = [
        events.TokenDecoded(utterance, 1, index, word) for index, word in enumerate(words)
    ]
    end = events.AnswerFinished(utterance, 1, "".join(words), "en", len(words), "stop")
    return [chosen, *decoded, end]


Act = Callable[[Service, TestClient], Awaitable[Any]]


def serve(
    folder: Path,
    act: Act,
    *,
    service: ServiceConfig | None = None,
    client: ClientConfig | None = None,
    **options: Any,
) -> Any:
    """Run ``act`` against a service."""

    async def run() -> Any:
        made = Service(folder, service or ServiceConfig(), client or ClientConfig(), **options)
        async with running(made) as http:
            return await act(made, http)

    return asyncio.run(asyncio.wait_for(run(), 60))
