"""The sessions of a service: who gets one, who takes one up again, and when one is let go.

Belongs to the event loop, which never waits while a session is made: that is done on a thread. A
session outlives its connection for the grace period, then ends.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from omnilive.service.access import token_matches
from omnilive.service.config import ServiceConfig
from omnilive.service.heap import give_back
from omnilive.service.live_session import LiveSession, SessionNames

ID_BYTES = 8
TOKEN_BYTES = 24

STOPPING_S = 2.0
"""Part of ``drain_s`` that is left for sessions to be stopped in, and then for clients to hang up,
seconds."""

T = TypeVar("T")

OWN = ""
"""Whose the service's own session is: no client's."""

MakeSession = Callable[[SessionNames, Path], LiveSession]
"""Makes a session that is not started; called on a thread, for one session at a time."""


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
            make: see ``MakeSession``.
        """
        self._config = config
        self.capacity = min(capacity, config.max_sessions)
        self._folder = folder
        self._make = make
        self._open: dict[str, LiveSession] = {}
        # Of sessions that are being made: whose they will be.
        self._seats: dict[str, str] = {}
        self._making = asyncio.Lock()
        self._own_begins = asyncio.Lock()
        self._graces: dict[str, asyncio.TimerHandle] = {}
        # One for each session that is being made or runs.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._draining = False
        self._own: LiveSession | None = None

    def __len__(self) -> int:
        """Those that run or are being made."""
        return len(self._open) + len(self._seats)

    def all(self) -> tuple[LiveSession, ...]:
        """Those that run, the oldest first."""
        return tuple(self._open.values())

    def find(self, session_id: str) -> LiveSession | None:
        """The session of that id."""
        return self._open.get(session_id)

    async def begin(self, address: str) -> LiveSession:
        """A new session for a client at ``address``, started.

        Its seat is taken at once. Whoever is cancelled while it is made leaves it: it is stopped
        as soon as it has been made, which is when its seat and memory are free again.

        Raises:
            FullError: there are as many as may be, or the service began to stop meanwhile.
            OmniLiveError: it cannot begin.
        """
        self.check_room(address)
        names = SessionNames(
            secrets.token_hex(ID_BYTES), secrets.token_urlsafe(TOKEN_BYTES), address
        )
        self._seats[names.id] = address
        beginning = self._keep(asyncio.get_running_loop().create_task(self._begin(names)))
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            beginning.add_done_callback(_stop_unwanted)
            raise

    async def begin_own(self) -> LiveSession:
        """The service's own session, that nobody's leaving ends; for its configured source.

        Raises:
            FullError, OmniLiveError: it cannot begin.
        """
        async with self._own_begins:
            self._own = await self.begin(OWN)
        return self._own

    async def free_own(self) -> LiveSession | None:
        """The service's own session when no client has it; waits while it is being made."""
        async with self._own_begins:
            if self._own is None or self._own.ended.is_set() or self._own.connection is not None:
                return None
            return self._own

    @property
    def _retry_s(self) -> int:
        """When a seat may be free, seconds."""
        return max(1, round(self._config.grace_s))

    def check_room(self, address: str) -> None:
        """Raises FullError when a client at ``address`` cannot have a new session now."""
        retry_s = self._retry_s
        if self._draining:
            raise FullError("the service is stopping", retry_s)
        if len(self) >= self.capacity:
            raise FullError(f"all {self.capacity} sessions are taken", retry_s)
        own = sum(session.names.address == address for session in self._open.values())
        own += sum(whose == address for whose in self._seats.values())
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

    def leave(self, session: LiveSession, *, known: bool = True) -> None:
        """Its client has gone: end it when none comes back within the grace period.

        Args:
            session: any.
            known: whether a client was told of it; if not, none can come back, and it ends now.
        """
        if session.names.id not in self._open or session is self._own:
            return
        self._end_grace(session)
        if not known:
            session.stop()
            return
        loop = asyncio.get_running_loop()
        self._graces[session.names.id] = loop.call_later(self._config.grace_s, session.stop)

    async def drain(self) -> None:
        """Take no more, let answers being spoken end, and stop what has not within ``drain_s``.

        What is still being made does not begin any more.
        """
        self._draining = True
        for session in self.all():
            session.end()
        stopping_s = min(STOPPING_S, self._config.drain_s)
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=self._config.drain_s - stopping_s)
        for session in self.all():
            session.stop()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=stopping_s / 2)

    async def _begin(self, names: SessionNames) -> LiveSession:
        """Make one off the loop, then start it."""
        try:
            async with self._making:
                session = await asyncio.to_thread(self._make_in_place, names)
            if self._draining:
                raise FullError("the service is stopping", self._retry_s)
            session.start()
            self._open[names.id] = session
        finally:
            del self._seats[names.id]
        watch = self._keep(asyncio.get_running_loop().create_task(self._forget_when_ended(session)))
        watch.add_done_callback(_release)
        return session

    def _make_in_place(self, names: SessionNames) -> LiveSession:
        """On a thread: make room on the disk, and the session."""
        self._forget_oldest_folders()
        return self._make(names, self._folder / names.id)

    def _keep(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _forget_when_ended(self, session: LiveSession) -> None:
        await session.ended.wait()
        self._end_grace(session)
        del self._open[session.names.id]

    def _forget_oldest_folders(self) -> None:
        """Remove the folders of sessions that ended longest ago, beyond those that are kept."""
        ended = [
            folder
            for folder in self._folder.glob("[0-9a-f]" * (2 * ID_BYTES))
            # A seat is given up only after the session has been entered: looked at in this order,
            # one that begins meanwhile is in either.
            if folder.name not in self._seats
            and folder.name not in self._open
            and folder.is_dir()
            and not folder.is_symlink()
        ]
        ended.sort(key=lambda folder: folder.stat().st_mtime)
        for folder in ended[: max(0, len(ended) - self._config.kept_sessions)]:
            shutil.rmtree(folder, ignore_errors=True)

    def _end_grace(self, session: LiveSession) -> None:
        timer = self._graces.pop(session.names.id, None)
        if timer is not None:
            timer.cancel()


def _stop_unwanted(beginning: asyncio.Task[LiveSession]) -> None:
    """Nobody waits any more for the session that has begun, if it has."""
    if not beginning.cancelled() and beginning.exception() is None:
        beginning.result().stop()


def _release(_: asyncio.Task[None]) -> None:
    """Free an ended session now: its parts refer to each other, and each holds megabytes."""
    asyncio.get_running_loop().call_soon(_free)


def _free() -> None:
    gc.collect()
    asyncio.get_running_loop().run_in_executor(None, give_back)
