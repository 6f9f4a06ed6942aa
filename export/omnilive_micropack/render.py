"""Video files of a script with spoken questions, and the truth about them beside the file.

It writes what the script says; it decides nothing about what is shown or said.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from omnilive.engine.interface import F32
from omnilive.errors import OutputError, SetupError
from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive_micropack.painting import paint
from omnilive_micropack.scenes import Script
from omnilive_micropack.seeds import generator
from omnilive_micropack.speech import SpokenItem, SpokenTruth, mix_speech

VIDEO_CODECS = ("libx264", "mpeg4")
"""In order of preference; a PyAV built without libx264 still writes a readable file."""

PICTURE_SECONDS = 0.5
"""The picture changes at most this often: painting and encoding stay a small part of the time."""

AUDIO_BLOCK = 1024
"""Samples per audio frame handed to the encoder, which is AAC's own frame length."""

AUDIO_BIT_RATE = 64_000
"""Bits per second: transparent for speech sampled at 16 kHz."""

NOISE_RMS = 0.0005
"""Background noise of a quiet room, of full scale 1.0: -66 dB."""

ROTATIONS = (0, 90, 180, 270)


@dataclass(frozen=True)
class StreamTruth:
    """What is in a rendered file; times are microseconds from its start."""

    script: Script
    duration_us: int
    cuts_us: tuple[int, ...]
    spoken: tuple[SpokenTruth, ...]


def render_stream(
    path: Path,
    script: Script,
    spoken: Sequence[SpokenItem] = (),
    *,
    size: tuple[int, int] = (640, 360),
    fps: int = 10,
    rotation: int = 0,
    noise_rms: float = NOISE_RMS,
    sound: bool = True,
) -> StreamTruth:
    """Write an H.264 + AAC file to ``path`` and ``truth.jsonl`` beside it.

    Args:
        path: the file; its ending names the container, usually ``.mp4``.
        script: what is shown.
        spoken: what is said, in order of time.
        size: upright width and height in pixels, both even.
        fps: frames per second of the file.
        rotation: degrees by which a player turns the stored pictures clockwise to show them
            upright, as phones write it.
        noise_rms: background noise, of full scale 1.0.
        sound: False leaves the audio track out altogether.

    Raises:
        OutputError: a file cannot be written.
        SetupError: PyAV lacks an encoder.
        ValueError: an odd size, another rotation, speech that does not fit, or speech in a file
            without sound.
    """
    if rotation not in ROTATIONS or size[0] % 2 or size[1] % 2:
        raise ValueError(f"rotation {rotation} or size {size} cannot be stored")
    if spoken and not sound:
        raise ValueError("a file without sound cannot hold speech")
    samples = round(script.duration_s * SAMPLE_RATE_HZ)
    noise = generator(script.seed, "noise").standard_normal(samples, dtype=np.float32)
    track, spoken_truth = mix_speech(spoken, script.duration_s, noise * np.float32(noise_rms))
    truth = StreamTruth(
        script,
        _us(script.duration_s),
        tuple(_us(cut) for cut in script.cuts_s),
        tuple(spoken_truth),
    )
    try:
        with av.open(str(path), "w") as container:
            video = _video_stream(container, size, fps, rotation)
            audio = _audio_stream(container) if sound else None
            _write(container, video, audio, script, track, size, fps, rotation)
        truth_path = path.parent / "truth.jsonl"
        truth_path.write_text(truth_lines(truth, path.name), encoding="utf-8")
    except OSError as e:
        raise OutputError(
            f"cannot be written ({e.strerror or e})",
            where=str(path),
            mend="Free space there or choose another folder.",
        ) from e
    return truth


