"""Opens a media container and decodes its streams in file order; it knows no timeline.

What cannot be decoded is told as a fault and skipped; only a source that cannot be read at all
is an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from omnilive.errors import SourceError
from omnilive.sources.types import US_PER_SECOND

_TEXT_FORMATS = frozenset({"tty", "bin", "xbin", "adf", "idf"})
"""FFmpeg plays any text and, by its suffix alone, any .bin as text art; nobody means that."""

_HEADER_DURATION_FORMATS = frozenset({"mov", "matroska", "flv"})
"""Formats whose header states how long the file is, so that a shorter one is known to be cut;
the first of FFmpeg's names for each. RIFF files (wav, avi) state their size in bytes instead."""

_READ_ATTEMPTS = 10
"""Failed reads in a row after which reading stops."""

_DECODER_THREADS = 4
"""A fixed number: each but one holds a frame back, and that must not depend on the machine."""

_FRAME_THREADS_FROM_FPS = 8
"""Below this rate one thread is fast enough, and frames that several hold back would come later
than the audio waits for them."""

_DEFAULT_FRAME_US = 40_000
_SHORTEST_FRAME_US = 4_000
"""A stated rate above 250 frames per second is the tick of a clock, not a rate."""

_MEND_FILE = "Give a video or audio file, such as mp4, mkv, webm, mov, avi, ts or wav."


@dataclass(frozen=True, eq=False)
class Decoded:
    """One decoded frame of the video or audio stream, stamped with the source's own clock."""

    stream: Literal["video", "audio"]
    frame: VideoFrame | AudioFrame
    pts_us: int | None
    duration_us: int


@dataclass(frozen=True)
class Fault:
    """Something that could not be decoded; ``kind`` groups what is told together."""

    kind: str
    what: str


@dataclass(frozen=True)
class Opening:
    """How an address is opened, other than a file.

    Attributes:
        timeout_s: longest wait for it to give anything, seconds.
        format: FFmpeg's name of its format; None to find out.
        options: FFmpeg's, for the format and the protocol.
        open_nested: opens the address and whatever it leads to, instead of FFmpeg: takes the
            URL, flags and options, gives a binary file.
    """

    timeout_s: float
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    open_nested: Callable[[str, int, dict[str, str]], Any] | None = None


