"""The sessions of a service: who gets one, who takes one up again, and when one is let go.

Belongs to the event loop. A session outlives its connection for the grace period, then ends.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from omnilive.service.access import token_matches
from omnilive.service.config import ServiceConfig
from omnilive.service.heap import give_back
from omnilive.service.live_session import LiveSession, SessionNames

ID_BYTES = 8
TOKEN_BYTES = 24

STOPPING_S = 2.0
"""Part of ``drain_s`` that is left for sessions to be stopped in, seconds."""

OWN = ""
"""Whose the service's own session is: no client's."""

MakeSession = Callable[[SessionNames, Path], LiveSession]


class FullError(Exception):
    """No session is free.

    Attributes:
        retry_after_s: when one may be.
    """

    def __init__(self, what: str, retry_after_s: int) -> None:
        super().__init__(what)
        self.retry_after_s = retry_after_s


class Sessions:
    """Makes, finds and ends sessions; at most ``capacity`` at once."""

    def __init__(
        self, config: ServiceConfig, capacity: int, folder: Path, make: MakeSession
    ) -> None:
        """Prepare.

        Args:
            config: limits and times.
            capacity: sessions that the memory plan has room for.
            folder: each session writes into a folder of its own in it.
            make: makes a session that is not started.
        """
        self._config = config
        self.capacity = min(capacity, config.max_sessions)
        self._folder = folder
        self._make = make
        self._open: dict[str, LiveSession] = {}
        self._graces: dict[str, asyncio.TimerHandle] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._draining = False
        self._own: LiveSession | None = None

    def __len__(self) -> int:
        return len(self._open)

    def all(self) -> tuple[LiveSession, ...]:
        """Those that have not ended, the oldest first."""
        return tuple(self._open.values())

    def find(self, session_id: str) -> LiveSession | None:
        """The session of that id."""
        return self._open.get(session_id)

    def begin(self, address: str) -> LiveSession:
        """A new session for a client at ``address``, started.

        Raises:
            FullError: there are as many as may be.
            OmniLiveError: it cannot begin.
        """
        self.check_room(address)
        self._forget_oldest_folders()
        names = SessionNames(
            secrets.token_hex(ID_BYTES), secrets.token_urlsafe(TOKEN_BYTES), address
        )
        session = self._make(names, self._folder / names.id)
        session.start()
        self._open[names.id] = session
        watch = asyncio.get_running_loop().create_task(self._forget_when_ended(session))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        watch.add_done_callback(_release)
        return session

    def begin_own(self) -> LiveSession:
        """The service's own session, that nobody's leaving ends; for its configured source.

        Raises:
            FullError, OmniLiveError: it cannot begin.
        """
        self._own = self.begin(OWN)
        return self._own

    def free_own(self) -> LiveSession | None:
        """The service's own session when no client has it."""
        if self._own is None or self._own.ended.is_set() or self._own.connection is not None:
            return None
        return self._own

    def check_room(self, address: str) -> None:
        """Raises FullError when a client at ``address`` cannot have a new session now."""
        retry_s = max(1, round(self._config.grace_s))
        if self._draining:
            raise FullError("the service is stopping", retry_s)
        if len(self._open) >= self.capacity:
            raise FullError(f"all {self.capacity} sessions are taken", retry_s)
        own = sum(session.names.address == address for session in self._open.values())
        if own >= self._config.sessions_per_client:
            raise FullError(f"this client has {own} sessions", retry_s)

    def take_up(self, token: str) -> LiveSession | None:
        """The session whose resume token this is; its grace period ends."""
        found = None
        for session in self._open.values():
            if token_matches(session.names.token, token):
                found = session
        if found is not None:
            self._end_grace(found)
        return found

    def leave(self, session: LiveSession) -> None:
        """Its client has gone: end it when none comes back within the grace period."""
        if session.names.id not in self._open or session is self._own:
            return
        self._end_grace(session)
        loop = asyncio.get_running_loop()
        self._graces[session.names.id] = loop.call_later(self._config.grace_s, session.stop)

    async def drain(self) -> None:
        """Take no more, let answers being spoken end, and stop what has not within ``drain_s``."""
        self._draining = True
        for session in self.all():
            session.end()
        stopping_s = min(STOPPING_S, self._config.drain_s)
        if self._watches:
            await asyncio.wait(list(self._watches), timeout=self._config.drain_s - stopping_s)
        for session in self.all():
            session.stop()
        if self._watches:
            await asyncio.wait(list(self._watches), timeout=stopping_s)

    async def _forget_when_ended(self, session: LiveSession) -> None:
        await session.ended.wait()
        self._end_grace(session)
        del self._open[session.names.id]

    def _forget_oldest_folders(self) -> None:
        """Remove the folders of sessions that ended longest ago, beyond those that are kept."""
        ended = [
            folder
            for folder in self._folder.glob("[0-9a-f]" * (2 * ID_BYTES))
            if folder.name not in self._open and folder.is_dir() and not folder.is_symlink()
        ]
        ended.sort(key=lambda folder: folder.stat().st_mtime)
        for folder in ended[: max(0, len(ended) - self._config.kept_sessions)]:
            shutil.rmtree(folder, ignore_errors=True)

    def _end_grace(self, session: LiveSession) -> None:
        timer = self._graces.pop(session.names.id, None)
        if timer is not None:
            timer.cancel()


def _release(_: asyncio.Task[None]) -> None:
    """Free an ended session now: its parts refer to each other, and each holds megabytes."""
    asyncio.get_running_loop().call_soon(_free)


def _free() -> None:
    gc.collect()
    asyncio.get_running_loop().run_in_executor(None, give_back)
