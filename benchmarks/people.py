"""People of a soak besides those who type: who speak, and who have a stream of theirs watched.

They measure nothing but when things were said.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from typing import Any

import aiohttp
import numpy as np

from live_service import ANSWER_S, BLOCK_SAMPLES, OUTCOMES, Person
from omnilive.service.protocol import PullMessage, encode_text
from omnilive_micropack.speech import SPEAKERS, speak

SAID = (
    "what do you see now",
    "what is the color of the mug",
    "did you see a mug",
    "how many people are in the room",
)
INTERRUPTS = 0.3
"""Share of the answers that are spoken into as they are heard."""

NOISE_RMS = 0.001
"""Of a quiet room, of full scale."""


class Speaker(Person):
    """Somebody who asks aloud, and now and then speaks into an answer.

    Attributes:
        spoken_s: seconds from the end of each question to its first token, with when it ended.
        interrupted: answers that were spoken into and stopped.
        words: questions understood to hold words.
    """

    def __init__(self, url: str, seed: int) -> None:
        super().__init__(url, seed)
        self.spoken_s: list[tuple[float, float]] = []
        self.interrupted = 0
        self.words = 0
        self._rng = random.Random(seed)
        self._noise = np.random.default_rng(seed)
        speaker = SPEAKERS[seed % len(SPEAKERS)]
        self._said = [speak(text, "en", speaker) for text in SAID]
        self._voice: deque[np.ndarray] = deque()
        self._quiet = asyncio.Event()

    def _sound(self) -> np.ndarray:
        block = (NOISE_RMS * self._noise.standard_normal(BLOCK_SAMPLES)).astype(np.float32)
        if self._voice:
            voice = self._voice.popleft()
            block[: len(voice)] += voice
        if not self._voice:
            self._quiet.set()
        return block

    async def _ask(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while not self._events.empty():
            self._events.get_nowait()
        ended_s = await self._say()
        interrupts = self._rng.random() < INTERRUPTS
        utterance, first_s = None, None
        try:
            while True:
                left_s = ended_s + ANSWER_S - time.monotonic()
                event = await asyncio.wait_for(self._events.get(), left_s)
                kind = event["type"]
                if kind == "speech_started":
                    utterance = event["utterance"]
                elif kind == "answer_interrupted":
                    self.interrupted += 1
                elif utterance is None or event.get("utterance") != utterance:
                    continue
                elif kind == "transcribed":
                    self.words += bool(event["text"].strip())
                elif kind == "token_decoded" and first_s is None:
                    first_s = time.monotonic()
                    self.spoken_s.append((ended_s, max(0.0, first_s - ended_s)))
                elif kind == "sentence_spoken" and interrupts:
                    interrupts, utterance, first_s = False, None, None
                    ended_s = await self._say()
                elif kind in OUTCOMES:
                    return
        except asyncio.TimeoutError:
            self.lost += 1

    async def _say(self) -> float:
        """Say a question into the microphone; returns when it was over."""
        said = self._rng.choice(self._said)
        self._quiet.clear()
        self._voice.extend(
            said[at : at + BLOCK_SAMPLES] for at in range(0, len(said), BLOCK_SAMPLES)
        )
        await self._quiet.wait()
        return time.monotonic()


class Watcher(Person):
    """Somebody who types about a stream that the service pulls.

    Attributes:
        connected_s: when the service has said that it is connected to the stream.
        seen: frames that were encoded.
    """

    def __init__(self, url: str, seed: int, stream: str) -> None:
        super().__init__(url, seed)
        self._stream = stream
        self._pulls = False
        self.connected_s: list[float] = []
        self.seen = 0

    async def _begin(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        if not self._pulls:  # the session goes on pulling when its client has gone
            self._pulls = True
            await socket.send_str(encode_text(PullMessage(self._stream)))

    def _take(self, event: dict[str, Any]) -> None:
        if event["type"] == "source_notice" and "connected to" in event["what"]:
            self.connected_s.append(time.monotonic())
        self.seen += event["type"] == "frame_encoded"
        super()._take(event)