class Demuxer:
    """The first video and the first audio stream of a file or address."""

    def __init__(self, path: str, opening: Opening | None = None) -> None:
        """Open it.

        Raises:
            SourceError: missing, unreadable, not a media file, or without usable streams.
        """
        self.path = path
        self.faults: list[Fault] = []
        self._opening = opening
        self._container = _opened(path, opening)
        try:
            self.video: VideoStream | None = self._usable(
                [s for s in self._container.streams.video if not _is_cover(s)], "video"
            )
            self.audio: AudioStream | None = self._usable(
                list(self._container.streams.audio), "audio"
            )
        except BaseException:
            self._container.close()
            raise
        if self.video is None and self.audio is None:
            self._container.close()
            raise SourceError("has no video and no audio", where=path, mend=_MEND_FILE)
        if self.video is not None:
            rate = self.video.average_rate
            steady = rate is not None and rate >= _FRAME_THREADS_FROM_FPS
            # Never slices alone: FFmpeg then hides damage without a word.
            self.video.thread_type = "AUTO" if steady else "NONE"
            self.video.codec_context.thread_count = _DECODER_THREADS if steady else 1

    @property
    def duration_us(self) -> int | None:
        """Length the container states, or None."""
        duration = self._container.duration
        return duration if duration is not None and duration > 0 else None

    @property
    def states_duration(self) -> bool:
        """Whether the length comes from the file's header, so that a cut-off file misses it."""
        return self._container.format.name.split(",")[0] in _HEADER_DURATION_FORMATS

    def stated_start_us(self, stream: Literal["video", "audio"]) -> int | None:
        """Start of a stream as the container states it, or None."""
        chosen = self.video if stream == "video" else self.audio
        if chosen is None:
            return None
        return _to_us(chosen.start_time, chosen.time_base)

    def events(self) -> Generator[Decoded | Fault, None, None]:
        """Everything there is, in the order of the file."""
        yield from self.faults
        attempts = 0
        while attempts < _READ_ATTEMPTS:
            try:
                for packet in self._container.demux([s for s in (self.video, self.audio) if s]):
                    attempts = 0
                    yield from self._decoded(packet)
                break
            except av.error.FFmpegError as e:
                if self._opening is not None:  # what broke off is to be opened again
                    yield Fault("read", self._broke_off(e, self._opening))
                    return
                attempts += 1
                yield Fault("read", f"a part of the file cannot be read ({e.strerror})")
        missing = _missing_riff_bytes(self.path)
        if missing:
            yield Fault("end", f"the file lacks its last {missing} bytes; it seems cut off")

    def close(self) -> None:
        """Close the container; closing twice does nothing."""
        self._container.close()

    @staticmethod
    def _broke_off(error: av.error.FFmpegError, opening: Opening) -> str:
        if isinstance(error, av.error.ExitError):
            return f"nothing came for {opening.timeout_s:g} s"
        return f"the stream broke off ({error.strerror})"

    def _decoded(self, packet: Any) -> Iterator[Decoded | Fault]:
        kind: Literal["video", "audio"] = "video" if packet.stream is self.video else "audio"
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            yield Fault("damaged", f"a damaged {kind} packet was skipped")
            return
        if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
            yield Fault("damaged", f"a {kind} packet is damaged")
        for frame in frames:
            stamp = frame.pts if frame.pts is not None else frame.dts
            pts_us = _to_us(stamp, frame.time_base)
            if isinstance(frame, VideoFrame):
                yield Decoded("video", frame, pts_us, self._frame_us(frame))
            elif frame.samples and frame.sample_rate:
                length_us = frame.samples * US_PER_SECOND // frame.sample_rate
                yield Decoded("audio", frame, pts_us, length_us)

    def _frame_us(self, frame: VideoFrame) -> int:
        stated = _to_us(frame.duration, frame.time_base)
        if stated:
            return stated
        rate = self.video.average_rate if self.video is not None else None
        nominal = int(US_PER_SECOND / rate) if rate else 0
        return nominal if nominal >= _SHORTEST_FRAME_US else _DEFAULT_FRAME_US

    def _usable(self, streams: list[Any], kind: str) -> Any:
        """The first stream there is a decoder for; a fault when there are only others."""
        for stream in streams:
            if stream.codec_context is not None:
                return stream
        if streams:
            self.faults.append(Fault("codec", f"the {kind} is in a format without a decoder"))
        return None


def _opened(path: str, opening: Opening | None) -> Any:
    if opening is None and "://" not in path:
        if not os.path.exists(path):
            raise SourceError("there is no such file", where=path, mend="Check the path.")
        if os.path.isdir(path):
            raise SourceError("is a folder", where=path, mend=_MEND_FILE)
    try:
        container = av.open(path, metadata_errors="replace", **_arguments(opening))
    except av.error.InvalidDataError as e:
        raise SourceError(
            "is not a media file, or was cut off before its index", where=path, mend=_MEND_FILE
        ) from e
    except av.error.PermissionError as e:
        raise SourceError(
            "may not be read", where=path, mend="Give yourself read permission."
        ) from e
    except (av.error.FFmpegError, OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or str(e)
        raise SourceError(f"cannot be opened ({reason})", where=path, mend=_MEND_FILE) from e
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise SourceError("is not a media file", where=path, mend=_MEND_FILE)
    return container


def _arguments(opening: Opening | None) -> dict[str, Any]:
    if opening is None:
        return {}
    return {
        "timeout": opening.timeout_s,
        "format": opening.format,
        "options": dict(opening.options),
        "io_open": opening.open_nested,
    }


def _missing_riff_bytes(path: str) -> int:
    """How much shorter a RIFF file (wav, avi) is than its header says; 0 for any other file."""
    if not os.path.isfile(path):
        return 0
    with open(path, "rb") as file:
        head = file.read(8)
    stated = int.from_bytes(head[4:8], "little")
    if head[:4] != b"RIFF" or stated in (0, 0xFFFFFFFF):  # a stream's header states no size
        return 0
    return max(0, stated + 8 - os.path.getsize(path))


def _is_cover(stream: Any) -> bool:
    """Whether a video stream is a cover picture of an audio file."""
    return bool(stream.disposition & Disposition.attached_pic)


def _to_us(stamp: int | None, time_base: Fraction | None) -> int | None:
    """Nearest microsecond of a time in ticks of ``time_base``."""
    if stamp is None or not time_base:
        return None
    ticks = 2 * stamp * time_base.numerator * US_PER_SECOND
    return (ticks + time_base.denominator) // (2 * time_base.denominator)
