"""espeak-ng's C library through ctypes: loaded, initialised, made to speak, unloaded.

It knows no languages and no settings of ours. espeak-ng is one per process, its state is C
globals: whoever opens it sees to it that nobody else has it open.
"""

from __future__ import annotations

import _ctypes
import ctypes
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import espeakng_loader
import numpy as np

from omnilive.engine.interface import F32
from omnilive.errors import SetupError

# speak_lib.h of espeak-ng 1.52.
RATE = 1
VOLUME = 2
PITCH = 3
PITCH_RANGE = 4
"""Parameters."""

WORD = 1
PHONEME = 7
"""Types of events."""

_MALLOC_LISTS = (b"1.50", b"1.51", b"1.52")
"""Versions whose espeak_ListVoices returns a block of malloc's (voices.c)."""

_END_OF_EVENTS = 0
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS = 1
_INITIALIZE_DONT_EXIT = 0x8000
_POS_CHARACTER = 1
_CHARS_UTF8 = 1
_EE_OK = 0

_BUFFER_MS = 200
"""Length of the blocks handed to the callback; the sound doesn't depend on it."""

_PATH_LIMIT_BYTES = 140
"""espeak-ng copies its data path into a buffer of 160 bytes and appends to it."""

_RANDOM_SEED = 1
"""Seed of the breath noise; any fixed value will do."""

_INT16_SCALE = 32768.0

_MEND = "Reinstall the voice: pip install --force-reinstall espeakng-loader"


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


@dataclass(frozen=True, eq=False)
class Utterance:
    """What espeak-ng said.

    Attributes:
        samples: float32 [n] in [-1, 1] at the library's rate.
        words: for each word its offset in the text, characters, and its first sample.
        phonemes: each phoneme's first sample and name; empty unless they were asked for.
    """

    samples: F32
    words: tuple[tuple[int, int], ...]
    phonemes: tuple[tuple[int, str], ...]


class EspeakLibrary:
    """The library while it is open; see ``opened``. ``rate_hz`` is that of its samples."""

    def __init__(self, library: ctypes.CDLL, rate_hz: int) -> None:
        self._library = library
        self.rate_hz = rate_hz

    def select(self, voice: str) -> bool:
        """Speak with this voice from now on; False where there is none of that name."""
        return bool(self._library.espeak_SetVoiceByName(voice.encode("ascii")) == _EE_OK)

    def set(self, parameter: int, value: int) -> None:
        """Set a parameter of the voice, in espeak-ng's own unit."""
        self._library.espeak_SetParameter(parameter, value, 0)

    def say(self, text: str) -> Utterance:
        """Say ``text``, in which control and private-use characters are commands.

        Raises:
            SetupError: espeak-ng failed.
        """
        blocks: list[bytes] = []
        words: list[tuple[int, int]] = []
        phonemes: list[tuple[int, str]] = []

        def collect(wave: int | None, count: int, events: Any) -> int:
            if wave and count > 0:
                blocks.append(ctypes.string_at(wave, count * 2))
            for event in takewhile(lambda e: e.type != _END_OF_EVENTS, events or ()):
                if event.type == WORD:
                    words.append((event.text_position - 1, event.sample))
                elif event.type == PHONEME:
                    phonemes.append((event.sample, event.id.string.decode("utf-8", "replace")))
            return 0

        callback = _SynthCallback(collect)
        self._library.espeak_SetSynthCallback(callback)
        data = text.encode("utf-8")
        status = self._library.espeak_Synth(
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
        return Utterance(wave, tuple(words), tuple(phonemes))


@contextmanager
def opened(data_path: Path | None = None, *, phonemes: bool = False) -> Iterator[EspeakLibrary]:
    """The freshly loaded library, its noise seeded; unloaded in the end.

    Args:
        data_path: the ``espeak-ng-data`` folder; default: the one espeakng-loader ships.
        phonemes: report phonemes as well as words.

    Raises:
        SetupError: the library or its data cannot be loaded.
    """
    with _short_data_path(data_path) as path:
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
                ctypes.c_char_p(os.fsencode(path)),
                _INITIALIZE_DONT_EXIT | (_INITIALIZE_PHONEME_EVENTS if phonemes else 0),
            )
            if rate_hz <= 0:
                raise SetupError("is missing or damaged", where="espeak-ng data", mend=_MEND)
            library.espeak_ng_SetRandSeed(ctypes.c_long(_RANDOM_SEED))
            voices = _list_voices(library)
            try:
                yield EspeakLibrary(library, int(rate_hz))
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


@contextmanager
def _short_data_path(data_path: Path | None) -> Iterator[Path]:
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
