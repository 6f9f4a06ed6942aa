"""An ended session leaves nothing behind in the service, whoever still knows it."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from contextlib import closing
from pathlib import Path

import numpy as np

from omnilive.config import load_config
from omnilive.engine.ort_decoder import OrtArena
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.events import AnswerFinished, Event
from omnilive.lanes import LaneCores, ThreadLanes
from omnilive.service.config import ServiceConfig
from omnilive.service.live_session import LiveSession, SessionNames
from omnilive.service.sessions import Sessions
from omnilive.session.session import Session
from omnilive.sources.types import SAMPLE_RATE_HZ

WAIT_S = 60.0
VISITS = 4
HEAVY = (Session, ThreadLanes, OrtArena)
"""What holds a session's threads and the megabytes of its engines."""


def test_nothing_of_an_ended_session_stays_alive(micro_pack: Path, tmp_path: Path) -> None:
    with closing(open_pack(micro_pack)) as pack:
        asyncio.run(_visits(pack, tmp_path, 1))  # loads the engines
        threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
        gc.disable()  # the service frees them; nobody waits until the collector comes by
        try:
            asyncio.run(_visits(pack, tmp_path, VISITS))
        finally:
            gc.enable()
        assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, files)


async def _visits(pack: EnginePack, folder: Path, count: int) -> None:
    """Let sessions answer and end; all that they held is gone while they are still known."""
    loop, config, cores = asyncio.get_running_loop(), load_config("edge"), LaneCores(1)

    def make(names: SessionNames, own: Path) -> LiveSession:
        return LiveSession(names, pack, config, "edge", own, loop, cores)

    sessions = Sessions(ServiceConfig(), 1, folder, make)
    known = []
    for _ in range(count):
        before = {id(one) for one in _heavy()}
        live = await sessions.begin("here")
        held = [one for one in _heavy() if id(one) not in before]
        assert {type(one) for one in held} == set(HEAVY)
        gone = [asyncio.Event() for _ in held]
        for one, event in zip(held, gone, strict=True):
            weakref.finalize(one, loop.call_soon_threadsafe, event.set)
        del one, held
        await _talk(live)
        known.append(live)  # as a connection does that is being closed
        await asyncio.wait_for(asyncio.gather(*(event.wait() for event in gone)), WAIT_S)
    assert all(live.ended.is_set() and live.error is None for live in known)


async def _talk(live: LiveSession) -> None:
    """Show something, ask about it, and end the session once it has answered."""
    answered = asyncio.Event()

    def hear(_: int, at_us: int, event: Event) -> None:
        if isinstance(event, AnswerFinished):
            answered.set()

    live.listen(hear)
    while not live.push_sound(0, np.zeros(SAMPLE_RATE_HZ // 10, np.float32)):
        await asyncio.sleep(0)
    live.push_picture(0, np.zeros((48, 64, 3), np.uint8))
    while live.ask("what do you see now") is None:
        await asyncio.sleep(0)
    await asyncio.wait_for(answered.wait(), WAIT_S)
    live.stop()
    await asyncio.wait_for(live.ended.wait(), WAIT_S)


def _heavy() -> list[object]:
    return [one for one in gc.get_objects() if isinstance(one, HEAVY)]