def truth_lines(truth: StreamTruth, name: str) -> str:
    """The truth as JSON lines: the stream, its cuts, scenes and things, and each spoken item."""
    rows: list[dict[str, Any]] = [
        {
            "type": "stream",
            "name": name,
            "seed": truth.script.seed,
            "duration_us": truth.duration_us,
        }
    ]
    rows += [{"type": "cut", "cut_us": cut_us} for cut_us in truth.cuts_us]
    for scene in truth.script.scenes:
        rows.append(
            {
                "type": "scene",
                "room": scene.room,
                "start_us": _us(scene.start_s),
                "end_us": _us(scene.end_s),
            }
        )
        for thing in scene.things:
            rows.append(
                {
                    "type": "thing",
                    "kind": thing.kind,
                    "colour": thing.colour,
                    "room": scene.room,
                    "stays": [[_us(stay.start_s), stay.place] for stay in thing.stays],
                    "start_us": _us(thing.start_s),
                    "end_us": _us(thing.end_s),
                }
            )
    for item in truth.spoken:
        rows.append(
            {
                "type": "spoken",
                **dataclasses.asdict(item.item),
                "start_us": item.start_us,
                "end_us": item.end_us,
            }
        )
    return "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _video_stream(
    container: OutputContainer, size: tuple[int, int], fps: int, rotation: int
) -> VideoStream:
    codec = next((c for c in VIDEO_CODECS if c in av.codecs_available), None)
    if codec is None:
        raise SetupError(
            f"has none of the video encoders {', '.join(VIDEO_CODECS)}",
            where="PyAV",
            mend="Reinstall it from its wheel: pip install --force-reinstall av",
        )
    fast = {"preset": "ultrafast", "crf": "20"} if codec == "libx264" else {"qscale": "3"}
    stream = cast(VideoStream, container.add_stream(codec, rate=fps, options=fast))
    stream.width, stream.height = size if rotation % 180 == 0 else size[::-1]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.gop_size = 2 * fps
    if rotation:
        # the display matrix is stored as an angle counter-clockwise
        stream.set_display_rotation(-rotation)
    return stream


def _audio_stream(container: OutputContainer) -> AudioStream:
    # the default search for the best coding takes twice as long as everything else together
    stream = container.add_stream(
        "aac", rate=SAMPLE_RATE_HZ, layout="mono", options={"aac_coder": "fast"}
    )
    stream.bit_rate = AUDIO_BIT_RATE
    return stream


def _write(
    container: OutputContainer,
    video: VideoStream,
    audio: AudioStream | None,
    script: Script,
    track: F32,
    size: tuple[int, int],
    fps: int,
    rotation: int,
) -> None:
    """Encode pictures and sound side by side, so that the file can be read as it is written."""
    audio_at = 0
    picture_at = -1
    frame = None
    for i in range(round(script.duration_s * fps)):
        at_s = i / fps
        if int(at_s / PICTURE_SECONDS) != picture_at or frame is None:
            picture_at = int(at_s / PICTURE_SECONDS)
            upright = paint(script, picture_at * PICTURE_SECONDS, size)
            frame = _stored(upright, rotation)
        frame.pts = i
        frame.time_base = Fraction(1, fps)
        container.mux(video.encode(frame))
        if audio is not None:
            until = round((i + 1) / fps * SAMPLE_RATE_HZ)
            audio_at = _mux_audio(container, audio, track, audio_at, until)
    if audio is not None:
        _mux_audio(container, audio, track, audio_at, len(track) + AUDIO_BLOCK)
        container.mux(audio.encode(None))
    container.mux(video.encode(None))


def _stored(upright: npt.NDArray[np.uint8], rotation: int) -> av.VideoFrame:
    stored = np.ascontiguousarray(np.rot90(upright, rotation // 90))
    return av.VideoFrame.from_ndarray(stored, format="rgb24").reformat(format="yuv420p")


def _mux_audio(
    container: OutputContainer, audio: AudioStream, track: F32, start: int, until: int
) -> int:
    """Encode whole blocks from one sample to another; return where to go on.

    Only the track's last block may be shorter.
    """
    while start < len(track) and start + AUDIO_BLOCK <= until:
        block = np.ascontiguousarray(track[start : start + AUDIO_BLOCK][None])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.pts = start
        frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
        container.mux(audio.encode(frame))
        start += AUDIO_BLOCK
    return start
