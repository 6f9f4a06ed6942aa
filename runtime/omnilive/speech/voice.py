"""What the session needs of a voice. It never decides what is said or when."""

from __future__ import annotations

from typing import Protocol

from omnilive.speech.words import Spoken


class Voice(Protocol):
    """Text to audio."""

    def say(self, text: str, language: str) -> Spoken:
        """Audio of ``text`` and when each word of it sounds; empty when nothing is sayable.

        ``language`` is ``en`` or ``zh``. The same text gives the same samples. A voice that
        knows no word times gives ``words.proportional``.
        """
        ...
