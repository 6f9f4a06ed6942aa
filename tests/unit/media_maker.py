"""Makes small media files with known content for the source tests; never reads any.

A video frame is one grey level that tells its index, or four coloured quadrants; audio is a sine.
Faults are made on purpose: shifted clocks, swapped PTS, packets replaced by noise, cut-off files.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

CLOCK = 90_000
"""Ticks per second of every video stream made here."""

QUADRANTS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))
"""Colours of the top left, top right, bottom left and bottom right quarter."""


def grey(index: int) -> int:
    """Grey level of frame ``index``: steps of 6 survive lossy coding; wraps after 36 frames."""
    return 20 + 6 * (index % 36)


@dataclass(frozen=True)
class Video:
    """A video track of ``len(times)`` frames shown at ``times`` seconds."""

    times: tuple[float, ...]
    width: int = 64
    height: int = 48
    codec: str = "libx264"
    quadrants: bool = False
    gop: int = 10
    b_frames: int = 0
    times_muxed: tuple[float, ...] | None = None
    """PTS that the container gets in place of ``times``, frame by frame in coding order."""

    damaged: tuple[int, ...] = ()
    """Packets whose payload becomes noise."""


@dataclass(frozen=True)
class Audio:
    """A sine of ``seconds``; ``pieces`` are (start, end) seconds that exist, the rest is a gap."""

    seconds: float
    rate: int = 16_000
    channels: int = 1
    codec: str = "aac"
    hertz: float = 440.0
    level: float = 0.5
    start: float = 0.0
    pieces: tuple[tuple[float, float], ...] | None = None
    damaged: tuple[int, ...] = ()


def every(seconds: float, fps: float = 10.0, start: float = 0.0) -> tuple[float, ...]:
    """Frame times of ``seconds`` of video at a constant rate."""
    return tuple(start + i / fps for i in range(round(seconds * fps)))


def make(
    path: Path,
    video: Video | None = None,
    audio: Audio | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write ``path`` in the container its suffix names; returns ``path``."""
    with av.open(str(path), "w", options=options or {}) as container:
        packets: list[tuple[float, Any]] = []
        if video is not None:
            packets += _video_packets(container, video)
        if audio is not None:
            packets += _audio_packets(container, audio)
        for _, packet in sorted(packets, key=lambda p: p[0]):
            container.mux(packet)
    return path


def shifted_ts(path: Path, offset_seconds: float, video: Video | None, audio: Audio | None) -> Path:
    """An MPEG-TS file whose clock starts at ``offset_seconds``; such files may be joined."""
    return make(path, video, audio, {"output_ts_offset": str(offset_seconds)})


def join(path: Path, parts: Iterable[Path]) -> Path:
    """Concatenate files byte by byte, as MPEG-TS allows."""
    path.write_bytes(b"".join(p.read_bytes() for p in parts))
    return path


def set_mp4_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Rewrite the display matrix of an mp4's only track: (x, y) → (ax + cy, bx + dy)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4
    matrix = at + 40  # version 0: flags, times, id, duration, layer, group, volume
    assert data[at] == 0
    struct.pack_into(">9i", data, matrix, a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))
    return path


def cut_off(path: Path, fraction: float) -> Path:
    """Keep the first ``fraction`` of the file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    return path


def _video_packets(container: Any, video: Video) -> list[tuple[float, Any]]:
    stream = container.add_stream(video.codec, rate=Fraction(10))
    stream.width, stream.height = video.width, video.height
    stream.pix_fmt = "yuvj420p" if video.codec == "mjpeg" else "yuv420p"
    context = stream.codec_context
    # MPEG-4 part 2 keeps its clock in 16 bits.
    context.time_base = Fraction(1, 1000 if video.codec == "mpeg4" else CLOCK)
    context.gop_size = video.gop
    if video.codec == "libx264":
        stream.options = {"preset": "ultrafast", "crf": "18", "bf": str(video.b_frames)}
    ticks = context.time_base.denominator
    packets: list[tuple[float, Any]] = []
    for index, time in enumerate(video.times):
        frame = av.VideoFrame.from_ndarray(_picture(video, index), format="rgb24")
        frame.pts = round(time * ticks)
        frame.time_base = context.time_base
        packets += [(0.0, p) for p in stream.encode(frame)]
    packets += [(0.0, p) for p in stream.encode(None)]
    timed = []
    for index, (_, packet) in enumerate(packets):
        time = float((packet.dts if packet.dts is not None else packet.pts) * packet.time_base)
        if video.times_muxed is not None:
            packet.pts = round(video.times_muxed[index] * ticks)
        if index in video.damaged:
            packet = _noise_like(packet)
        timed.append((time, packet))
    return timed


def _picture(video: Video, index: int) -> np.ndarray:
    picture = np.full((video.height, video.width, 3), grey(index), np.uint8)
    if video.quadrants:
        half_h, half_w = video.height // 2, video.width // 2
        picture[:half_h, :half_w], picture[:half_h, half_w:] = QUADRANTS[0], QUADRANTS[1]
        picture[half_h:, :half_w], picture[half_h:, half_w:] = QUADRANTS[2], QUADRANTS[3]
    return picture


def _audio_packets(container: Any, audio: Audio) -> list[tuple[float, Any]]:
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[audio.channels]
    stream = container.add_stream(audio.codec, rate=audio.rate, layout=layout)
    integer = audio.codec.startswith("pcm") or audio.codec == "flac"
    context = stream.codec_context
    context.time_base = Fraction(1, audio.rate)
    context.open()
    size = context.frame_size or 1024
    wave = sine(audio)
    present = audio.pieces or ((0.0, audio.seconds),)
    keep = _inside(present, audio.rate)
    packets: list[Any] = []
    for start in range(0, len(wave), size):
        if not keep(start, min(start + size, len(wave))):
            continue
        block = np.repeat(wave[None, start : start + size], audio.channels, axis=0)
        if integer:
            samples = np.rint(block * 32767).astype(np.int16).T.reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "s16", layout)
        else:
            planar = np.ascontiguousarray(block, dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(planar, "fltp", layout)
        frame.sample_rate = audio.rate
        frame.time_base = context.time_base
        frame.pts = start + round(audio.start * audio.rate)
        packets += stream.encode(frame)
    packets += stream.encode(None)
    timed = []
    for index, packet in enumerate(packets):
        if index in audio.damaged:
            packet = _noise_like(packet)
        timed.append((float(packet.dts * packet.time_base), packet))
    return timed


def sine(audio: Audio) -> np.ndarray:
    """The whole wave of a track, float32 at its own rate."""
    t = np.arange(round(audio.seconds * audio.rate)) / audio.rate
    return (audio.level * np.sin(2 * np.pi * audio.hertz * t)).astype(np.float32)


def _inside(pieces: tuple[tuple[float, float], ...], rate: int) -> Callable[[int, int], bool]:
    return lambda start, end: any(a * rate <= start and end <= b * rate + 1024 for a, b in pieces)


def _noise_like(packet: Any) -> Any:
    rng = np.random.default_rng(0)
    noise = av.Packet(rng.integers(0, 256, packet.size, dtype=np.uint8).tobytes())
    noise.pts, noise.dts, noise.time_base = packet.pts, packet.dts, packet.time_base
    noise.duration = packet.duration
    noise.stream = packet.stream
    return noise
