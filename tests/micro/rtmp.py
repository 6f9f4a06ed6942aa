"""A real RTMP server on a free port, and a publisher of a file at the speed it was made."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import Any

import av

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
HOW_TO_GET_IT = (
    "needs nginx with RTMP: apt-get install --no-install-recommends nginx libnginx-mod-rtmp"
)

LISTENING = b"event method"
"""In what nginx logs once its ports are open."""

CONFIG = """
load_module {module};
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr info;
events {{ worker_connections 64; }}
rtmp {{
  server {{
    listen 127.0.0.1:{port};
    application live {{ live on; wait_key on; record off; }}
  }}
}}
"""


def find_nginx() -> str | None:
    """Path of an nginx that has the RTMP module, None where there is none."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    return found if MODULE.is_file() else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RtmpServer:
    """nginx with a configuration of its own; it may be killed and started again."""

    def __init__(self, nginx: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._nginx = nginx
        self._file = folder / "nginx.conf"
        self.port = free_port()
        self._file.write_text(CONFIG.format(module=MODULE, folder=folder, port=self.port))
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"rtmp://127.0.0.1:{self.port}/live/room"

    async def start(self) -> None:
        """Start it and wait until it takes connections."""
        self._process = await asyncio.create_subprocess_exec(
            *(self._nginx, "-p", str(self._file.parent), "-c", str(self._file)),
            stderr=asyncio.subprocess.PIPE,
        )
        log = self._process.stderr
        assert log is not None
        while LISTENING not in (line := await log.readline()):
            assert line, "nginx ended"
        self._drain = asyncio.ensure_future(log.read())

    async def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


class Publisher:
    """Publishes a file over and over, from another thread, until the server goes or ``stop``."""

    def __init__(self, url: str, file: Path) -> None:
        self._url, self._file = url, file
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(20)

    def _run(self) -> None:
        with contextlib.suppress(av.error.FFmpegError, OSError):
            self._publish()

    def _publish(self) -> None:
        began = time.monotonic()
        sent_s = 0.0
        with av.open(self._url, "w", format="flv", timeout=5) as out:
            outs: dict[int, Any] = {}
            while True:
                with av.open(str(self._file)) as file:
                    for stream in () if outs else file.streams:
                        outs[stream.index] = out.add_stream_from_template(stream)
                    for packet in file.demux():
                        if packet.dts is None:
                            continue
                        shift = round(sent_s / packet.time_base)
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        at_s = float(packet.dts * packet.time_base)
                        if self._stopped.wait(max(0.0, began + at_s - time.monotonic())):
                            return
                        packet.stream = outs[packet.stream.index]
                        out.mux(packet)
                    sent_s += file.duration / av.time_base


def cut(source: Path, part: Path, start_s: float, end_s: float) -> Path:
    """A part of a file with a key frame every second, as cameras and encoders send them."""
    with av.open(str(source)) as whole, av.open(str(part), "w", format="flv") as out:
        video, audio = whole.streams.video[0], whole.streams.audio[0]
        pictures = out.add_stream(
            "libx264",
            rate=round(video.average_rate),
            options={"preset": "ultrafast", "tune": "zerolatency", "g": str(video.average_rate)},
        )
        pictures.width, pictures.height, pictures.pix_fmt = video.width, video.height, "yuv420p"
        sound = out.add_stream_from_template(audio)
        for packet in whole.demux(video, audio):
            if packet.dts is None:
                continue
            for frame in packet.decode() if packet.stream is video else ():
                if start_s <= frame.time < end_s:
                    frame.pts -= round(start_s / frame.time_base)
                    out.mux(pictures.encode(frame))
            at_s = float(packet.pts * packet.time_base)
            if packet.stream is audio and start_s <= at_s < end_s:
                packet.pts -= round(start_s / packet.time_base)
                packet.dts = packet.pts
                packet.stream = sound
                out.mux(packet)
        out.mux(pictures.encode(None))
    return part
