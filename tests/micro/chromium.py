"""Drives a headless Chromium over its DevTools protocol, with camera and microphone from files."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
HOW_TO_GET_IT = "needs Chromium: apt-get install chromium"

EARS_AND_MOUTH = """
{
  // What goes to a loudspeaker is heard here, too: when, and how loud.
  const connect = AudioNode.prototype.connect;
  window.heard = [];
  AudioNode.prototype.connect = function (to, ...rest) {
    if (to === this.context.destination) {
      const ear = this.context.createScriptProcessor(1024, 1, 1);
      ear.onaudioprocess = ({ inputBuffer }) => {
        const block = inputBuffer.getChannelData(0);
        const loud = Math.sqrt(block.reduce((sum, x) => sum + x * x, 0) / block.length);
        window.heard.push([performance.now(), loud]);
      };
      connect.call(this, ear);
      connect.call(ear, to);
    }
    return connect.call(this, to, ...rest);
  };
  window.sounds = (sinceMs) => window.heard.slice(-sinceMs / 64).some(([, loud]) => loud > 0.003);

  // Somebody may speak into the microphone besides what its file holds.
  const media = navigator.mediaDevices;
  const open = media?.getUserMedia.bind(media);
  if (media) media.getUserMedia = async (wanted) => {
    const stream = await open(wanted);
    const room = new AudioContext();
    const mixed = room.createMediaStreamDestination();
    connect.call(room.createMediaStreamSource(stream), mixed);
    window.speak = async (wav) => {
      const bytes = Uint8Array.from(atob(wav), (c) => c.charCodeAt(0));
      const buffer = await room.decodeAudioData(bytes.buffer);
      const voice = new AudioBufferSourceNode(room, { buffer });
      connect.call(voice, mixed);
      voice.start();
    };
    return new MediaStream([...stream.getVideoTracks(), ...mixed.stream.getAudioTracks()]);
  };
}
"""
"""Runs in the page before its own scripts."""


def find_chromium() -> str | None:
    """The browser's path, or None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One page of a running browser.

    Attributes:
        faults: uncaught exceptions and errors the browser logged, refused requests among them.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.faults: list[str] = []

    async def listen(self) -> None:
        """Take what the browser says, until it ends."""
        async for message in self._socket:
            said = message.json()
            waiting = self._waiting.pop(said.get("id", 0), None)
            if waiting is not None:
                waiting.set_result(said)
            elif said.get("method") == "Runtime.exceptionThrown":
                self.faults.append(str(said["params"]))
            elif said.get("method") == "Log.entryAdded":
                entry = said["params"]["entry"]
                if entry["level"] == "error":
                    self.faults.append(str(entry))

    async def call(self, method: str, **params: Any) -> Any:
        """Call a method of the DevTools protocol."""
        number = next(self._ids)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        said = await self._waiting[number]
        assert "error" not in said, said
        return said["result"]

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        found = await self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, condition: str) -> Any:
        """Wait, in the page, for a condition to be true of what it shows; gives its value."""
        return await self.evaluate(
            f"""new Promise((done) => {{
              const look = () => {{
                const found = ({condition});
                if (found) done(found); else requestAnimationFrame(look);
              }};
              look();
            }})"""
        )

    async def screenshot(self, file: Path) -> None:
        """A picture of the whole page."""
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def browse(
    browser: str, url: str, profile: Path, camera: Path, microphone: Path
) -> AsyncIterator[Page]:
    """Open ``url``.

    Args:
        browser: the browser's path.
        url: the page.
        profile: an empty folder for the browser's own files.
        camera: MJPEG the camera shows, from its beginning on when the page opens it, again and
            again.
        microphone: WAV the microphone hears, likewise, but once.
    """
    process = await asyncio.create_subprocess_exec(
        browser,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--mute-audio",
        f"--user-data-dir={profile}",
        "--remote-debugging-port=0",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
        f"--use-file-for-fake-audio-capture={microphone}%noloop",
        "--autoplay-policy=no-user-gesture-required",
        "--window-size=1280,900",
        "about:blank",
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        while b"DevTools listening on" not in (line := await process.stderr.readline()):
            assert line, "the browser ended before it could be driven"
        drain = asyncio.ensure_future(process.stderr.read())
        port = line.decode().rsplit(":", 1)[1].split("/")[0]
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{port}/json") as listed:
                target = next(t for t in await listed.json() if t["type"] == "page")
            socket = await http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)
            page = Page(socket)
            listening = asyncio.ensure_future(page.listen())
            try:
                for domain in ("Page", "Runtime", "Log"):
                    await page.call(f"{domain}.enable")
                await page.call("Page.addScriptToEvaluateOnNewDocument", source=EARS_AND_MOUTH)
                await page.call("Page.navigate", url=url)
                yield page
            finally:
                listening.cancel()
                await socket.close()
        drain.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
