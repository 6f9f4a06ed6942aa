"""What the session needs of a voice. It never decides what is said or when."""

from __future__ import annotations

from typing import Protocol

from omnilive.engine.interface import F32


class Voice(Protocol):
    """Text to audio."""

    def synthesize(self, text: str, language: str) -> F32:
        """Audio of ``text``: float32 [n] in [-1, 1], 16 kHz mono; empty when nothing is sayable.

        ``language`` is ``en`` or ``zh``. The same text gives the same samples.
        """
        ...
