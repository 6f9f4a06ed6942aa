"""A service under a manager that speaks the notify protocol: ready, watched, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from serving import SERVE
from supervisor import WAIT_S, Supervisor
from talking import talking

from omnilive.errors import EngineError
from omnilive.service.app import SUBPROTOCOL
from omnilive.service.protocol import AskMessage, Hello, encode_text

WATCHED_S = 8.0
"""Long enough for any job of the miniature on a busy machine, short enough for a test."""

DRAIN_S = 2.0
"""Enough for sessions without an answer to end."""

HANGING_VOICE = """
import threading
from omnilive.speech.espeak import EspeakVoice

say = EspeakVoice.say

def hang(self, *args):
    if threading.current_thread().name == "lane-speak":
        print("hangs", flush=True)
        threading.Event().wait()
    return say(self, *args)

EspeakVoice.say = hang
"""
"""The first answer never gets its voice."""

HANGING_WARM_UP = """
import threading
from omnilive.engine.pack import EnginePack

def hang(self):
    print("warms up", flush=True)
    threading.Event().wait()

EnginePack.warm_up = hang
"""

HANGING_SESSIONS = """
import threading
from omnilive.session.session import Session

make = Session.__init__

def hang(self, pack, config, options, *args, **kwargs):
    if options.realtime:
        print("is being made", flush=True)
        threading.Event().wait()
    make(self, pack, config, options, *args, **kwargs)

Session.__init__ = hang
"""
"""No client ever gets a session."""

SLOW_WARM_UP = """
from omnilive.engine.pack import EnginePack

warm_up = EnginePack.warm_up

def warm_up_then_say(self):
    warm_up(self)
    print("warm", flush=True)
    sys.stdin.readline()

EnginePack.warm_up = warm_up_then_say
"""
"""Warm-up ends when it is told that it may."""


@contextmanager
def supervised(
    pack: Path, folder: Path, supervisor: Supervisor, changed: str
) -> Iterator[subprocess.Popen[str]]:
    """A service that is starting under ``supervisor``; it is killed in the end."""
    file = folder / "omnilive.toml"
    file.write_text(
        f'[service]\nport = 0\nstate = "{folder / "state"}"\ndrain_s = {DRAIN_S}\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-c", SERVE.format(changed=changed), "serve"]
    with subprocess.Popen(
        [*command, "--config", str(file), "--pack", str(pack)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **supervisor.environment(WATCHED_S)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_ready_comes_after_warm_up_pings_after_that_and_a_stop_drains(
    micro_pack: Path, tmp_path: Path
) -> None:
    with (
        Supervisor(tmp_path) as supervisor,
        supervised(micro_pack, tmp_path, supervisor, SLOW_WARM_UP) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "warm\n"
        assert supervisor.waiting() == ["STATUS=opening the engine pack", "STATUS=warming up"]
        process.stdin.write("\n")
        process.stdin.flush()
        assert supervisor.heard() == ["STATUS=rehearsing a session"]
        assert supervisor.heard()[0] == "READY=1"
        assert supervisor.heard() == supervisor.heard() == ["WATCHDOG=1"]
        process.send_signal(signal.SIGTERM)
        assert supervisor.until("STOPPING=1")[-2:] == [
            "STOPPING=1",
            "STATUS=letting answers end",
        ]
        assert process.wait(WAIT_S) == 0
        assert supervisor.waiting() == []


def test_a_wedged_lane_ends_the_pings(micro_pack: Path, tmp_path: Path) -> None:
    async def ask(url: str, supervisor: Supervisor) -> list[str]:
        async with talking(url) as talk:
            await talk.say(AskMessage("what do you see"))
            return await asyncio.to_thread(supervisor.until, "STATUS=stuck")

    with (
        Supervisor(tmp_path) as supervisor,
        supervised(micro_pack, tmp_path, supervisor, HANGING_VOICE) as process,
    ):
        assert process.stdout is not None
        url = process.stdout.readline().split()[2]
        said = asyncio.run(ask(url, supervisor))
        assert said.index("READY=1") < said.index("WATCHDOG=1")
        assert said[-1].startswith("STATUS=stuck: ")
        assert "speak lane of session " in said[-1]
        # The manager now waits out its time, hears nothing more, and ends the service.
        with pytest.raises(TimeoutError):
            supervisor.heard(WATCHED_S)


def assert_stops(process: subprocess.Popen[str], what_hangs: str) -> None:
    """It ends when told to, and says what would have kept it."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_S) == EngineError.exit_code
    assert process.stderr is not None
    last = process.stderr.read().splitlines()[-1]
    assert last.startswith(f"omnilive: {what_hangs}") and " hangs. " in last


def test_a_lane_that_hangs_does_not_keep_the_service_from_ending(
    micro_pack: Path, tmp_path: Path
) -> None:
    async def ask(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        async with talking(process.stdout.readline().split()[2]) as talk:
            await talk.say(AskMessage("what do you see"))
            assert await asyncio.to_thread(process.stdout.readline) == "hangs\n"

    with (
        Supervisor(tmp_path) as supervisor,
        supervised(micro_pack, tmp_path, supervisor, HANGING_VOICE) as process,
    ):
        asyncio.run(ask(process))
        assert_stops(process, "session ")


def test_a_session_whose_making_hangs_does_not_keep_the_service_from_ending(
    micro_pack: Path, tmp_path: Path
) -> None:
    async def connect(url: str, process: subprocess.Popen[str]) -> None:
        async with aiohttp.ClientSession() as http:
            socket = await http.ws_connect(f"{url}v1/live", protocols=(SUBPROTOCOL,))
            await socket.send_str(encode_text(Hello(1)))
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == "is being made\n"

    with (
        Supervisor(tmp_path) as supervisor,
        supervised(micro_pack, tmp_path, supervisor, HANGING_SESSIONS) as process,
    ):
        assert process.stdout is not None
        asyncio.run(connect(process.stdout.readline().split()[2], process))
        assert_stops(process, "a session that is being made")


def test_a_warm_up_that_hangs_does_not_keep_the_service_from_ending(
    micro_pack: Path, tmp_path: Path
) -> None:
    with (
        Supervisor(tmp_path) as supervisor,
        supervised(micro_pack, tmp_path, supervisor, HANGING_WARM_UP) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "warms up\n"
        assert_stops(process, "the engines are being warmed up")
