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

import pytest
from serving import SERVE
from supervisor import WAIT_S, Supervisor
from talking import talking

from omnilive.service.protocol import AskMessage

WATCHED_S = 8.0
"""Long enough for any job of the miniature on a busy machine, short enough for a test."""

HANGING_VOICE = """
import threading
from omnilive.speech.espeak import EspeakVoice

say = EspeakVoice.say

def hang(self, *args):
    if threading.current_thread().name == "lane-speak":
        threading.Event().wait()
    return say(self, *args)

EspeakVoice.say = hang
"""
"""The first answer never gets its voice."""

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
    file.write_text(f'[service]\nport = 0\nstate = "{folder / "state"}"\n', encoding="utf-8")
    command = [sys.executable, "-c", SERVE.format(changed=changed), "serve"]
    with subprocess.Popen(
        [*command, "--config", str(file), "--pack", str(pack)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
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
