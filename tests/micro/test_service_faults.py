"""An engine that fails in one session: that session ends as the protocol says, and no other."""

from __future__ import annotations

import asyncio
import os
import wave
from pathlib import Path

import aiohttp
import pytest
from runs import whole_lines
from serving import Service, service
from talking import Talk, talking

from omnilive.cli.main import main
from omnilive.service.protocol import AskMessage
from omnilive_micropack.story import make_world
from omnilive_micropack.world import World

KITCHEN_S = 6.0
MUG, MUG_ANSWER = "what is the color of the mug", "green"

FAILING_ENGINE = """
from pathlib import Path
from omnilive.engine.ort_decoder import OrtDecoder
from omnilive.errors import EngineError

logits = OrtDecoder.logits

def fail_once(self, *args, **kwargs):
    try:
        Path({trigger!r}).unlink()
    except FileNotFoundError:
        return logits(self, *args, **kwargs)
    raise {error}

OrtDecoder.logits = fail_once
"""
"""The first decoder that is called after ``trigger`` was made fails, and none after it."""

FAULTS = {
    "known": (
        'EngineError("ran out of luck", where="engine vlm_lm", mend="Try again.")',
        "ran out of luck",
    ),
    "unknown": ('ValueError("of no kind that is known")', "a fault of the service"),
}

TWO = "max_sessions = 2\nsessions_per_client = 2"


@pytest.fixture(scope="module")
def world() -> World:
    world = make_world(11, 16.0, scene_seconds=(8.0, 8.0))
    assert ("mug", MUG_ANSWER) in {(t.kind, t.colour) for t in world.scenes[0].things}
    return world


async def get(running: Service, path: str) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"{running.url}{path}") as found:
        assert found.status == 200
        return await found.text()


def held_open(running: Service, folder: Path) -> list[str]:
    """Files below ``folder`` that the service's process has open."""
    links = Path(f"/proc/{running.process.pid}/fd").iterdir()
    names = [os.readlink(link) for link in links if link.is_symlink()]
    return [name for name in names if name.startswith(f"{folder}/")]


async def ended_by_fault(talk: Talk, message: str) -> None:
    await talk.say(AskMessage("what do you see"))
    await talk.ended()
    error, ended = talk.said[-2:]
    assert (error["type"], error["code"], error["message"]) == ("error", "session_failed", message)
    assert ended == {"type": "ended", "seq": error["seq"] + 1}
    assert talk.socket.close_code == aiohttp.WSCloseCode.OK


@pytest.mark.parametrize("kind", FAULTS)
def test_a_session_whose_engine_fails_ends_alone_and_leaves_its_seat_and_whole_files(
    micro_pack: Path, world: World, tmp_path: Path, kind: str
) -> None:
    error, message = FAULTS[kind]
    trigger, state = tmp_path / "trigger", tmp_path / "state"
    changed = FAILING_ENGINE.format(trigger=str(trigger), error=error)

    async def visit() -> None:
        async with (
            service(micro_pack, state, own=TWO, changed=changed) as running,
            talking(running.url) as healthy,
        ):
            async with talking(running.url) as failing:
                await asyncio.gather(
                    healthy.show(world, KITCHEN_S, 3), failing.show(world, KITCHEN_S, 3)
                )
                trigger.touch()
                await ended_by_fault(failing, message)
            name, token = failing.welcome["session"], failing.welcome["resume"]
            folder = state / name

            # The other one has lost nothing.
            assert MUG_ANSWER in await healthy.ask(MUG)

            # Its seat is free for a new session; its own cannot be taken up.
            async with talking(running.url, token) as after:
                assert not after.welcome["resumed"] and after.welcome["session"] != name
                await after.show(world, KITCHEN_S, 3)
                assert MUG_ANSWER in await after.ask(MUG)
                listed = await get(running, "v1/sessions")
                assert name not in listed and after.welcome["session"] in listed

            metrics = await get(running, "metrics")
            assert 'omnilive_sessions_ended_total{how="failed"} 1.0' in metrics

            # What it wrote is closed, whole and readable.
            assert held_open(running, state / healthy.welcome["session"])
            assert held_open(running, folder) == []
            events = whole_lines(folder / "events.jsonl")
            assert events[0]["type"] == "session_started"
            assert "transcribed" in {event["type"] for event in events}
            whole_lines(folder / "timings.jsonl")
            with wave.open(str(folder / "answers.wav")) as answers:
                assert answers.getframerate() == 16_000
            assert main(["report", str(folder)]) == 0

    asyncio.run(asyncio.wait_for(visit(), 120))
