"""A live service in a process of its own, and people who talk to it; for benchmarks that load it.

It measures nothing but when things were said.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
from PIL import Image

from omnilive.service.app import SUBPROTOCOL
from omnilive.service.media_frames import PcmMessage, PictureMessage, encode_media
from omnilive.service.protocol import AskMessage, Hello, encode_text
from omnilive_micropack.painting import paint
from omnilive_micropack.story import make_world

ANSWER_S = 60.0
"""An answer that has not ended by then is lost, seconds."""

PAUSE_S = 1.0
"""Between an answer and the next question, seconds."""

BLOCK_SAMPLES = 1_600
SIZE = (320, 240)
WORLD_S = 120.0
QUESTION = "what do you see now"
OUTCOMES = ("answer_finished", "answer_cancelled", "unanswered")

LIMITS = "[client]\nrequests_per_s = 1000\nrequest_burst = 1000\n"
"""Where everybody comes from one address, and often."""


@dataclass(frozen=True)
class Running:
    """A service that runs: its URL and its process."""

    url: str
    process: psutil.Process


@asynccontextmanager
async def running(
    pack: Path, state: Path, sessions: int, limits: str = LIMITS
) -> AsyncIterator[Running]:
    """A service for so many sessions that is ready; it is stopped in the end.

    Args:
        pack: engine pack.
        state: folder for its sessions and configuration.
        sessions: at once, and from one address.
        limits: TOML of what a client may do; empty for a service as it comes.
    """
    state.mkdir(parents=True, exist_ok=True)
    file = state / "omnilive.toml"
    own = f'port = 0\nstate = "{state}"\nmax_sessions = {sessions}\n'
    file.write_text(f"{limits}[service]\n{own}sessions_per_client = {sessions}\n", "utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "omnilive.cli.main", "serve"),
        *("--config", str(file), "--pack", str(pack)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        if not line.startswith("ready at "):
            raise RuntimeError("the service did not start")
        yield Running(line.split()[2], psutil.Process(process.pid))
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have ended
            process.send_signal(signal.SIGTERM)
        await process.wait()


class Person:
    """Somebody who shows a world of the micropack, is silent, and types questions.

    Attributes:
        lost: questions without any outcome, and connections refused though their session was due.
        answer_s: seconds from each question to its first token, with when it was asked.
    """

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        self.lost = 0
        self.resumed = 0
        self.answer_s: list[tuple[float, float]] = []
        self._token = ""
        self._seq = 0
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        world = make_world(seed, WORLD_S)
        self._pictures = [_jpeg(paint(world, float(s), SIZE)) for s in range(round(WORLD_S))]
        self._began_s = time.monotonic()

    async def visit(self, questions: int | None, until: Callable[[], bool]) -> None:
        """Connect, or take the session up again, and ask one question after another.

        Args:
            questions: how many before hanging up without a word; None for no end.
            until: whether to stop.
        """
        async with aiohttp.ClientSession() as http:
            address = f"{self.url}v1/live" + ("?resume" if self._token else "")
            socket = await http.ws_connect(address, protocols=(SUBPROTOCOL,))
            await socket.send_str(encode_text(Hello(1, self._token, self._seq)))
            welcome = json.loads((await socket.receive()).data)
            if welcome["type"] != "welcome" or (self._token and not welcome["resumed"]):
                self.lost += 1
            self.resumed += bool(welcome.get("resumed"))
            self._token = welcome.get("resume", "")
            tasks = [asyncio.ensure_future(do(socket)) for do in (self._show, self._hear)]
            try:
                asked = 0
                await self._begin(socket)
                while not until() and (questions is None or asked < questions):
                    await self._ask(socket)
                    asked += 1
                    await asyncio.sleep(PAUSE_S)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                hang_up(socket)

    async def _begin(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """What is done once per visit, before the first question."""

    def _sound(self) -> np.ndarray:
        """The next block from the microphone, float32 [BLOCK_SAMPLES]."""
        return np.zeros(BLOCK_SAMPLES, np.float32)

    async def _ask(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while not self._events.empty():
            self._events.get_nowait()
        asked_s = time.monotonic()
        await socket.send_str(encode_text(AskMessage(QUESTION)))
        utterance, first_s = None, None
        try:
            while True:
                left_s = asked_s + ANSWER_S - time.monotonic()
                event = await asyncio.wait_for(self._events.get(), left_s)
                if event["type"] == "transcribed" and event.get("typed"):
                    utterance = event["utterance"]
                elif event.get("utterance") == utterance and utterance is not None:
                    if event["type"] == "token_decoded" and first_s is None:
                        first_s = time.monotonic()
                    if event["type"] in OUTCOMES:
                        break
        except asyncio.TimeoutError:
            self.lost += 1
            return
        if first_s is not None:
            self.answer_s.append((asked_s, first_s - asked_s))

    async def _show(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """One picture a second and silence, stamped with one clock."""
        began_s = time.monotonic()
        for block in range(1 << 31):
            after_us = block * 100_000
            at_us = round((began_s - self._began_s) * 1e6) + after_us  # a clock outlives visits
            await socket.send_bytes(encode_media(PcmMessage(block, at_us, self._sound())))
            if block % 10 == 0:
                second = round(time.monotonic() - self._began_s)
                picture = self._pictures[second % len(self._pictures)]
                await socket.send_bytes(encode_media(PictureMessage(block, at_us, picture)))
            await asyncio.sleep(max(0.0, began_s + after_us / 1e6 + 0.1 - time.monotonic()))

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                said = message.json()
                self._seq = max(self._seq, said.get("seq", 0))
                if said["type"] == "event":
                    self._take(said["event"])

    def _take(self, event: dict[str, Any]) -> None:
        """Note an event, for whoever waits for an answer."""
        self._events.put_nowait(event)


def hang_up(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Break a connection without a word, as a device does that leaves the network."""
    connection = socket._conn
    if connection is not None:
        if connection.transport is not None:
            connection.transport.abort()
        connection.close()


def _jpeg(rgb: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=90)
    return file.getvalue()
