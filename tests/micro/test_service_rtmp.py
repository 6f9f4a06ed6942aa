"""A stream pulled from a real RTMP server: asked about, cut, and taken up again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rtmp import HOW_TO_GET_IT, Publisher, RtmpServer, cut, find_nginx
from serving import serving
from talking import Said, is_frame, talking

from omnilive.service.protocol import PullMessage
from omnilive_micropack.render import render_stream
from omnilive_micropack.story import make_world

SCENE_S = 8.0
NOW, NOW_ANSWER = "what is the color of the mug", "green"
BEFORE, BEFORE_ANSWER = "what color was the telephone", "black"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two scenes, each in a file of its own: a kitchen with a mug, and another room without."""
    folder = tmp_path_factory.mktemp("rtmp")
    world = make_world(11, 2 * SCENE_S, scene_seconds=(SCENE_S, SCENE_S))
    seen = {(t.kind, t.colour) for t in world.scenes[0].things}
    assert {("mug", NOW_ANSWER), ("telephone", BEFORE_ANSWER)} <= seen
    assert not {"mug", "telephone"} & {t.kind for t in world.scenes[1].things}
    whole = folder / "whole.mp4"
    render_stream(whole, world, size=(320, 240), fps=5)
    return (
        cut(whole, folder / "first.flv", 0, SCENE_S),
        cut(whole, folder / "second.flv", SCENE_S, 2 * SCENE_S),
    )


@pytest.mark.skipif(find_nginx() is None, reason=HOW_TO_GET_IT)
def test_a_stream_that_breaks_is_pulled_again_and_what_was_seen_before_is_remembered(
    micro_pack: Path, parts: tuple[Path, Path], tmp_path: Path
) -> None:
    nginx = find_nginx()
    assert nginx is not None

    def notice(what: str) -> object:
        return lambda e: e["type"] == "source_notice" and what in e["what"]

    async def visit() -> None:
        server = RtmpServer(nginx, tmp_path / "nginx")
        await server.start()
        publisher = Publisher(server.url, parts[0])
        try:
            async with (
                serving(micro_pack, tmp_path / "state") as url,
                talking(url) as talk,
            ):
                await talk.say(PullMessage(server.url))
                await talk.until(notice("connected to rtmp://127.0.0.1"))
                await talk.seen(4)
                assert NOW_ANSWER in await talk.ask(NOW)
                await server.kill()
                await talk.until(notice("opening it again"))
                publisher.stop()
                before = len(talk.events)
                await server.start()
                publisher = Publisher(server.url, parts[1])
                await talk.until(notice("connected to rtmp://127.0.0.1"), before)
                await talk.until(is_closed_clip, before)
                await talk.seen(sum(map(is_frame, talk.events)) + 2)
                assert BEFORE_ANSWER in await talk.ask(BEFORE)
        finally:
            publisher.stop()
            await server.kill()

    def is_closed_clip(event: Said) -> bool:
        return event["type"] == "clip_closed"

    asyncio.run(asyncio.wait_for(visit(), 150))
