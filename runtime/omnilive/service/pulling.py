"""Pulls a stream from a URL into a live source, and opens it again whenever it breaks.

A thread of its own reads, since FFmpeg blocks. Memory and history belong to the session and are
not touched by a source that comes and goes; the events say that it did.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from omnilive.errors import SourceError
from omnilive.service.backoff import Backoff
from omnilive.sources.config import SourceConfig
from omnilive.sources.live import LiveSource
from omnilive.sources.media import MediaSource, open_media
from omnilive.sources.types import US_PER_SECOND, Pcm, samples_to_us

READ_TIMEOUT_S = 10.0
"""A source that gives nothing for so long has stalled, seconds."""

LIVED_S = 10.0
"""A source that gave so much before it broke had been healthy: its failures count anew, seconds."""

Open = Callable[[str], MediaSource]


class Puller:
    """Reads one URL until ``stop``."""

    def __init__(
        self,
        url: str,
        into: LiveSource,
        config: SourceConfig,
        *,
        backoff: Backoff | None = None,
        rng: random.Random | None = None,
        opener: Open | None = None,
    ) -> None:
        """Begin to read.

        Args:
            url: an address that the service may pull from.
            into: what takes the items.
            config: how the stream is sampled.
            backoff: waits between attempts.
            rng: of the waits' jitter.
            opener: opens the URL; FFmpeg's with a timeout when None.
        """
        self._url = url
        self._into = into
        self._backoff = backoff or Backoff()
        self._rng = rng or random.Random()
        self._open = opener or (lambda address: open_media(address, config, READ_TIMEOUT_S))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pull", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """The source's scheme and host, without what its path or query may tell."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.hostname}"

    def stop(self) -> None:
        """Read no more; a read in progress ends within the timeout, unheard."""
        self._stopped.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            given_us = 0
            try:
                source = self._open(self._url)
                try:
                    self._into.restart_clock()
                    self._into.notice(f"connected to {self.name}")
                    given_us = self._read(source)
                finally:
                    source.close()
                what = "the stream ended"
            except SourceError as error:
                what = error.what
            if self._stopped.is_set():
                return
            failures = 1 if given_us >= LIVED_S * US_PER_SECOND else failures + 1
            wait_s = self._backoff.wait_s(failures, self._rng)
            self._into.notice(f"{self.name}: {what}; opening it again in {wait_s:.1f} s")
            self._stopped.wait(wait_s)

    def _read(self, source: MediaSource) -> int:
        """Hand on until it ends; returns how much stream time it gave, microseconds."""
        end_us = 0
        for item in source:
            wait_s = (
                samples_to_us(len(item.samples)) / US_PER_SECOND if isinstance(item, Pcm) else 0
            )
            while not self._into.push(item):
                # Sound waits for room, which time makes; anything else is dropped by its policy.
                if not wait_s or self._stopped.wait(wait_s):
                    break
            if self._stopped.is_set():
                break
            end_us = item.end_us if isinstance(item, Pcm) else max(end_us, item.pts_us)
        return end_us
