"""How a service is told to stop: once to drain, twice to end at once; and what a drain does."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from omnilive.service.config import ClientConfig, ServiceConfig
from omnilive.service.service import threads_left
from service_fakes import FakeSession, Service

WAITS = """
import asyncio
import gc
from omnilive.service.service import stop_on_signals

async def wait():
    stop = asyncio.Event()
    stop_on_signals(asyncio.get_running_loop(), stop)
    print("waits", flush=True)
    await stop.wait()
    print("drains", flush=True)
    await asyncio.Event().wait()

asyncio.run(wait())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains_and_the_second_ends_at_once(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in (b"waits\n", b"drains\n"):
            assert process.stdout.readline() == line
            process.send_signal(number)
        assert process.wait(60) == -number


def test_a_drain_lets_sessions_end_and_stops_those_that_do_not(tmp_path: Path) -> None:
    async def drain() -> list[list[str]]:
        service = Service(tmp_path, ServiceConfig(drain_s=0.2), ClientConfig())
        for address in ("one", "two"):
            await service.sessions.begin(address)
        stuck = service.made[1]
        stuck.end = lambda: stuck.calls.append(("end",))  # type: ignore[method-assign]
        await asyncio.wait_for(service.sessions.drain(), 30)
        assert len(service.sessions) == 0
        return [[call[0] for call in session.calls] for session in service.made]

    assert asyncio.run(drain()) == [["start"], ["start", "end", "stop"]]


def test_a_session_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async def drain() -> FakeSession:
        service = Service(tmp_path, ServiceConfig(drain_s=0.2), ClientConfig())
        await service.sessions.begin("one")
        (session,) = service.made
        session.finish = lambda: None  # type: ignore[method-assign]
        await asyncio.wait_for(service.sessions.drain(), 30)
        return session

    assert not asyncio.run(drain()).ended.is_set()


def test_an_ended_session_is_released_at_once(tmp_path: Path) -> None:
    async def end() -> None:
        service = Service(tmp_path, ServiceConfig(), ClientConfig())
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        await service.sessions.begin("one")
        await asyncio.to_thread(int)  # the thread that made it has let go of it
        session = service.made.pop()
        session.calls.append((session,))  # its parts refer to each other
        gone = asyncio.Event()
        weakref.finalize(session, loop.call_soon_threadsafe, gone.set)
        session.finish()
        del session
        await asyncio.wait_for(gone.wait(), 30)

    gc.disable()
    try:
        asyncio.run(end())
    finally:
        gc.enable()


def test_a_reader_that_does_not_end_is_named_and_one_that_does_is_waited_for() -> None:
    stuck, ending = threading.Event(), threading.Event()
    reader = threading.Thread(target=stuck.wait, name="pull-that-hangs", daemon=True)
    other = threading.Thread(target=ending.wait, name="pull-that-ends", daemon=True)
    reader.start()
    other.start()
    ending.set()
    try:
        assert threads_left(0.0).count("pull-that-hangs") == 1
        other.join()
        assert "pull-that-ends" not in threads_left(0.0)
    finally:
        stuck.set()
        reader.join()
    assert "pull-that-hangs" not in threads_left(0.0)
