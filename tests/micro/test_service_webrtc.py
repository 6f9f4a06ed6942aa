"""A stream published by a real WebRTC peer: its spoken question answered, and a drop survived."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from chromium import HOW_TO_GET_IT, browse, find_chromium
from serving import serving
from talking import Said, Talk, talking
from test_page_browser import write_mjpeg, write_wav

from omnilive_micropack.render import render_stream
from omnilive_micropack.speech import SpokenItem
from omnilive_micropack.story import make_world

pytest.importorskip("aiortc", reason="needs aiortc: pip install 'omnilive-edge[webrtc]'")

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer

QUESTION, ANSWER = "what is the color of the mug", "green"
BEFORE, BEFORE_ANSWER = "what color is the telephone", "black"


@pytest.fixture(scope="module")
def talk_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kitchen with a green mug and a black telephone, and a question asked aloud."""
    path = tmp_path_factory.mktemp("whip") / "talk.mp4"
    world = make_world(11, 16.0, scene_seconds=(8.0, 8.0))
    seen = {(t.kind, t.colour) for t in world.scenes[0].things}
    assert {("mug", ANSWER), ("telephone", BEFORE_ANSWER)} <= seen
    render_stream(path, world, [SpokenItem(QUESTION, 2.0)], size=(320, 240), fps=10)
    return path


PUBLISH = """
(async () => {
  const plain = { echoCancellation: false, autoGainControl: false, noiseSuppression: false };
  const media = await navigator.mediaDevices.getUserMedia({ video: true, audio: plain });
  window.connection = new RTCPeerConnection();
  for (const track of media.getTracks()) connection.addTrack(track, media);
  await connection.setLocalDescription(await connection.createOffer());
  const headers = { "Content-Type": "application/sdp" };
  const body = connection.localDescription.sdp;
  const response = await fetch("v1/sessions/SESSION/whip", { method: "POST", headers, body });
  await connection.setRemoteDescription({ type: "answer", sdp: await response.text() });
  return [response.status, body.includes("a=candidate")];
})()
"""
"""Publishes a page's camera and microphone, without waiting for its own candidates."""


@asynccontextmanager
async def publishing(url: str, talk: Talk, file: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """A peer that publishes a file at its own speed into the session of ``talk``."""
    player = MediaPlayer(str(file))
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTrack(player.audio)
    connection.addTrack(player.video)
    await connection.setLocalDescription(await connection.createOffer())
    async with aiohttp.ClientSession() as http:
        offered = await http.post(
            f"{url}v1/sessions/{talk.welcome['session']}/whip",
            data=connection.localDescription.sdp,
            headers={"Content-Type": "application/sdp"},
        )
        assert offered.status == 201
        answer = RTCSessionDescription(await offered.text(), "answer")
        await connection.setRemoteDescription(answer)
        try:
            yield http
        finally:
            await connection.close()


def test_a_question_asked_aloud_over_webrtc_is_answered_and_a_drop_is_survived(
    micro_pack: Path, talk_file: Path, tmp_path: Path
) -> None:
    def notice(what: str) -> object:
        return lambda e: e["type"] == "source_notice" and what in e["what"]

    def answered(event: Said) -> bool:
        return event["type"] == "answer_finished"

    async def visit() -> None:
        async with serving(micro_pack, tmp_path / "state") as url, talking(url) as talk:
            async with publishing(url, talk, talk_file):
                await talk.until(notice("connected to a WebRTC peer"))
                heard = await talk.until(lambda e: e["type"] == "transcribed")
                assert heard["text"] == QUESTION
                assert ANSWER in (await talk.until(answered))["text"]
            await talk.until(notice("it may come back"))
            assert BEFORE_ANSWER in await talk.ask(BEFORE)
            before = len(talk.events)
            async with publishing(url, talk, talk_file):
                await talk.until(notice("connected to a WebRTC peer"), before)
                await talk.until(lambda e: e["type"] == "frame_encoded", before)

    asyncio.run(asyncio.wait_for(visit(), 120))


@pytest.mark.skipif(find_chromium() is None, reason=HOW_TO_GET_IT)
def test_a_browser_publishes_its_camera_and_microphone(
    micro_pack: Path, talk_file: Path, tmp_path: Path
) -> None:
    browser = find_chromium()
    assert browser is not None
    camera = write_mjpeg(talk_file, tmp_path / "camera.mjpeg")
    voice = write_wav(talk_file, tmp_path / "voice.wav")

    async def visit() -> None:
        async with (
            serving(micro_pack, tmp_path / "state") as url,
            talking(url) as talk,
            browse(browser, url, tmp_path / "profile", camera, voice) as page,
        ):
            await page.until("document.readyState === 'complete'")
            publish = PUBLISH.replace("SESSION", talk.welcome["session"])
            assert await page.evaluate(publish) == [201, False]
            heard = await talk.until(lambda e: e["type"] == "transcribed")
            assert heard["text"] == QUESTION
            assert ANSWER in (await talk.until(lambda e: e["type"] == "answer_finished"))["text"]
            await page.evaluate("connection.close()")
            await talk.until(lambda e: e["type"] == "source_notice" and "may come" in e["what"])
            assert not page.faults

    asyncio.run(asyncio.wait_for(visit(), 120))
