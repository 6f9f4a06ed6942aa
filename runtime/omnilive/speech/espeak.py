"""The embedded default voice: espeak-ng. It never plays sound nor keeps state.

espeak-ng is one per process: its state is C globals, so a lock guards every use. Some of that
state (the pitch flutter's position) runs on from one utterance to the next and no function
resets it; only a freshly loaded library says the same text in the same way. Therefore the
library is loaded, used and unloaded per utterance: about 5 ms, and nothing is left behind.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soxr

from omnilive.engine.interface import F32
from omnilive.errors import ConfigError
from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive.speech.config import VoiceConfig
from omnilive.speech.espeak_library import PITCH, RATE, VOLUME, EspeakLibrary, opened
from omnilive.speech.words import Spoken, timed


class EspeakVoice:
    """English and Chinese speech by espeak-ng.

    Any number of voices may exist and be called from any thread; they take turns.
    """

    _library_lock = threading.Lock()

    def __init__(self, config: VoiceConfig, *, data_path: Path | None = None) -> None:
        """Check the voice names against the data.

        Args:
            config: rate, pitch, volume and voice names.
            data_path: the ``espeak-ng-data`` folder; default: the one espeakng-loader ships.

        Raises:
            ConfigError: espeak-ng has no such voice.
            SetupError: the library or its data cannot be loaded.
        """
        config.validate()
        self._config = config
        self._data_path = data_path
        with self._opened() as library:
            self._select(library, "en")
            self._select(library, "zh")

    def synthesize(self, text: str, language: str) -> F32:
        """The samples of ``say``: float32 [n] in [-1, 1], 16 kHz mono."""
        return self.say(text, language).samples

    def say(self, text: str, language: str) -> Spoken:
        """Say ``text``; markup in it is read out as plain characters.

        Args:
            text: any text; what has no letter or digit in it gives no sound.
            language: ``en`` or ``zh``.

        Returns:
            Its samples and words, timed by espeak-ng's word events.

        Raises:
            ValueError: another language.
            SetupError: the library or its data cannot be loaded.
        """
        sayable = plain_text(text)
        if not any(c.isalnum() for c in sayable):
            return Spoken(text, np.zeros(0, np.float32), ())
        with self._opened() as library:
            self._select(library, language)
            for parameter, value in (
                (RATE, self._config.rate_wpm),
                (VOLUME, self._config.volume),
                (PITCH, self._config.pitch),
            ):
                library.set(parameter, value)
            said = library.say(sayable)
        resampled = soxr.resample(said.samples, library.rate_hz, SAMPLE_RATE_HZ)
        samples = np.clip(np.asarray(resampled, np.float32), -1.0, 1.0)
        skipped = text.find(sayable[0])
        return timed(
            text,
            samples,
            [(at + skipped, s * SAMPLE_RATE_HZ // library.rate_hz) for at, s in said.words],
        )

    def _select(self, library: EspeakLibrary, language: str) -> None:
        names = {
            "en": ("english_voice", self._config.english_voice),
            "zh": ("chinese_voice", self._config.chinese_voice),
        }
        if language not in names:
            raise ValueError(f"language is {language!r}, expected en or zh")
        field, name = names[language]
        if not library.select(name):
            raise ConfigError(
                f"espeak-ng has no voice {name!r}",
                where=f"voice.{field}",
                mend="Name one of its voices, e.g. en-us, en, cmn, or en-us+f3",
            )

    @contextmanager
    def _opened(self) -> Iterator[EspeakLibrary]:
        """The freshly loaded library, while the lock is held."""
        with self._library_lock, opened(self._data_path) as library:
            yield library


def plain_text(text: str) -> str:
    """``text`` without the characters espeak-ng takes for commands.

    Control characters start embedded commands, private-use and unassigned ones are espeak-ng's
    internal codes; lone surrogates cannot be encoded. Each becomes a space.
    """
    return "".join(" " if unicodedata.category(c) in _UNSAYABLE else c for c in text).strip()


_UNSAYABLE = frozenset({"Cc", "Cn", "Co", "Cs"})
