"""A live stream on HTTP that ends, goes away and comes back. It measures nothing.

A file is sent at the speed it was made, as a camera's MPEG-TS comes; who connects again gets it
from its beginning.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from aiohttp import web

from omnilive_micropack.render import render_stream
from omnilive_micropack.story import make_world

SECONDS = 60.0
SIZE = (320, 240)
FPS = 5
PATH = "room.ts"
SENDS_S = 0.1
AWAY_S = 8.0
"""How long it is gone, seconds: refused connections, and some of the puller's growing waits."""


class Broadcast:
    """Serves a file as a live stream, on one port for as long as it lives."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Render what is shown, a world of the micropack with its noise."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / PATH
        render_stream(file, make_world(seed, SECONDS), size=SIZE, fps=FPS)
        self._data = file.read_bytes()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self.gone_s: list[tuple[float, float]] = []
        """When it was cut and when it was back, by the monotonic clock."""

    @property
    def url(self) -> str:
        """Where it is, once started."""
        return f"http://127.0.0.1:{self._port}/{PATH}"

    async def start(self) -> None:
        """Take connections."""
        app = web.Application()
        app.router.add_get(f"/{PATH}", self._send)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        if not self._port:
            self._port = self._runner.addresses[0][1]

    async def kill(self) -> None:
        """Cut everybody off and take no more connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def come_and_go(self, every_s: float, times: int) -> None:
        """Be gone for a while, so many times."""
        began_s = time.monotonic()
        for index in range(times):
            await asyncio.sleep(began_s + (index + 1) * every_s - time.monotonic())
            cut_s = time.monotonic()
            await self.kill()
            await asyncio.sleep(AWAY_S)
            await self.start()
            self.gone_s.append((cut_s, time.monotonic()))

    async def _send(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "video/mp2t"})
        await response.prepare(request)
        size = max(1, round(len(self._data) * SENDS_S / SECONDS))
        for at in range(0, len(self._data), size):
            await response.write(self._data[at : at + size])
            await asyncio.sleep(SENDS_S)
        return response
