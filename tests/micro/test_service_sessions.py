"""Sessions of a service with real engines: apart from each other, taken up again, and drained."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from pathlib import Path

import aiohttp
import pytest
from serving import service
from talking import talking

from omnilive.service.app import SUBPROTOCOL
from omnilive.service.protocol import AskMessage
from omnilive_micropack.render import render_stream
from omnilive_micropack.story import make_world
from omnilive_micropack.world import World

SCENE_S = 8.0

KITCHEN_S, BEDROOM_S = 6.0, 14.0
MUG, MUG_ANSWER = "what is the color of the mug", "green"
TELEPHONE, TELEPHONE_ANSWER = "what color was the telephone", "black"
HELMET, HELMET_ANSWER = "what color is the helmet", "white"
MUG_SEEN = "did you see a mug"

SLOW_VOICE = "[voice]\nrate_wpm = 80\n"
"""So that an answer of one word is still being spoken when the service is told to stop."""

TWO = "max_sessions = 2\nsessions_per_client = 2"


@pytest.fixture(scope="module")
def world() -> World:
    """A kitchen with a mug and a telephone, then a bedroom with a helmet and neither."""
    world = make_world(11, 2 * SCENE_S, scene_seconds=(SCENE_S, SCENE_S))
    kitchen, bedroom = ({(t.kind, t.colour) for t in s.things} for s in world.scenes)
    assert {("mug", MUG_ANSWER), ("telephone", TELEPHONE_ANSWER)} <= kitchen
    assert ("helmet", HELMET_ANSWER) in bedroom
    assert not {"mug", "telephone"} & {kind for kind, _ in bedroom}
    return world


def test_sessions_are_apart_outlive_their_connection_and_let_answers_end(
    micro_pack: Path, world: World, tmp_path: Path
) -> None:
    state = tmp_path / "state"

    async def visit() -> None:
        async with service(micro_pack, state, SLOW_VOICE, TWO) as running:
            # What was seen before the connection broke is remembered after it.
            async with talking(running.url) as first:
                await first.show(world, KITCHEN_S, 3)
                await first.hang_up()
                token, seq = first.welcome["resume"], first.seq
            async with (
                talking(running.url, token, seq) as again,
                talking(running.url) as other,
            ):
                assert (again.welcome["resumed"], again.welcome["missed"]) == (True, 0)
                assert other.welcome["session"] != again.welcome["session"]

                # Both are answered, each from its own memory.
                await other.show(world, BEDROOM_S, 3)
                answers = await asyncio.gather(again.ask(MUG), other.ask(HELMET))
                assert MUG_ANSWER in answers[0] and HELMET_ANSWER in answers[1]
                assert [message["seq"] for message in again.said] == [
                    seq + 1 + index for index in range(len(again.said))
                ]
                answers = await asyncio.gather(again.ask(MUG_SEEN), other.ask(MUG_SEEN))
                assert (answers[0].startswith("yes"), answers[1].startswith("no")) == (True, True)
                for talk in (again, other):
                    asked = [e for e in talk.events if e["type"] == "answer_finished"]
                    assert [e["utterance"] for e in asked] == [-1, -2]
                    assert {audio.utterance for audio in talk.audio} <= {-1, -2}

                # There is no third.
                async with aiohttp.ClientSession() as http:
                    with pytest.raises(aiohttp.WSServerHandshakeError) as full:
                        await http.ws_connect(f"{running.url}v1/live", protocols=(SUBPROTOCOL,))
                assert full.value.status == 503
                assert full.value.headers is not None and full.value.headers["Retry-After"] == "60"

                # An answer that is being spoken when the service is told to stop is spoken.
                await again.say(AskMessage(TELEPHONE))
                await again.heard(lambda audio: audio.utterance == -3)
                running.process.send_signal(signal.SIGTERM)
                await asyncio.gather(again.ended(), other.ended())
                spoken = [e for e in again.events if e["type"] == "answer_finished"][-1]
                assert TELEPHONE_ANSWER in spoken["text"]
                assert [audio for audio in again.audio if audio.utterance == -3][-1].last
                assert [talk.said[-1]["type"] for talk in (again, other)] == ["ended"] * 2
                assert await asyncio.wait_for(running.process.wait(), 20) == 0
                name = again.welcome["session"]

        # What was remembered is on disk.
        lines = (state / name / "events.jsonl").read_text(encoding="utf-8").splitlines()
        logged = [json.loads(line) for line in lines]
        assert logged[-1]["type"] == "session_ended"
        keyframes = {e["keyframe"] for e in logged if e["type"] == "frame_encoded"}
        assert {file.stem for file in (state / name / "keyframes").glob("*.jpg")} == keyframes

    asyncio.run(asyncio.wait_for(visit(), 240))


def test_a_service_watches_a_source_of_its_own_from_the_start(
    micro_pack: Path, world: World, tmp_path: Path
) -> None:
    stream = tmp_path / "stream.mp4"
    render_stream(stream, world, size=(320, 240), fps=5)

    async def visit() -> None:
        own = f'source = "{stream}"'
        async with (
            service(micro_pack, tmp_path / "state", own=own) as running,
            talking(running.url) as talk,
        ):
            await talk.until(lambda e: e["type"] == "clip_closed")
            await talk.seen(2)
            assert MUG_ANSWER in await talk.ask(MUG)
            seen = [e["pts_us"] for e in talk.events if e["type"] == "frame_encoded"]
            assert all(900_000 < b - a < 1_100_000 for a, b in itertools.pairwise(seen))

    asyncio.run(asyncio.wait_for(visit(), 120))
