"""A file of noise for tests of how runs begin and end: what is shown and heard is no matter."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FPS = 4
RATE = 16_000


def write_noise(path: Path, seconds: int, *, sound: bool = True) -> None:
    """Write noise in picture and ``sound`` to ``path``; its ending names the container."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=FPS, width=160, height=96, pix_fmt="yuv420p")
        audio = container.add_stream("aac", rate=RATE, layout="mono") if sound else None
        for i in range(seconds * FPS):
            pixels = rng.integers(0, 256, (12, 20, 3), np.uint8).repeat(8, 0).repeat(8, 1)
            frame = av.VideoFrame.from_ndarray(pixels)
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            container.mux(video.encode(frame))
            if audio is not None:
                container.mux(audio.encode(_quiet(rng, i)))
        for stream in (video, audio):
            if stream is not None:
                container.mux(stream.encode())


def _quiet(rng: np.random.Generator, number: int) -> av.AudioFrame:
    samples = rng.normal(0, 1e-3, (1, RATE // FPS)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    frame.sample_rate, frame.pts = RATE, number * (RATE // FPS)
    frame.time_base = Fraction(1, RATE)
    return frame
