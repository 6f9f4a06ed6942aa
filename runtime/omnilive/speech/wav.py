"""Appends audio to a WAV file that is valid after every append. It never rewrites audio."""

from __future__ import annotations

import struct
from pathlib import Path
from types import TracebackType

import numpy as np

from omnilive.engine.interface import F32
from omnilive.errors import OutputError
from omnilive.sources.types import SAMPLE_RATE_HZ

BYTES_PER_SAMPLE = 2
HEADER_BYTES = 44
MAX_SAMPLES = (0xFFFFFFFF - HEADER_BYTES) // BYTES_PER_SAMPLE
"""RIFF sizes are 32 bits: 4 GiB, 37 hours at 16 kHz."""


class WavWriter:
    """A 16 kHz mono int16 WAV file.

    The data goes out before the header's sizes do, so whoever reads the file after a crash
    finds at worst a little less than was written.
    """

    def __init__(self, path: Path) -> None:
        """Create or empty ``path``. Raises OutputError when it cannot be written."""
        self._path = path
        self._samples = 0
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as e:
            raise self._error(e) from e
        try:
            self._write(0, _header(0))
        except OSError as e:
            self._file.close()
            raise self._error(e) from e

    @property
    def samples(self) -> int:
        """Samples written so far."""
        return self._samples

    def append(self, samples: F32) -> None:
        """Write float32 samples in [-1, 1]; louder ones are clipped.

        Raises:
            OutputError: the disk is full or the file has reached MAX_SAMPLES; what was written
                before stays valid.
        """
        if self._samples + len(samples) > MAX_SAMPLES:
            raise OutputError(
                "has reached the 4 GiB a WAV file can hold",
                where=str(self._path),
                mend="Lower output.audio_part_bytes, so that the sound goes on in another file.",
            )
        data = np.rint(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
        try:
            self._write(HEADER_BYTES + self._samples * BYTES_PER_SAMPLE, data)
            self._write(0, _header(self._samples + len(samples)))
        except OSError as e:
            raise self._error(e) from e
        self._samples += len(samples)

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        try:
            self._file.close()
        except OSError as e:
            raise self._error(e) from e

    def __enter__(self) -> WavWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, offset: int, data: bytes) -> None:
        """Write all of ``data``; a nearly full disk takes part of it before it fails."""
        self._file.seek(offset)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _error(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot be written ({error.strerror})",
            where=str(self._path),
            mend="Free disk space or choose another folder with --out; what was written is kept.",
        )


def _header(samples: int) -> bytes:
    """The 44 bytes of a PCM WAV header for ``samples`` samples."""
    data_bytes = samples * BYTES_PER_SAMPLE
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        HEADER_BYTES - 8 + data_bytes,
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        SAMPLE_RATE_HZ,
        SAMPLE_RATE_HZ * BYTES_PER_SAMPLE,
        BYTES_PER_SAMPLE,
        8 * BYTES_PER_SAMPLE,
        b"data",
        data_bytes,
    )
