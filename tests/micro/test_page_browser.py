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
from chromium import HOW_TO_GET_IT, Page, browse, find_chromium
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
            # That the first answer is over does not hide that the second is on its way.
            state = "document.getElementById('state').dataset.state"
            assert await page.until(f"['thinking', 'speaking'].includes({state}) && {state}")
            await page.until(f"{TURN}[1].querySelector('.answer').textContent")
            await page.screenshot(SHOTS / "4-interrupted.png")
            assert not page.faults

    asyncio.run(asyncio.wait_for(visit(), 150))


TOKEN = "a-token-of-some-length"
IS_OPEN = "document.getElementById('connection').dataset.state === 'open'"
QUANTUM = 128

PLAY_AND_CUT = """(async () => {
  const context = new OfflineAudioContext(1, 32000, 16000);
  await context.audioWorklet.addModule("page/player-worklet.js");
  const node = new AudioWorkletNode(context, "player", { outputChannelCount: [1] });
  const ear = new AnalyserNode(context, { fftSize: 32 });
  node.connect(ear).connect(context.destination);
  const samples = new Float32Array(16000).fill(0.5);
  node.port.postMessage({ type: "chunk", generation: 3, firstSample: 0, samples, last: true });
  let cut = -1;
  let played = -1;
  for (let at = 0.128; at < 1.9; at += 0.128) {
    context.suspend(at).then(() => {
      const now = new Float32Array(32);
      ear.getFloatTimeDomainData(now);
      if (cut >= 0 || !now.some((x) => x !== 0)) return context.resume();
      cut = Math.round(context.currentTime * 16000);
      node.port.onmessage = ({ data }) => {
        if (!data.final) return;
        played = data.samples;
        context.resume();
      };
      node.port.postMessage({ type: "cut" });
    });
  }
  const heard = (await context.startRendering()).getChannelData(0);
  return [cut, played, heard.filter((x) => x !== 0).length, heard.findLastIndex((x) => x !== 0)];
})()"""
"""Plays a second of sound against the clock of the samples alone, and cuts it once it sounds."""

NAMED = {"button", "textbox", "combobox", "slider", "meter", "link", "list", "dialog", "video"}


