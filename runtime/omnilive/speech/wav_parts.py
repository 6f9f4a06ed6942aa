"""Sound of any length as WAV files of a limited size. Together they hold every sample in order."""

from __future__ import annotations

import contextlib
from pathlib import Path

from omnilive.engine.interface import F32
from omnilive.errors import OutputError
from omnilive.speech.wav import BYTES_PER_SAMPLE, HEADER_BYTES, WavWriter


class WavParts:
    """16 kHz mono int16 in ``answers.wav``, then ``answers-2.wav``, and so on.

    Each part is a valid file after every append. Beyond ``parts`` of them the oldest is deleted.
    """

    def __init__(self, path: Path, part_bytes: int, parts: int) -> None:
        """Begin ``path`` anew; later parts that an earlier run left are deleted.

        Raises:
            OutputError: the file cannot be written.
        """
        self._path = path
        self._part_samples = (part_bytes - HEADER_BYTES) // BYTES_PER_SAMPLE
        self._parts = parts
        self._number = 1
        self._before = 0
        self._writer = WavWriter(path)
        for left in path.parent.glob(f"{path.stem}-*{path.suffix}"):
            if left.stem.removeprefix(f"{path.stem}-").isdecimal():
                self._delete(left)

    @property
    def samples(self) -> int:
        """Samples written so far, to all parts together."""
        return self._before + self._writer.samples

    def append(self, samples: F32) -> None:
        """Write float32 samples in [-1, 1]; louder ones are clipped.

        Raises:
            OutputError: the disk is full; what was written before stays valid.
        """
        while len(samples):
            room = self._part_samples - self._writer.samples
            if not room:
                self._next_part()
                continue
            self._writer.append(samples[:room])
            samples = samples[room:]

    def close(self) -> None:
        """Close the file; closing twice does nothing. Raises OutputError when it cannot be."""
        self._writer.close()

    def _next_part(self) -> None:
        full, self._writer = self._writer, WavWriter(self._part(self._number + 1))
        self._number += 1
        self._before += full.samples
        full.close()
        if self._number > self._parts:
            self._delete(self._part(self._number - self._parts))

    def _part(self, number: int) -> Path:
        if number == 1:
            return self._path
        return self._path.with_name(f"{self._path.stem}-{number}{self._path.suffix}")

    def _delete(self, path: Path) -> None:
        try:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        except OSError as e:
            raise OutputError(
                f"could not be deleted ({e.strerror})",
                where=str(path),
                mend="Give yourself permission to write in its folder, or choose another --out.",
            ) from e
