"""Writes pictures and sound into a file, H.264 and AAC, side by side as they come.

It decides nothing about what is shown or heard, and holds neither as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from omnilive.engine.interface import F32
from omnilive.errors import SetupError
from omnilive.sources.types import SAMPLE_RATE_HZ

Rgb = npt.NDArray[np.uint8]

VIDEO_CODECS = ("libx264", "mpeg4")
"""In order of preference; a PyAV built without libx264 still writes a readable file."""

PICTURE_SECONDS = 0.5
"""The picture changes at most this often: painting and encoding stay a small part of the time."""

AUDIO_BLOCK = 1024
"""Samples per audio frame handed to the encoder, which is AAC's own frame length."""

AUDIO_BIT_RATE = 64_000
"""Bits per second: transparent for speech sampled at 16 kHz."""

ROTATIONS = (0, 90, 180, 270)


@dataclass(frozen=True)
class VideoForm:
    """How the file's pictures are stored.

    Attributes:
        size: upright width and height in pixels, both even.
        fps: frames per second.
        rotation: degrees by which a player turns the stored pictures clockwise to show them
            upright, as phones write it.

    Raises:
        ValueError: an odd size or another rotation.
    """

    size: tuple[int, int] = (640, 360)
    fps: int = 10
    rotation: int = 0

    def __post_init__(self) -> None:
        if self.rotation not in ROTATIONS or self.size[0] % 2 or self.size[1] % 2:
            raise ValueError(f"rotation {self.rotation} or size {self.size} cannot be stored")


def write_file(
    path: Path,
    paint: Callable[[float], Rgb],
    sound: Iterator[F32] | None,
    duration_s: float,
    form: VideoForm,
    on_second: Callable[[int], None] | None = None,
) -> None:
    """Write the file.

    Args:
        path: its ending names the container, usually ``.mp4``.
        paint: the upright picture at a time in seconds, uint8 [height, width, 3].
        sound: float32 blocks of any length, 16 kHz mono; None leaves the audio track out.
        duration_s: of the pictures.
        form: how the pictures are stored.
        on_second: called with the number of whole seconds written, for progress.

    Raises:
        OSError: the file cannot be written.
        SetupError: PyAV lacks an encoder.
    """
    with av.open(str(path), "w") as container:
        video = _video_stream(container, form)
        audio = None if sound is None else _Audio(container, sound)
        picture_at = -1
        frame = None
        for i in range(round(duration_s * form.fps)):
            at_s = i / form.fps
            if int(at_s / PICTURE_SECONDS) != picture_at or frame is None:
                picture_at = int(at_s / PICTURE_SECONDS)
                frame = _stored(paint(picture_at * PICTURE_SECONDS), form.rotation)
            frame.pts = i
            frame.time_base = Fraction(1, form.fps)
            container.mux(video.encode(frame))
            if audio is not None:
                audio.write_until(round((i + 1) / form.fps * SAMPLE_RATE_HZ))
            if on_second is not None and (i + 1) % form.fps == 0:
                on_second((i + 1) // form.fps)
        if audio is not None:
            audio.close()
        container.mux(video.encode(None))


def _video_stream(container: OutputContainer, form: VideoForm) -> VideoStream:
    codec = next((c for c in VIDEO_CODECS if c in av.codecs_available), None)
    if codec is None:
        raise SetupError(
            f"has none of the video encoders {', '.join(VIDEO_CODECS)}",
            where="PyAV",
            mend="Reinstall it from its wheel: pip install --force-reinstall av",
        )
    fast = {"preset": "ultrafast", "crf": "20"} if codec == "libx264" else {"qscale": "3"}
    stream = cast(VideoStream, container.add_stream(codec, rate=form.fps, options=fast))
    turned = form.rotation % 180 != 0
    stream.width, stream.height = form.size[::-1] if turned else form.size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.gop_size = 2 * form.fps
    if form.rotation:
        # the display matrix is stored as an angle counter-clockwise
        stream.set_display_rotation(-form.rotation)
    return stream


def _stored(upright: Rgb, rotation: int) -> av.VideoFrame:
    stored = np.ascontiguousarray(np.rot90(upright, rotation // 90))
    return av.VideoFrame.from_ndarray(stored, format="rgb24").reformat(format="yuv420p")


class _Audio:
    """The audio track: takes blocks of any length and encodes whole AAC frames."""

    def __init__(self, container: OutputContainer, sound: Iterator[F32]) -> None:
        # the default search for the best coding takes twice as long as everything else together
        self._stream: AudioStream = container.add_stream(
            "aac", rate=SAMPLE_RATE_HZ, layout="mono", options={"aac_coder": "fast"}
        )
        self._stream.bit_rate = AUDIO_BIT_RATE
        self._container = container
        self._sound = sound
        self._ready = np.zeros(0, np.float32)
        self._written = 0

    def write_until(self, sample: int) -> None:
        """Encode whole frames up to a sample of the track, as far as there is sound."""
        while self._written + AUDIO_BLOCK <= sample:
            while len(self._ready) < AUDIO_BLOCK:
                block = next(self._sound, None)
                if block is None:
                    return
                self._ready = np.concatenate([self._ready, block])
            self._encode(AUDIO_BLOCK)

    def close(self) -> None:
        """Encode what is left; the last frame may be shorter."""
        self._ready = np.concatenate([self._ready, *self._sound])
        while len(self._ready):
            self._encode(AUDIO_BLOCK)
        self._container.mux(self._stream.encode(None))

    def _encode(self, count: int) -> None:
        block, self._ready = self._ready[:count], self._ready[count:]
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(block[None]), format="fltp", layout="mono"
        )
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.pts = self._written
        frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
        self._container.mux(self._stream.encode(frame))
        self._written += len(block)
