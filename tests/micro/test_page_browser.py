"""The page in a real browser, whose camera and microphone show and say a world of the micropack."""

from __future__ import annotations

import asyncio
import base64
import io
import wave
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from chromium import HOW_TO_GET_IT, browse, find_chromium
from PIL import Image
from serving import service, serving

from omnilive_micropack.render import render_stream
from omnilive_micropack.speech import SpokenItem
from omnilive_micropack.story import make_world
from omnilive_micropack.world import World

SHOTS = Path("out/page")
"""Pictures of each step, kept."""

FIRST_S = 9.0
LENGTH_S = 16.0
FPS = 5

SLOW_VOICE = "[voice]\nrate_wpm = 80\n"
"""So that there is time to speak over an answer of two words."""

TURN = "document.querySelectorAll('#turns li')"


@dataclass(frozen=True)
class Room:
    """What the browser's camera shows and its microphone hears.

    Attributes:
        world: with the truth of what is shown.
        camera, microphone: MJPEG and WAV.
        interruption: WAV of what is said over the answer.
    """

    world: World
    camera: Path
    microphone: Path
    interruption: bytes


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    """One scene, and somebody who asks what is seen."""
    folder = tmp_path_factory.mktemp("world")
    world = make_world(11, LENGTH_S, scene_seconds=(LENGTH_S, LENGTH_S + 4))
    stream = render(folder / "stream.mp4", world, "what do you see now", FIRST_S)
    other = render(folder / "other.mp4", world, "wait who is in the room", 0.2)
    voice = write_wav(other, folder / "interruption.wav", seconds=3.0)
    return Room(
        world,
        write_mjpeg(stream, folder / "camera.mjpeg"),
        write_wav(stream, folder / "voice.wav"),
        voice.read_bytes(),
    )


def render(path: Path, world: World, question: str, at_s: float) -> Path:
    render_stream(path, world, [SpokenItem(question, at_s)], size=(320, 240), fps=FPS)
    return path


def write_mjpeg(stream: Path, file: Path) -> Path:
    with av.open(str(stream)) as container, file.open("wb") as out:
        for frame in container.decode(video=0):
            picture = io.BytesIO()
            Image.fromarray(frame.to_ndarray(format="rgb24")).save(picture, "JPEG", quality=90)
            out.write(picture.getvalue())
    return file


def write_wav(stream: Path, file: Path, seconds: float = LENGTH_S) -> Path:
    resampler = av.AudioResampler("s16", "mono", 48_000)
    with av.open(str(stream)) as container:
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    samples = np.concatenate([f.to_ndarray().ravel() for f in frames])
    with wave.open(str(file), "wb") as out:
        out.setparams((1, 2, 48_000, 0, "NONE", ""))
        out.writeframes(samples[: round(seconds * 48_000)].astype("<i2").tobytes())
    return file


@pytest.mark.skipif(find_chromium() is None, reason=HOW_TO_GET_IT)
def test_a_person_asks_at_the_page_hears_the_right_answer_and_speaks_over_it(
    micro_pack: Path, room: Room, tmp_path: Path
) -> None:
    browser = find_chromium()
    assert browser is not None
    seen = {f"the {thing.kind}" for scene in room.world.scenes for thing in scene.things}

    async def visit() -> None:
        async with (
            serving(micro_pack, tmp_path / "state", SLOW_VOICE) as url,
            browse(browser, url, tmp_path / "profile", room.camera, room.microphone) as page,
        ):
            await page.until("document.readyState === 'complete'")
            await page.screenshot(SHOTS / "1-loaded.png")
            await page.evaluate("document.getElementById('start').click()")
            asked = f"{TURN}[0]?.querySelector('.asked').textContent"
            assert await page.until(f"{asked}?.length > 3 && {asked}") == "what do you see now"
            await page.screenshot(SHOTS / "2-asked.png")
            await page.until("sounds(100)")
            await page.evaluate(f"speak('{base64.b64encode(room.interruption).decode()}')")
            answer = await page.until(f"{TURN}[0].querySelector('.answer').textContent")
            assert answer in seen
            await page.screenshot(SHOTS / "3-answered.png")
            await page.until(f"{TURN}[0].textContent.includes('stopped')")
            await page.until("!sounds(300)")
            second = f"{TURN}[1]?.querySelector('.asked').textContent"
            assert "who is in the" in await page.until(f"{second}?.length > 3 && {second}")
            await page.screenshot(SHOTS / "4-interrupted.png")
            assert not page.faults

    asyncio.run(asyncio.wait_for(visit(), 150))


TOKEN = "a-token-of-the-test-0123456789"


@pytest.mark.skipif(find_chromium() is None, reason=HOW_TO_GET_IT)
def test_the_page_asks_for_the_token_stops_at_once_and_is_heard_again_in_a_new_session(
    micro_pack: Path, room: Room, tmp_path: Path
) -> None:
    browser = find_chromium()
    assert browser is not None
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN, encoding="utf-8")
    silence = tmp_path / "silence.wav"
    with wave.open(str(silence), "wb") as out:
        out.setparams((1, 2, 48_000, 0, "NONE", ""))
        out.writeframes(bytes(2 * 48_000))
    typed = "document.getElementById('question').value = 'what do you see now'"
    ask = f"{typed}; document.getElementById('ask').requestSubmit()"
    press = "document.getElementById('{}').click()".format

    async def visit() -> None:
        async with (
            service(
                micro_pack, tmp_path / "state", SLOW_VOICE, f'token_file = "{token_file}"'
            ) as on,
            browse(browser, on.url, tmp_path / "profile", room.camera, silence) as page,
        ):
            await page.until("document.readyState === 'complete'")
            await page.evaluate(press("start"))
            await page.until("document.activeElement.id === 'token'")
            await page.screenshot(SHOTS / "5-token.png")
            page.faults.clear()  # the browser logs what was refused
            await page.evaluate(f"document.getElementById('token').value = '{TOKEN}'")
            await page.evaluate("document.getElementById('token-form').requestSubmit()")
            await page.until("document.getElementById('connection').dataset.state === 'open'")
            for count in (1, 2):
                await page.evaluate(press("start"))
                await page.until("document.getElementById('start').textContent === 'End'")
                await page.until("document.querySelectorAll('#clips li').length")
                await page.evaluate(ask)
                await page.until("sounds(100)")
                await page.evaluate(press("stop"))
                await page.until("!sounds(300)")
                stopped = f"{TURN}[{TURN}.length - 1].textContent.includes('stopped')"
                await page.until(stopped)
                await page.evaluate(press("start"))
                await page.until("document.getElementById('connection').dataset.state === 'closed'")
                assert await page.evaluate(f"{TURN}.length") == count
            await page.screenshot(SHOTS / "6-again.png")
            assert not page.faults

    asyncio.run(asyncio.wait_for(visit(), 150))
