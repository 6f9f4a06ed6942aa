"""What of a stopped answer still reaches a client: one WebSocket of a service in its own process.

Times of the service are stream time; ``/v1/sessions`` tells what that is by this process' clock.
The answers never end by themselves: the service is given a copy of the pack whose answers end
with a token that is never decoded.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from endless import ANSWER_TOKENS, endless_pack
from live_service import LIMITS, Running, running
from omnilive.config import load_config
from omnilive.service.app import SUBPROTOCOL
from omnilive.service.media_frames import PcmMessage, decode_answer_audio, encode_media
from omnilive.service.protocol import ClockMessage, Hello, InterruptMessage, encode_text
from omnilive.sources.types import SAMPLE_RATE_HZ, samples_to_us
from omnilive_micropack.seeds import generator
from omnilive_micropack.speech import SPEAKERS, speak

SENTENCES = ("What do you see now?", "Where is the red mug?", "Wait, who is in the room?")
QUIET_S = 3.0
"""After each question: its answer begins, is decoded and heard."""
STOPPED_AFTER_S = 2.2
"""Every other answer is stopped by a message so long after its question."""

NOISE_RMS = 0.002
BLOCK = 320
"""Samples of a message: 20 ms, as the page sends them."""

SLOW_PAUSE_S = 0.25
"""The slow client reads nothing for so long, and then everything there is: a busy phone."""
SLOW_READS_S = 0.02

SETTINGS = f"[instruction]\nthreshold = 0.0\n[reasoning]\nmax_new_tokens = {ANSWER_TOKENS}\n"
"""Every utterance is answered, and no answer ends."""

CLOCK_ASKED = 9
TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass
class Stale:
    """What was found, milliseconds; 0 where no stale chunk came after.

    Attributes:
        speech: from the sending of the sound that shows that somebody speaks to the last chunk of
            the answer spoken into.
        message: from the sending of ``interrupt`` to that chunk.
        decision: from the service's decision, of either kind, to that chunk.
    """

    speech: list[float] = field(default_factory=list)
    message: list[float] = field(default_factory=list)
    decision: list[float] = field(default_factory=list)


def measure_client(pack: Path, folder: Path, seed: int, rounds: int, *, slow: bool) -> Stale:
    """Interrupt ``rounds`` answers by speaking and as many by a message.

    Raises:
        RuntimeError: the service did not start, or heard nothing.
    """
    return asyncio.run(_measure(endless_pack(pack, folder), folder, seed, rounds, slow))


async def _measure(pack: Path, folder: Path, seed: int, rounds: int, slow: bool) -> Stale:
    async with running(pack, folder / "state", 1, LIMITS + SETTINGS) as service:
        async with _Client.connect(service) as client:
            reading = asyncio.ensure_future(client.read_slowly()) if slow else None
            try:
                await client.talk(seed, rounds)
            finally:
                if reading is not None:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
        return client.found()


class _Client:
    """One connection, and when what was sent and came."""

    def __init__(
        self, http: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse, url: str
    ) -> None:
        self._http, self._socket, self._url = http, socket, url
        self._opened = asyncio.Event()
        self._sent: list[tuple[int, float]] = []
        self._stops: list[float] = []
        self._chunks: list[tuple[int, float]] = []
        self._events: list[dict[str, Any]] = []
        self._placed_us = 0
        self._zero_s = 0.0

    @classmethod
    @asynccontextmanager
    async def connect(cls, service: Running) -> AsyncIterator[_Client]:
        """A connection with a session of its own, which reads."""
        async with aiohttp.ClientSession() as http:
            socket = await http.ws_connect(f"{service.url}v1/live", protocols=(SUBPROTOCOL,))
            await socket.send_str(encode_text(Hello(1)))
            client = cls(http, socket, service.url)
            hearing = asyncio.ensure_future(client._hear())
            try:
                yield client
            finally:
                await socket.close()
                await asyncio.gather(hearing, return_exceptions=True)

    async def read_slowly(self) -> None:
        """Read nothing for a while and then everything, again and again."""
        connection = self._socket._conn
        transport = None if connection is None else connection.transport
        assert isinstance(transport, asyncio.ReadTransport)
        while True:
            transport.pause_reading()
            await asyncio.sleep(SLOW_PAUSE_S)
            transport.resume_reading()
            await asyncio.sleep(SLOW_READS_S)

    async def talk(self, seed: int, rounds: int) -> None:
        """Say a question after the other; every second answer is stopped by a message."""
        await asyncio.wait_for(self._opened.wait(), TIMEOUT.total)
        rng = generator(seed, "client")
        said = [speak(text, "en", SPEAKERS[i % len(SPEAKERS)]) for i, text in enumerate(SENTENCES)]
        quiet = np.zeros(round(QUIET_S * SAMPLE_RATE_HZ), np.float32)
        silence = np.zeros(BLOCK, np.float32)
        await self._socket.send_bytes(encode_media(PcmMessage(0, 0, silence)))
        self._zero_s = await self._stream_zero_s()  # it reads by now
        await self._socket.send_str(encode_text(ClockMessage()))
        begin_s, at = time.monotonic(), 0
        for index in range(2 * rounds + 1):
            track = np.concatenate([said[index % len(said)], quiet])
            track += (NOISE_RMS * rng.standard_normal(len(track))).astype(np.float32)
            stop_at = len(track) - len(quiet) + round(STOPPED_AFTER_S * SAMPLE_RATE_HZ)
            for start in range(0, len(track) - BLOCK + 1, BLOCK):
                if index % 2 and start <= stop_at < start + BLOCK:
                    self._stops.append(time.monotonic())
                    await self._socket.send_str(encode_text(InterruptMessage(-1, -1)))
                due_s = begin_s + (at + BLOCK) / SAMPLE_RATE_HZ
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                await self._send(at, track[start : start + BLOCK])
                at += BLOCK

    async def _send(self, at: int, samples: np.ndarray) -> None:
        end_us, now_s = samples_to_us(at + BLOCK), time.monotonic()
        if not self._sent:  # the service takes it to have been recorded up to now
            self._placed_us = round((now_s - self._zero_s) * 1e6) - end_us
        self._sent.append((end_us, now_s))
        message = PcmMessage(at // BLOCK + 1, samples_to_us(at), samples)
        await self._socket.send_bytes(encode_media(message))

    async def _stream_zero_s(self) -> float:
        """When stream time was 0, by this process' clock: from the quickest of several answers."""
        found = []
        for _ in range(CLOCK_ASKED):
            before_s = time.monotonic()
            url = f"{self._url}v1/sessions"
            async with self._http.get(url, timeout=TIMEOUT) as answer:
                body = await answer.json()
            after_s = time.monotonic()
            zero_s = (before_s + after_s) / 2 - body["sessions"][0]["stream_us"] / 1e6
            found.append((after_s - before_s, zero_s))
        return min(found)[1]

    async def _hear(self) -> None:
        async for message in self._socket:
            now_s = time.monotonic()
            if message.type is aiohttp.WSMsgType.BINARY:
                chunk = decode_answer_audio(message.data)
                if len(chunk.samples):
                    self._chunks.append((chunk.generation, now_s))
            elif message.type is aiohttp.WSMsgType.TEXT:
                said = message.json()
                if said["type"] == "event":
                    self._events.append(said["event"])
                    if said["event"]["type"] == "source_opened":
                        self._opened.set()

    def found(self) -> Stale:
        """What came of the answers that were stopped."""
        stale = Stale()
        shows_us = load_config("edge").vad.min_speech_ms * 1000
        started = {e["generation"]: e for e in self._events if e["type"] == "speech_started"}
        for event in self._events:
            if event["type"] != "answer_interrupted":
                continue
            decided_s = self._zero_s + event["at_us"] / 1e6
            generation = event["generation"]
            stale.decision.append(self._last_ms(generation, decided_s))
            speech = started.get(event["by_generation"])
            if speech is not None:
                since_s = self._sent_s(speech["onset_us"] + shows_us)
                stale.speech.append(self._last_ms(generation, since_s))
            else:
                with contextlib.suppress(ValueError):  # stopped by neither
                    since_s = max(s for s in self._stops if s <= decided_s + SLOW_READS_S)
                    stale.message.append(self._last_ms(generation, since_s))
        if not stale.decision:
            raise RuntimeError("no answer was interrupted")
        return stale

    def _sent_s(self, stream_us: int) -> float:
        """When the sound of the stream up to then had been sent."""
        return next(at_s for end_us, at_s in self._sent if end_us + self._placed_us >= stream_us)

    def _last_ms(self, generation: int, since_s: float) -> float:
        """How long after ``since_s`` the last chunk of a generation came."""
        times = [at_s for of, at_s in self._chunks if of == generation]
        return max(0.0, max(times, default=since_s) - since_s) * 1e3
