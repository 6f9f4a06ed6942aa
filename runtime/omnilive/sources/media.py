"""A media file as frames and audio on one timeline. It never drops audio nor guesses a rate.

Bad input is told as a SourceWarning and reading goes on, as long as anything can be read.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Literal

import av
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from omnilive.errors import SourceError
from omnilive.sources.audio import AudioJoiner
from omnilive.sources.config import SourceConfig
from omnilive.sources.demux import Decoded, Demuxer, Fault, Opening
from omnilive.sources.interleave import Interleaver
from omnilive.sources.picture import matrix_of, rgb_of, upright_size
from omnilive.sources.sampler import FrameSampler
from omnilive.sources.sound import mono_of
from omnilive.sources.timeline import Timeline
from omnilive.sources.types import US_PER_SECOND, Frame, MediaInfo, Pcm, SourceWarning
from omnilive.sources.warner import Warner

_PROBE_EVENTS = 4_000
"""Decoded pieces looked through for the first frame before the file is taken as it is."""

_STATED_START_SLACK_US = 1_000_000
"""A stated start further than this from the first piece seen is not believed."""

_UNREMARKABLE_US = 1_000_000
"""Audio may start this much after, or end this much before, the video without a warning."""


def open_media(path: str, config: SourceConfig, opening: Opening | None = None) -> MediaSource:
    """Open a file (or an address FFmpeg reads) and look at its beginning.

    Args:
        path: the file or address.
        config: how it is sampled.
        opening: how it is opened; None for a file, or an address as it comes.

    Raises:
        SourceError: missing, unreadable, not a media file, or nothing in it can be decoded.
        ConfigError: ``config`` is out of range.
    """
    config.validate()
    demuxer = Demuxer(path, opening)
    try:
        return MediaSource(demuxer, config)
    except BaseException:
        demuxer.close()
        raise


class MediaSource:
    """One pass over a media file.

    Iterating gives Frames (at ``config.fps``), Pcm blocks (contiguous from time 0, 100 ms each
    but the last) and SourceWarnings, in order of their end time. The time 0 is the earliest
    start of its streams. Audio covers the video to its end, with silence where there is none.
    """

    def __init__(self, demuxer: Demuxer, config: SourceConfig) -> None:
        """Take over ``demuxer``; use ``open_media`` instead."""
        self._demuxer = demuxer
        self._config = config
        self._events = demuxer.events()
        self._primed = self._prime()
        first = {e.stream: e for e in reversed(self._primed) if isinstance(e, Decoded)}
        if not first:
            raise SourceError(
                "holds nothing that can be decoded",
                where=demuxer.path,
                mend="The file is empty or damaged: record or download it again.",
            )
        self._has_video = "video" in first
        self._has_audio = demuxer.audio is not None
        self.info = self._describe(first.get("video"))
        self._timeline = Timeline(
            origin_us=self._origin_us(first),
            max_gap_us=self._max_gap_us(),
            max_overlap_us=config.max_overlap_ms * 1000,
        )
        self._sampler = FrameSampler(config.fps)
        self._joiner = AudioJoiner(config.audio_jitter_ms * 1000)
        self._interleaver = Interleaver(has_video=self._has_video, has_audio=self._has_audio)
        self._warner = Warner(config.warnings_per_kind)
        self._limit_us = round(config.max_interleave_s * US_PER_SECOND)
        self._size: tuple[int, int] | None = None
        self._audio_seen = False
        self._audio_lost = False
        self._jumped = False
        self._closed = False

    def __iter__(self) -> Iterator[Frame | Pcm | SourceWarning]:
        """The items in order of their end time. A second pass gives nothing."""
        if self._demuxer.video is not None and not self._has_video:
            self._warn("video", "no frame of the video can be decoded; only audio is used")
        while self._primed:
            yield from self._take(self._primed.popleft())
        for event in self._events:
            yield from self._take(event)
        if self._closed:
            return
        self._finish()
        yield from self._interleaver.finish()

    def close(self) -> None:
        """Close the file and end the iteration; closing twice does nothing.

        While another thread waits for a source that gives nothing, it is left open: FFmpeg's
        reader cannot be interrupted, and what it reads from must not vanish under it.
        """
        try:
            self._events.close()
        except ValueError:  # the generator is running, in that thread
            return
        self._closed = True
        self._demuxer.close()

    def _prime(self) -> deque[Decoded | Fault]:
        """Read up to the first frame of the video, or of the audio without video."""
        wanted = "video" if self._demuxer.video is not None else "audio"
        primed: deque[Decoded | Fault] = deque()
        for event in islice(self._events, _PROBE_EVENTS):
            primed.append(event)
            if isinstance(event, Decoded) and event.stream == wanted:
                break
        return primed

    def _describe(self, first_video: Decoded | None) -> MediaInfo:
        width = height = 0
        if first_video is not None and isinstance(first_video.frame, VideoFrame):
            frame = first_video.frame
            width, height = upright_size(frame.width, frame.height, matrix_of(frame))
        return MediaInfo(
            name=os.path.basename(self._demuxer.path) or self._demuxer.path,
            duration_us=self._demuxer.duration_us,
            width=width,
            height=height,
            has_video=self._has_video,
            has_audio=self._has_audio,
        )

    def _origin_us(self, first: Mapping[Literal["video", "audio"], Decoded]) -> int:
        """PTS of the earliest start: as seen, or as stated where that is near what is seen."""
        seen = [e.pts_us for e in first.values() if e.pts_us is not None]
        if not seen:
            return 0
        origin = min(seen)
        for stated in (
            self._demuxer.stated_start_us("video"),
            self._demuxer.stated_start_us("audio"),
        ):
            if stated is not None and origin - _STATED_START_SLACK_US <= stated < origin:
                origin = stated
        return origin

    def _max_gap_us(self) -> int:
        """The longest pause: of pictures alone, in a file that states its length, a long one."""
        slides = self._has_video and not self._has_audio and self._demuxer.states_duration
        longest_s = max(self._config.max_still_s if slides else 0.0, self._config.max_gap_s)
        return round(longest_s * US_PER_SECOND)

    def _take(self, event: Decoded | Fault) -> list[Frame | Pcm | SourceWarning]:
        if isinstance(event, Fault):
            self._warn(event.kind, event.what)
        else:
            position = self._timeline.place(event.stream, event.pts_us, event.duration_us)
            if position.jump_us:
                self._jumped = True
                step = f"{abs(position.jump_us) / US_PER_SECOND:.3f} s"
                way = "ahead" if position.jump_us > 0 else "back"
                self._warn("clock", f"the {event.stream} clock jumps {step} {way}; time goes on")
            if isinstance(event.frame, VideoFrame):
                self._on_picture(event.frame, position.start_us)
            else:
                self._on_sound(event.frame, position.start_us)
        self._bound_lag()
        return self._interleaver.ready()

    def _on_picture(self, frame: VideoFrame, time_us: int) -> None:
        size = (frame.width, frame.height)
        if self._size is not None and self._size != size:
            before, now = (f"{width}x{height}" for width, height in (self._size, size))
            self._warn("size", f"the picture size changes from {before} to {now}")
        self._size = size
        if self._sampler.takes(time_us):
            try:
                picture = rgb_of(frame, self._config.max_side_px)
            except (av.error.FFmpegError, ValueError, MemoryError) as e:
                self._warn("damaged", f"a frame cannot be converted ({e})")
            else:
                self._interleaver.add(Frame(time_us, picture))
        self._interleaver.advance_video(time_us)

    def _on_sound(self, frame: AudioFrame, time_us: int) -> None:
        joined = self._joiner.push(time_us, mono_of(frame), frame.sample_rate)
        self._interleaver.add_samples(joined.samples)
        if joined.silence_us and self._audio_seen:
            seconds = joined.silence_us / US_PER_SECOND
            self._warn("gap", f"the audio pauses for {seconds:.3f} s; silence fills it")
        elif joined.silence_us > _UNREMARKABLE_US:
            seconds = time_us / US_PER_SECOND
            self._warn("gap", f"the audio starts at {seconds:.3f} s; silence fills it")
        if joined.trimmed_us:
            seconds = joined.trimmed_us / US_PER_SECOND
            self._warn("overlap", f"{seconds:.3f} s of audio overlap what came before; trimmed")
        self._audio_seen = True
        self._audio_lost = False

    def _bound_lag(self) -> None:
        """Keep what is held for ordering within the limit."""
        if not (self._has_audio and self._has_video):
            return
        video_us, audio_us = self._interleaver.video_us, self._interleaver.audio_us
        if video_us - audio_us > self._limit_us:
            self._interleaver.add_samples(self._joiner.fill(video_us - self._limit_us))
            if not self._audio_lost:
                seconds = audio_us / US_PER_SECOND
                self._warn("gap", f"there is no audio from {seconds:.3f} s; silence replaces it")
            self._audio_lost = True
        elif audio_us - video_us > self._limit_us:
            self._interleaver.advance_video(audio_us - self._limit_us)

    def _finish(self) -> None:
        """Bring the audio to the end of the video and tell what was missing."""
        end_us = self._timeline.end_us
        if self._has_audio:
            missing_us = end_us - self._joiner.position_us
            self._interleaver.add_samples(self._joiner.fill(end_us))
            if not self._audio_seen:
                self._warn("gap", "no audio can be decoded; silence replaces it")
            elif missing_us > _UNREMARKABLE_US and not self._audio_lost:
                seconds = missing_us / US_PER_SECOND
                self._warn("gap", f"the audio ends {seconds:.3f} s before the video")
        stated_us = self._demuxer.duration_us
        if stated_us and self._demuxer.states_duration and not self._jumped:
            slack_us = max(US_PER_SECOND, stated_us // 50)
            if end_us < stated_us - slack_us:
                self._warn(
                    "end",
                    f"the file ends at {end_us / US_PER_SECOND:.1f} s of "
                    f"{stated_us / US_PER_SECOND:.1f} s; it seems cut off",
                )
        for summary in self._warner.summaries(end_us):
            self._interleaver.add(summary)

    def _warn(self, kind: str, what: str) -> None:
        warning = self._warner.warning(self._timeline.end_us, kind, what)
        if warning is not None:
            self._interleaver.add(warning)
