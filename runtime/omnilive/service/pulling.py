"""Pulls a stream from an address into a live source, and opens it again whenever it breaks.

A thread of its own reads, since FFmpeg blocks. Memory and history belong to the session and are
not touched by a source that comes and goes; the events say that it did.
"""

from __future__ import annotations

import dataclasses
import random
import threading
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from omnilive.errors import SourceError
from omnilive.service.backoff import Backoff
from omnilive.service.faults import ProtocolError
from omnilive.service.guarded_http import Check, GuardedHttp
from omnilive.service.sender_clock import SenderClock
from omnilive.sources.address import CSI, FROM_NOW_ON, device_path, open_address, scheme_of
from omnilive.sources.config import SourceConfig
from omnilive.sources.live import LiveSource
from omnilive.sources.types import US_PER_SECOND, Frame, Pcm, Source

READ_TIMEOUT_S = 10.0
"""A source that gives nothing for so long has stalled, seconds."""

LIVED_S = 10.0
"""A source that gave so much before it broke had been healthy: its failures count anew, seconds."""

LEAD_US = 500_000
"""What comes sooner than it happens waits until it is this near, microseconds."""

OPENING_US = 3_000_000
"""What comes too soon at first, of a stream that cannot know the future, is what the server had
kept for who comes late: it is passed over quickly, microseconds of our clock."""

MOST_LEAVING = 4
"""Streams given up that may still have to end before another is begun."""

Open = Callable[[str], Source]


class Puller:
    """Reads one address until ``stop``."""

    def __init__(
        self,
        address: str,
        into: LiveSource,
        config: SourceConfig,
        now_us: Callable[[], int],
        check: Check | None = None,
        *,
        backoff: Backoff | None = None,
        rng: random.Random | None = None,
        opener: Open | None = None,
    ) -> None:
        """Begin to read.

        Args:
            address: what the service may read.
            into: what takes the items, stamped with ``now_us``.
            config: how the stream is sampled.
            now_us: this machine's clock, microseconds.
            check: refuses URLs that the stream leads to; None to go wherever it leads.
            backoff: waits between attempts.
            rng: of the waits' jitter.
            opener: opens the address; FFmpeg with a timeout when None.
        """
        self._address = address
        self._scheme = scheme_of(address)
        self._into = into
        self._backoff = backoff or Backoff()
        self._rng = rng or random.Random()
        self._guard = GuardedHttp(check, READ_TIMEOUT_S) if check is not None else None
        self._open = opener or (
            lambda which: open_address(which, config, READ_TIMEOUT_S, self._guard)
        )
        self._now_us = now_us
        self._clock = SenderClock(now_us, config.stall_ms * 1000)
        self._stopped = threading.Event()
        self._pushing = threading.Lock()
        self.has_audio = False
        """Whether it has ever given sound."""
        self._thread = threading.Thread(target=self._run, name="pull", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """The source's scheme and host, without what its path or query may tell."""
        if self._scheme in ("v4l2", "alsa", CSI):
            return f"{self._scheme} {device_path(self._address)}"
        if not self._scheme:
            return "the file"
        return f"{self._scheme}://{urlsplit(self._address).hostname}"

    def stop(self) -> None:
        """Hand nothing on from now on; a read in progress ends within the timeout, unheard."""
        with self._pushing:
            self._stopped.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            given_us = 0
            what = "the stream ended"
            try:
                source = self._open(self._address)
                try:
                    self._clock.restart()
                    self._into.notice(f"connected to {self.name}")
                    given_us = self._read(source)
                finally:
                    source.close()
            except SourceError as error:
                what = error.what
            if self._stopped.is_set():
                return
            if not self._scheme and given_us:
                self._into.notice(f"{self.name} has ended")
                return
            if self._guard is not None and self._guard.failure:
                what, self._guard.failure = self._guard.failure, ""
            failures = 1 if given_us >= LIVED_S * US_PER_SECOND else failures + 1
            wait_s = self._backoff.wait_s(failures, self._rng)
            self._into.notice(f"{self.name}: {what}; opening it again in {wait_s:.1f} s")
            self._stopped.wait(wait_s)

    def _read(self, source: Source) -> int:
        """Hand on until it ends; returns how much stream time it gave, microseconds."""
        self.has_audio |= source.info.has_audio
        began_us = self._now_us()
        end_us = 0
        for item in source:
            if isinstance(item, (Frame, Pcm)):
                end_us = item.end_us if isinstance(item, Pcm) else item.pts_us
                item = dataclasses.replace(item, pts_us=self._place(item, began_us))
            while not self._push(item) and isinstance(item, Pcm):
                # Sound waits for room, which time makes; anything else is dropped by its policy.
                self._stopped.wait((item.end_us - item.pts_us) / US_PER_SECOND)
                if self._stopped.is_set():
                    break
            if self._stopped.is_set():
                break
        return end_us

    def _place(self, item: Frame | Pcm, began_us: int) -> int:
        """When an item began, on our clock; waits while it lies ahead."""
        duration_us = item.end_us - item.pts_us if isinstance(item, Pcm) else 0
        at_us = self._clock.place(item.pts_us, duration_us)
        ahead_us = at_us + duration_us - self._now_us() - LEAD_US
        if ahead_us > 0:
            if self._scheme in FROM_NOW_ON and self._now_us() - began_us < OPENING_US:
                self._clock.restart()
                return self._clock.place(item.pts_us, duration_us)
            self._stopped.wait(ahead_us / US_PER_SECOND)
        return at_us

    def _push(self, item: object) -> bool:
        """Hand an item on, unless stopped meanwhile."""
        with self._pushing:
            return not self._stopped.is_set() and self._into.push(item)  # type: ignore[arg-type]


class Pulls:
    """What one session pulls now, and the streams it gave up that still have to end."""

    def __init__(self, make: Callable[[str, Check | None], Puller]) -> None:
        """``make`` begins to read an address through a guard."""
        self._make = make
        self._now: tuple[Puller, ...] = ()
        self._leaving: list[Puller] = []

    @property
    def active(self) -> bool:
        """Whether anything is pulled."""
        return bool(self._now)

    @property
    def has_audio(self) -> bool:
        """Whether something that is pulled has sound."""
        return any(puller.has_audio for puller in self._now)

    def begin(self, addresses: Sequence[str], check: Check | None) -> None:
        """Pull these instead.

        Raises:
            ProtocolError: ``too_often``; each may hold a thread until its reading times out.
        """
        self._leaving = [puller for puller in self._leaving if not puller.join(0)]
        if len(self._leaving) >= MOST_LEAVING:
            raise ProtocolError("too_often", "the streams pulled before still have to end")
        self.stop()
        self._now = tuple(self._make(address, check) for address in addresses)

    def stop(self) -> None:
        """Pull nothing from now on."""
        for puller in self._now:
            puller.stop()
        self._leaving += self._now
        self._now = ()
