"""Where each spoken piece lies on the stream's timeline. It never lets two pieces overlap.

What lies before a time that has passed is settled: it can no longer be cut, it is written to the
WAV file and forgotten, so memory holds only what is still to be heard.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilive.engine.interface import F32
from omnilive.output_config import OutputConfig
from omnilive.sources.types import SAMPLE_RATE_HZ, US_PER_SECOND, samples_to_us
from omnilive.speech.wav_parts import WavParts

_SILENCE_BLOCK = SAMPLE_RATE_HZ
"""Silence is written a second at a time, samples."""


@dataclass(frozen=True)
class Placed:
    """Where a piece lies: microseconds on the stream's timeline; empty when it was stale."""

    start_us: int
    end_us: int


@dataclass(frozen=True, eq=False)
class _Piece:
    start: int
    """Index of its first sample on the timeline."""

    samples: F32

    @property
    def end(self) -> int:
        return self.start + len(self.samples)


class AnswerTrack:
    """The audio of all answers on one timeline that starts with the stream.

    Times are rounded up to whole samples, so nothing sounds before its time.
    """

    def __init__(self) -> None:
        self._pieces: deque[_Piece] = deque()
        self._settled = 0
        self._generation: int | None = None
        self._writer: WavParts | None = None

    @property
    def end_us(self) -> int:
        """Time just after the last placed sample, or after the settled part."""
        return samples_to_us(self._end())

    def place(self, at_us: int, samples: F32, generation: int) -> Placed:
        """Put a piece at ``at_us``, or right after the previous piece where that ends later.

        A piece of a generation older than one already placed or cut is dropped.

        Args:
            at_us: earliest time it may sound, microseconds; never moved into the settled part.
            samples: float32 [n], 16 kHz mono; kept by reference, so don't change it.
            generation: the answer it belongs to.
        """
        start = max(_to_sample(at_us), self._end())
        if self._generation is not None and generation < self._generation:
            return Placed(samples_to_us(start), samples_to_us(start))
        self._generation = generation
        if len(samples) == 0:
            return Placed(samples_to_us(start), samples_to_us(start))
        piece = _Piece(start, samples)
        self._pieces.append(piece)
        return Placed(samples_to_us(piece.start), samples_to_us(piece.end))

    def cut(self, at_us: int, generation: int | None = None) -> int:
        """Silence everything from ``at_us`` on (barge-in).

        Args:
            at_us: time of the cut, microseconds; what is settled already has been heard.
            generation: the generation that begins; pieces of older ones are dropped from now on.

        Returns:
            Microseconds of audio dropped.
        """
        if generation is not None:
            self._generation = max(generation, self._generation or 0)
        limit = _to_sample(at_us)
        dropped = 0
        while self._pieces and self._pieces[-1].end > limit:
            last = self._pieces.pop()
            keep = max(0, limit - last.start)
            dropped += len(last.samples) - keep
            if keep:
                self._pieces.append(_Piece(last.start, last.samples[:keep]))
        return samples_to_us(dropped)

    def write_wav(self, path: Path, config: OutputConfig | None = None) -> None:
        """Write the track to ``path`` from here on: what has settled at once, the rest as it does.

        Call it before anything settles, or the file begins with silence in place of it. A file
        that has reached ``config.audio_part_bytes`` goes on in another one (``WavParts``).

        Raises:
            OutputError: the file cannot be written.
        """
        config = config or OutputConfig()
        writer = WavParts(path, config.audio_part_bytes, config.audio_parts)
        if self._writer is not None:
            self._writer.close()
        self._writer = writer
        self._write_silence(self._settled)

    def settle(self, until_us: int) -> None:
        """Time has passed ``until_us``: write and forget everything before it.

        Raises:
            OutputError: the file cannot be written; what was written before stays valid.
        """
        until = _to_sample(until_us)
        while self._pieces and self._pieces[0].start < until:
            piece = self._pieces.popleft()
            now, later = np.split(piece.samples, [min(until - piece.start, len(piece.samples))])
            if len(later):
                self._pieces.appendleft(_Piece(piece.start + len(now), later))
            self._write_silence(piece.start)
            if self._writer is not None:
                self._writer.append(now)
            self._settled = piece.start + len(now)
        if until > self._settled:
            self._write_silence(until)
            self._settled = until

    def close(self, end_us: int = 0) -> None:
        """Settle everything, pad with silence to ``end_us`` and close the file.

        Raises:
            OutputError: the file cannot be written; what was written before stays valid.
        """
        try:
            self.settle(max(end_us, self.end_us))
        finally:
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _end(self) -> int:
        return self._pieces[-1].end if self._pieces else self._settled

    def _write_silence(self, until: int) -> None:
        """Fill the file with silence up to sample ``until``."""
        if self._writer is None:
            return
        while self._writer.samples < until:
            missing = min(_SILENCE_BLOCK, until - self._writer.samples)
            self._writer.append(np.zeros(missing, np.float32))


def _to_sample(time_us: int) -> int:
    """Index of the first sample at or after ``time_us``."""
    return max(0, -(-time_us * SAMPLE_RATE_HZ // US_PER_SECOND))
