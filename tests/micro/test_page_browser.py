"""The page in a real browser, whose camera and microphone show and say a world of the micropack."""

from __future__ import annotations

import asyncio
import io
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from chromium import HOW_TO_GET_IT, browse, find_chromium
from PIL import Image
from serving import serving

from omnilive_micropack.render import render_stream
from omnilive_micropack.speech import SpokenItem
from omnilive_micropack.story import make_world

SHOTS = Path("out/page")
QUESTION_S, SECOND_S = 9.0, 14.0
LENGTH_S = 24.0
FPS = 5

TURN = "document.querySelectorAll('#turns li')"


@pytest.fixture(scope="module")
def world_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What the browser's camera and microphone give: MJPEG and WAV of one world."""
    folder = tmp_path_factory.mktemp("world")
    world = make_world(11, LENGTH_S, scene_seconds=(20.0, 24.0))
    spoken = [
        SpokenItem("what do you see now", QUESTION_S),
        SpokenItem("who is in the room", SECOND_S),
    ]
    stream = folder / "stream.mp4"
    render_stream(stream, world, spoken, size=(320, 240), fps=FPS)
    return write_mjpeg(stream, folder / "camera.mjpeg"), write_wav(stream, folder / "voice.wav")


def write_mjpeg(stream: Path, file: Path) -> Path:
    with av.open(str(stream)) as container, file.open("wb") as out:
        for frame in container.decode(video=0):
            picture = io.BytesIO()
            Image.fromarray(frame.to_ndarray(format="rgb24")).save(picture, "JPEG", quality=90)
            out.write(picture.getvalue())
    return file


def write_wav(stream: Path, file: Path) -> Path:
    resampler = av.AudioResampler("s16", "mono", 48_000)
    with av.open(str(stream)) as container:
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    samples = np.concatenate([f.to_ndarray().ravel() for f in frames])
    with wave.open(str(file), "wb") as out:
        out.setparams((1, 2, 48_000, 0, "NONE", ""))
        out.writeframes(samples.astype("<i2").tobytes())
    return file


@pytest.mark.skipif(find_chromium() is None, reason=HOW_TO_GET_IT)
def test_a_person_at_the_page_asks_hears_the_answer_and_speaks_over_it(
    micro_pack: Path, world_files: tuple[Path, Path], tmp_path: Path
) -> None:
    camera, microphone = world_files

    async def visit() -> None:
        browser = find_chromium()
        assert browser is not None
        async with (
            serving(micro_pack, tmp_path / "state") as url,
            browse(browser, url, tmp_path / "profile", camera, microphone) as page,
        ):
            await page.until("document.readyState === 'complete'")
            await page.screenshot(SHOTS / "1-loaded.png")
            await page.evaluate("document.getElementById('start').click()")
            await page.until("document.getElementById('connection').dataset.state === 'open'")
            heard = await page.until(
                f"{TURN}[0]?.querySelector('.asked').textContent.length > 3 && {TURN}[0].querySelector('.asked').textContent"
            )
            await page.screenshot(SHOTS / "2-asked.png")
            answer = await page.until(f"{TURN}[0].querySelector('.answer').textContent")
            await page.until("window.heard?.some(([, loud]) => loud > 0.005)")
            await page.screenshot(SHOTS / "3-answered.png")
            print(heard, "->", answer)
            assert not page.console, page.console
            await page.until(f"{TURN}.length > 1 && {TURN}[1].querySelector('.asked').textContent")
            await page.screenshot(SHOTS / "4-second.png")

    asyncio.run(asyncio.wait_for(visit(), 120))
