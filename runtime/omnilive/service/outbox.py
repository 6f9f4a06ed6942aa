"""What a session says to its client: numbered messages, kept for one that comes back.

Text messages are numbered from 1 and the newest are kept; sound is not kept, since it is stale by
the time anybody comes back. That of an answer that was stopped is stale at once, and what of it
still waits is not sent. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from dataclasses import dataclass
from typing import Any

MESSAGE_OVERHEAD = 64
"""Counted for each waiting message besides its own bytes."""

KEPT_OVERHEAD = sys.getsizeof((0, "")) + sys.getsizeof(1 << 20)
"""What a kept message takes besides its text: its number, and the pair of both, bytes."""


@dataclass(frozen=True)
class _Waiting:
    """A message that waits for the reader, and whose sound it is, None of a text."""

    message: str | bytes
    generation: int | None


class SlowReaderError(ConnectionError):
    """A client reads so slowly that what waits for it has reached its limit."""


class Outbox:
    """One session's messages; at most one connection reads them at a time."""

    def __init__(self, kept: int, unsent_bytes: int) -> None:
        """Let ``unsent_bytes`` wait for a reader.

        Keep the newest ``kept`` numbered messages, and no more of them than may wait.
        """
        self._kept: deque[tuple[int, str]] = deque()
        self._most_kept = kept
        self._kept_size = 0
        self._kept_bytes = 0
        self._limit = unsent_bytes
        self._number = 0
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._reader = False
        self._overrun = False
        self._closed = False
        self._changed = asyncio.Event()
        self._overruns = asyncio.Event()

    @property
    def last_number(self) -> int:
        """Number of the newest message, 0 before the first."""
        return self._number

    @property
    def kept_bytes(self) -> int:
        """Memory that the messages kept for a client that comes back really take."""
        return self._kept_bytes

    @property
    def unsent_bytes(self) -> int:
        """What waits for the reader."""
        return self._bytes

    def say(self, kind: str, **fields: Any) -> None:
        """Send a numbered message."""
        self._number += 1
        text = json.dumps(
            {"type": kind, "seq": self._number, **fields},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        self._keep(text)
        self._put(text)

    def say_sound(self, data: bytes, generation: int) -> None:
        """Send a binary message with sound of ``generation``; lost when nobody reads."""
        self._put(data, generation)

    def drop_sound(self, generation: int) -> None:
        """Do not send what waits of the sound of ``generation`` and those before it.

        Texts stay, so that no number is missing.
        """
        self._waiting = deque(
            waiting
            for waiting in self._waiting
            if waiting.generation is None or waiting.generation > generation
        )
        self._bytes = sum(_size(waiting.message) for waiting in self._waiting)

    def connect(self, after: int) -> int:
        """A reader begins, having the messages up to ``after``.

        Returns:
            How many messages it has missed that are not kept any more.
        """
        self._waiting.clear()
        self._bytes = 0
        self._reader, self._overrun = True, False
        self._overruns.clear()
        first = self._kept[0][0] if self._kept else self._number + 1
        for number, text in self._kept:
            if number > after:
                self._put(text)
        self._changed.set()
        return max(0, first - 1 - after)

    def disconnect(self) -> None:
        """The reader has gone; what waits for it is forgotten."""
        self._reader = False
        self._waiting.clear()
        self._bytes = 0
        self._changed.set()

    def close(self) -> None:
        """No more will be said; the reader ends after what waits."""
        self._closed = True
        self._changed.set()

    async def overrun(self) -> None:
        """Wait until the reader has let more wait than may: it may never ask for the next."""
        await self._overruns.wait()

    async def next(self) -> str | bytes | None:
        """The next message, None after the last.

        Raises:
            SlowReaderError: more waits than may.
        """
        while True:
            if self._overrun:
                raise SlowReaderError(f"over {self._limit} bytes wait for this client")
            if self._waiting:
                message = self._waiting.popleft().message
                self._bytes -= _size(message)
                return message
            if self._closed or not self._reader:
                return None
            self._changed.clear()
            await self._changed.wait()

    def _keep(self, text: str) -> None:
        self._kept.append((self._number, text))
        self._kept_size += _size(text)
        self._kept_bytes += sys.getsizeof(text) + KEPT_OVERHEAD
        while len(self._kept) > self._most_kept or self._kept_size > self._limit:
            _, gone = self._kept.popleft()
            self._kept_size -= _size(gone)
            self._kept_bytes -= sys.getsizeof(gone) + KEPT_OVERHEAD

    def _put(self, message: str | bytes, generation: int | None = None) -> None:
        if not self._reader or self._overrun:
            return
        if self._bytes + _size(message) > self._limit:
            self._overrun = True
            self._overruns.set()
            self._waiting.clear()
            self._bytes = 0
        else:
            self._waiting.append(_Waiting(message, generation))
            self._bytes += _size(message)
        self._changed.set()


def _size(message: str | bytes) -> int:
    """Bytes it counts for; a letter of text counts as the four it may take."""
    size = len(message) if isinstance(message, bytes) else 4 * len(message)
    return size + MESSAGE_OVERHEAD
