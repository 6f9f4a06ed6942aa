"""The embedded default voice: espeak-ng through ctypes. It never plays sound nor keeps state.

espeak-ng is one per process: its state is C globals, so a lock guards every use. Some of that
state (the pitch flutter's position) runs on from one utterance to the next and no function
resets it; only a freshly loaded library says the same text in the same way. Therefore the
library is loaded, used and unloaded per utterance: about 5 ms, and nothing is left behind.
"""

from __future__ import annotations

import _ctypes
import ctypes
import os
import tempfile
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import espeakng_loader
import numpy as np
import soxr

from omnilive.engine.interface import F32
from omnilive.errors import ConfigError, SetupError
from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive.speech.config import VoiceConfig
from omnilive.speech.words import Spoken, timed

_MEND = "Reinstall the voice: pip install --force-reinstall espeakng-loader"

# speak_lib.h of espeak-ng 1.52.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_POS_CHARACTER = 1
_CHARS_UTF8 = 1
_EE_OK = 0
_PARAMETER_RATE = 1
_PARAMETER_VOLUME = 2
_PARAMETER_PITCH = 3

_MALLOC_LISTS = (b"1.50", b"1.51", b"1.52")
"""Versions whose espeak_ListVoices returns a block of malloc's (voices.c)."""

_EVENT_LIST_TERMINATED = 0
_EVENT_WORD = 1

_BUFFER_MS = 200
"""Length of the blocks handed to the callback; the sound doesn't depend on it."""

_PATH_LIMIT_BYTES = 140
"""espeak-ng copies its data path into a buffer of 160 bytes and appends to it."""

_RANDOM_SEED = 1
"""Seed of the breath noise; any fixed value will do."""

_INT16_SCALE = 32768.0


class _EventId(ctypes.Union):
    """``espeak_EVENT.id``."""

    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    )


class _Event(ctypes.Structure):
    """``espeak_EVENT``: ``text_position`` counts characters from 1, ``sample`` from 0."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_SynthCallback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event)
)


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
        with self._opened() as (library, _):
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
        blocks: list[bytes] = []
        began: list[tuple[int, int]] = []

        def collect(wave: int | None, count: int, events: Any) -> int:
            if wave and count > 0:
                blocks.append(ctypes.string_at(wave, count * 2))
            for event in takewhile(lambda e: e.type != _EVENT_LIST_TERMINATED, events or ()):
                if event.type == _EVENT_WORD:
                    began.append((event.text_position - 1, event.sample))
            return 0

        callback = _SynthCallback(collect)
        with self._opened() as (library, rate_hz):
            library.espeak_SetSynthCallback(callback)
            library.espeak_ng_SetRandSeed(ctypes.c_long(_RANDOM_SEED))
            self._select(library, language)
            for parameter, value in (
                (_PARAMETER_RATE, self._config.rate_wpm),
                (_PARAMETER_VOLUME, self._config.volume),
                (_PARAMETER_PITCH, self._config.pitch),
            ):
                library.espeak_SetParameter(parameter, value, 0)
            data = sayable.encode("utf-8")
            status = library.espeak_Synth(
                ctypes.c_char_p(data),
                ctypes.c_size_t(len(data) + 1),
                ctypes.c_uint(0),
                _POS_CHARACTER,
                ctypes.c_uint(0),
                ctypes.c_uint(_CHARS_UTF8),
                None,
                None,
            )
        if status != _EE_OK:
            raise SetupError(f"failed with status {status}", where="espeak-ng", mend=_MEND)
        wave = np.frombuffer(b"".join(blocks), np.int16).astype(np.float32) / _INT16_SCALE
        resampled = soxr.resample(wave, rate_hz, SAMPLE_RATE_HZ)
        samples = np.clip(np.asarray(resampled, np.float32), -1.0, 1.0)
        skipped = text.find(sayable[0])
        return timed(
            text,
            samples,
            [(at + skipped, sample * SAMPLE_RATE_HZ // rate_hz) for at, sample in began],
        )

    def _select(self, library: ctypes.CDLL, language: str) -> None:
        names = {
            "en": ("english_voice", self._config.english_voice),
            "zh": ("chinese_voice", self._config.chinese_voice),
        }
        if language not in names:
            raise ValueError(f"language is {language!r}, expected en or zh")
        field, name = names[language]
        if library.espeak_SetVoiceByName(name.encode("ascii")) != _EE_OK:
            raise ConfigError(
                f"espeak-ng has no voice {name!r}",
                where=f"voice.{field}",
                mend="Name one of its voices, e.g. en-us, en, cmn, or en-us+f3",
            )

    @contextmanager
    def _opened(self) -> Iterator[tuple[ctypes.CDLL, int]]:
        """The freshly loaded library and its sample rate in Hz, while the lock is held."""
        with self._library_lock, short_data_path(self._data_path) as data_path:
            try:
                library = ctypes.CDLL(espeakng_loader.get_library_path())
            except OSError as e:
                raise SetupError(
                    f"cannot be loaded ({e})", where="espeak-ng library", mend=_MEND
                ) from e
            try:
                rate_hz = library.espeak_Initialize(
                    _AUDIO_OUTPUT_SYNCHRONOUS,
                    _BUFFER_MS,
                    ctypes.c_char_p(os.fsencode(data_path)),
                    _INITIALIZE_DONT_EXIT,
                )
                if rate_hz <= 0:
                    raise SetupError("is missing or damaged", where="espeak-ng data", mend=_MEND)
                voices = _list_voices(library)
                try:
                    yield library, int(rate_hz)
                finally:
                    library.espeak_Terminate()
                    ctypes.CDLL(None).free(voices)
            finally:
                _ctypes.dlclose(library._handle)


def _list_voices(library: ctypes.CDLL) -> ctypes.c_void_p:
    """The list that choosing a voice needs, which espeak-ng makes by malloc and never frees.

    Asked for here so that it can be: two kilobytes for every piece spoken. None (which may be
    freed as well) of a version that may keep it elsewhere; that one lists by itself.
    """
    library.espeak_Info.restype = ctypes.c_char_p
    if not library.espeak_Info(None).startswith(_MALLOC_LISTS):
        return ctypes.c_void_p()
    library.espeak_ListVoices.restype = ctypes.c_void_p
    return ctypes.c_void_p(library.espeak_ListVoices(None))


def plain_text(text: str) -> str:
    """``text`` without the characters espeak-ng takes for commands.

    Control characters start embedded commands, private-use and unassigned ones are espeak-ng's
    internal codes; lone surrogates cannot be encoded. Each becomes a space.
    """
    return "".join(" " if unicodedata.category(c) in _UNSAYABLE else c for c in text).strip()


_UNSAYABLE = frozenset({"Cc", "Cn", "Co", "Cs"})


@contextmanager
def short_data_path(data_path: Path | None) -> Iterator[Path]:
    """The data folder under a path that fits espeak-ng's buffer."""
    try:
        path = Path(espeakng_loader.get_data_path()) if data_path is None else data_path
    except RuntimeError as e:
        raise SetupError("is missing", where="espeak-ng data", mend=_MEND) from e
    if not (path / "phontab").is_file():
        raise SetupError("is missing", where=f"espeak-ng data {path}", mend=_MEND)
    if len(os.fsencode(path)) <= _PATH_LIMIT_BYTES:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="espeak-") as folder:
        link = Path(folder) / "espeak-ng-data"
        link.symlink_to(path.absolute(), target_is_directory=True)
        yield link