@pytest.mark.skipif(find_chromium() is None, reason=HOW_TO_GET_IT)
def test_the_page_cuts_sound_asks_for_the_token_and_is_used_by_keyboard_and_on_a_phone(
    micro_pack: Path, room: Room, tmp_path: Path
) -> None:
    browser = find_chromium()
    assert browser is not None
    (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
    own = f'token_file = "{tmp_path / "token"}"'

    async def visit() -> None:
        async with (
            service(micro_pack, tmp_path / "state", "", own) as running,
            browse(
                browser, running.url, tmp_path / "profile", room.camera, room.microphone
            ) as page,
        ):
            await page.until("document.readyState === 'complete'")
            cut, played, heard, last = await page.evaluate(PLAY_AND_CUT)
            assert 0 < played == heard < 16_000
            assert last < cut + QUANTUM

            await page.evaluate("document.getElementById('start').click()")
            notice = "document.getElementById('notice')"
            assert "token" in await page.until(f"!{notice}.hidden && {notice}.textContent")
            assert await page.until("document.activeElement.id === 'token'")
            await page.call("Input.insertText", text=TOKEN)
            await press(page, "Enter")
            await page.until("document.getElementById('connection').dataset.state === 'open'")
            await page.until("document.querySelector('#clips img')?.naturalWidth")

            await page.evaluate(
                "(mode => { mode.value = 'push'; mode.onchange(); })"
                "(document.getElementById('mode'))"
            )
            held = "document.getElementById('talk').classList.contains('held')"
            await page.evaluate("document.getElementById('talk').focus()")
            await key(page, "keyDown", "Space")
            assert await page.evaluate(held)
            await key(page, "keyUp", "Space")
            assert not await page.evaluate(held)
            await key(page, "keyDown", "Space")
            await page.evaluate("window.dispatchEvent(new Event('blur'))")
            assert not await page.evaluate(held)

            await page.evaluate("document.querySelector('#clips button').focus()")
            await press(page, "Enter")
            assert await page.evaluate("document.getElementById('clip-view').open")
            assert await unnamed(page) == []
            await press(page, "Escape")
            assert not await page.evaluate("document.getElementById('clip-view').open")
            assert await unnamed(page) == []

            await page.call(
                "Emulation.setDeviceMetricsOverride",
                width=390,
                height=844,
                deviceScaleFactor=1,
                mobile=True,
            )
            assert await page.until("document.documentElement.clientWidth === 390")
            assert await page.evaluate("document.documentElement.scrollWidth") == 390
            await page.screenshot(SHOTS / "5-phone.png")

    asyncio.run(asyncio.wait_for(visit(), 150))


@pytest.mark.skipif(find_chromium() is None, reason=HOW_TO_GET_IT)
def test_the_page_refuses_a_wrong_token_stops_at_once_and_is_heard_again_in_a_new_session(
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
    click = "document.getElementById('{}').click()".format

    async def visit() -> None:
        async with (
            service(
                micro_pack, tmp_path / "state", SLOW_VOICE, f'token_file = "{token_file}"'
            ) as on,
            browse(browser, on.url, tmp_path / "profile", room.camera, silence) as page,
        ):
            await page.until("document.readyState === 'complete'")
            notice = "document.getElementById('notice').textContent"
            await page.evaluate(click("start"))
            for token, then in (
                ("not-the-token-of-it", f"{notice}.includes('refused')"),
                (TOKEN, IS_OPEN),
            ):
                await page.until("document.activeElement.id === 'token'")
                await page.evaluate(f"document.getElementById('token').value = '{token}'")
                await page.evaluate("document.getElementById('token-form').requestSubmit()")
                await page.until(then)
                await page.screenshot(SHOTS / f"6-token-{len(token)}.png")
            for count in (1, 2):
                await page.until("document.getElementById('start').textContent === 'End'")
                await page.until("document.querySelectorAll('#clips li').length")
                await page.evaluate(ask)
                await page.until("sounds(100)")
                await page.evaluate(click("stop"))
                await page.until("!sounds(300)")
                stopped = f"{TURN}[{TURN}.length - 1].textContent.includes('stopped')"
                await page.until(stopped)
                await page.evaluate(click("start"))
                await page.until("document.getElementById('connection').dataset.state === 'closed'")
                assert await page.evaluate(f"{TURN}.length") == count
                await page.evaluate(click("start"))
            await page.until(IS_OPEN)
            await page.screenshot(SHOTS / "7-again.png")
            # The browser logs what was refused.
            assert all("v1/live" in one or "401" in one for one in page.faults)

    asyncio.run(asyncio.wait_for(visit(), 150))


async def key(page: Page, kind: str, name: str) -> None:
    text = {"Enter": "\r", "Space": " "}.get(name, "")
    codes = {"Enter": 13, "Escape": 27, "Space": 32}
    await page.call(
        "Input.dispatchKeyEvent",
        type=kind,
        code=name,
        key=" " if name == "Space" else name,
        windowsVirtualKeyCode=codes[name],
        **({"text": text} if text and kind == "keyDown" else {}),
    )


async def press(page: Page, name: str) -> None:
    await key(page, "keyDown", name)
    await key(page, "keyUp", name)


async def unnamed(page: Page) -> list[str]:
    """Roles of what can be used or is told of, and has no accessible name."""
    tree = await page.call("Accessibility.getFullAXTree")
    return [
        node["role"]["value"]
        for node in tree["nodes"]
        if not node["ignored"]
        and node["role"]["value"].lower() in NAMED
        and not node.get("name", {}).get("value")
    ]
