"""How sessions begin: off the event loop, with their seats taken from the first moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lane_jobs import WAIT_S
from omnilive.errors import SetupError
from omnilive.service.config import ClientConfig, ServiceConfig
from omnilive.service.sessions import FullError
from service_fakes import Service, connect, running

Act = Callable[[Service, "Maker"], Awaitable[None]]


class Maker:
    """Holds up every session that is being made until it is told to go on."""

    def __init__(self) -> None:
        self._makes, self._go_on = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self) -> None:
        self._makes.release()
        assert self._go_on.acquire(timeout=WAIT_S)

    async def makes(self) -> None:
        """Wait until one is being made."""
        assert await asyncio.to_thread(self._makes.acquire, timeout=WAIT_S)

    def go_on(self) -> None:
        """Let one be made."""
        self._go_on.release()


def act(folder: Path, does: Act, config: ServiceConfig | None = None) -> None:
    async def run() -> None:
        service = Service(folder, config or ServiceConfig(max_sessions=1), ClientConfig())
        service.making = maker = Maker()
        await does(service, maker)

    asyncio.run(asyncio.wait_for(run(), 2 * WAIT_S))


async def ended(service: Service) -> bool:
    """Wait until the first session has been made and has ended."""
    while not service.made:
        await asyncio.sleep(0)
    return await asyncio.wait_for(service.made[0].ended.wait(), WAIT_S)


def test_a_seat_is_taken_while_its_session_is_being_made(tmp_path: Path) -> None:
    async def does(service: Service, maker: Maker) -> None:
        beginning = asyncio.ensure_future(service.sessions.begin("one"))
        await maker.makes()  # and the loop is free
        assert len(service.sessions) == 1 and service.sessions.all() == ()
        with pytest.raises(FullError, match="all 1 sessions"):
            await service.sessions.begin("other")
        maker.go_on()
        session = await beginning
        assert service.sessions.all() == (session,) and len(service.sessions) == 1

    act(tmp_path, does)


def test_a_client_has_no_more_seats_than_it_may_while_they_are_being_made(tmp_path: Path) -> None:
    async def does(service: Service, maker: Maker) -> None:
        beginning = asyncio.ensure_future(service.sessions.begin("one"))
        await maker.makes()
        with pytest.raises(FullError, match="this client has 1"):
            service.sessions.check_room("one")
        service.sessions.check_room("other")
        maker.go_on()
        await beginning

    act(tmp_path, does, ServiceConfig(max_sessions=2, sessions_per_client=1))


def test_who_connects_while_the_services_own_session_is_made_gets_that(tmp_path: Path) -> None:
    async def does(service: Service, maker: Maker) -> None:
        beginning = asyncio.ensure_future(service.sessions.begin_own())
        await maker.makes()
        async with running(service) as client:
            connecting = asyncio.ensure_future(connect(client))
            handler = client.server.handler  # type: ignore[union-attr]
            while not handler.requests_count:
                await asyncio.sleep(0)  # until it is there
            maker.go_on()
            own = await beginning
            welcome = await (await connecting).receive_json()
            assert welcome["session"] == own.names.id

    act(tmp_path, does)


def test_a_session_that_cannot_be_made_gives_its_seat_back(tmp_path: Path) -> None:
    async def does(service: Service, maker: Maker) -> None:
        def fail() -> None:
            raise SetupError("is not there", where="the voice", mend="Install it.")

        service.making = fail
        for _ in range(2):
            with pytest.raises(SetupError):
                await service.sessions.begin("one")
            assert len(service.sessions) == 0

    act(tmp_path, does)


def test_sessions_are_made_one_at_a_time(tmp_path: Path) -> None:
    async def does(service: Service, maker: Maker) -> None:
        beginning = [asyncio.ensure_future(service.sessions.begin(who)) for who in ("one", "other")]
        for made in range(2):
            await maker.makes()
            assert len(service.made) == made
            maker.go_on()
        assert len({session.names.id for session in await asyncio.gather(*beginning)}) == 2

    act(tmp_path, does, ServiceConfig(max_sessions=2))


def test_nobody_waits_for_it_any_more_it_is_stopped_once_made(tmp_path: Path) -> None:
    async def does(service: Service, maker: Maker) -> None:
        beginning = asyncio.ensure_future(service.sessions.begin("one"))
        await maker.makes()
        beginning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beginning
        assert len(service.sessions) == 1  # its memory is taken still
        maker.go_on()
        assert await ended(service)
        await service.sessions.drain()
        assert len(service.sessions) == 0

    act(tmp_path, does)


def test_its_client_leaves_while_it_is_made_it_ends_without_grace(tmp_path: Path) -> None:
    async def does(service: Service, maker: Maker) -> None:
        async with running(service) as client:
            socket = await connect(client)
            await maker.makes()
            assert socket._conn is not None and socket._conn.transport is not None
            socket._conn.transport.abort()
            handler = client.server.handler  # type: ignore[union-attr]
            while any(connection.transport for connection in handler.connections):
                await asyncio.sleep(0)  # until the service knows
            maker.go_on()
            assert await ended(service)

    act(tmp_path, does)


def test_a_drain_lets_no_session_begin_that_is_being_made(tmp_path: Path) -> None:
    async def does(service: Service, maker: Maker) -> None:
        beginning = asyncio.ensure_future(service.sessions.begin("one"))
        await maker.makes()
        draining = asyncio.ensure_future(service.sessions.drain())
        await asyncio.sleep(0)
        maker.go_on()
        with pytest.raises(FullError, match="stopping"):
            await beginning
        await draining
        assert ("start",) not in service.made[0].calls and len(service.sessions) == 0

    act(tmp_path, does)


def test_a_drain_does_not_wait_for_a_session_whose_making_hangs(tmp_path: Path) -> None:
    async def does(service: Service, maker: Maker) -> None:
        beginning = asyncio.ensure_future(service.sessions.begin("one"))
        await maker.makes()
        await service.sessions.drain()
        assert len(service.sessions) == 1 and not beginning.done()
        maker.go_on()
        with pytest.raises(FullError):
            await beginning

    act(tmp_path, does, ServiceConfig(drain_s=0.1))
