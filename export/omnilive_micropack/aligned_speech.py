"""Speech by espeak-ng with the times of its words and phonemes, for many utterances in a row.

The runtime's voice loads the library afresh for every utterance; this one loads it once for a
batch, so an utterance depends on those before it in the batch. It never resamples times: they are
positions in the audio it returns.
"""

from __future__ import annotations

import _ctypes
import ctypes
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import espeakng_loader
import numpy as np
import numpy.typing as npt
import soxr

from omnilive.errors import ConfigError, SetupError
from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive.speech.espeak import short_data_path
from omnilive_micropack.voices import Voice

# speak_lib.h of espeak-ng 1.52.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS = 1
_INITIALIZE_DONT_EXIT = 0x8000
_POS_CHARACTER = 1
_CHARS_UTF8 = 1
_EVENT_END_OF_LIST = 0
_EVENT_WORD = 1
_EVENT_PHONEME = 7
_PARAMETER_RATE = 1
_PARAMETER_PITCH = 3
_PARAMETER_RANGE = 4

_BUFFER_MS = 200
_RANDOM_SEED = 1
_INT16_SCALE = 32768.0
_STRESS_MARKS = "',%="
PAUSE = "_"
"""The phoneme of silence."""


class _EventId(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    )


class _Event(ctypes.Structure):
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


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True, eq=False)
class AlignedSpeech:
    """An utterance and when its parts sound; positions are samples at 16 kHz.

    Attributes:
        samples: float32 [n] in [-1, 1]; float16 where many are kept.
        words: start and end of each unit of the text, int64 [units, 2]; see ``units``.
        phonemes: names without stress marks, ``PAUSE`` for silence.
        phoneme_starts: int64, one per phoneme; each ends where the next begins.
    """

    samples: npt.NDArray[np.float32] | npt.NDArray[np.float16]
    words: npt.NDArray[np.int64]
    phonemes: tuple[str, ...]
    phoneme_starts: npt.NDArray[np.int64]


def units(text: str) -> list[tuple[int, str]]:
    """The parts of a text that have times of their own, each with its offset in characters.

    Words between spaces; in Chinese every character.
    """
    found: list[tuple[int, str]] = []
    for at, character in enumerate(text):
        if character == " ":
            continue
        joins = found and character.isascii() and at > 0 and text[at - 1] != " "
        if joins and text[at - 1].isascii():
            start, unit = found[-1]
            found[-1] = (start, unit + character)
        else:
            found.append((at, character))
    return found


def speak_aligned(items: Iterable[tuple[str, Voice]]) -> Iterator[AlignedSpeech]:
    """Say each text with its voice; equal sequences of items give equal sounds.

    Raises:
        ConfigError: espeak-ng has no such voice.
        SetupError: the library or its data cannot be loaded.
        ValueError: a text makes no sound.
    """
    with short_data_path(None) as data_path:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        try:
            rate_hz = library.espeak_Initialize(
                _AUDIO_OUTPUT_SYNCHRONOUS,
                _BUFFER_MS,
                ctypes.c_char_p(os.fsencode(data_path)),
                _INITIALIZE_DONT_EXIT | _INITIALIZE_PHONEME_EVENTS,
            )
            if rate_hz <= 0:
                raise SetupError(
                    "is missing or damaged",
                    where="espeak-ng data",
                    mend="pip install --force-reinstall espeakng-loader",
                )
            library.espeak_ng_SetRandSeed(ctypes.c_long(_RANDOM_SEED))
            for text, voice in items:
                yield _speak(library, int(rate_hz), text, voice)
            library.espeak_Terminate()
        finally:
            _ctypes.dlclose(library._handle)


def _speak(library: ctypes.CDLL, rate_hz: int, text: str, voice: Voice) -> AlignedSpeech:
    blocks: list[bytes] = []
    words: list[tuple[int, int]] = []
    phonemes: list[tuple[int, str]] = []

    def collect(wave: int | None, count: int, events: ctypes.Array[_Event]) -> int:
        if wave and count > 0:
            blocks.append(ctypes.string_at(wave, count * 2))
        at = 0
        while events[at].type != _EVENT_END_OF_LIST:
            event = events[at]
            if event.type == _EVENT_WORD:
                words.append((event.text_position - 1, event.sample))
            elif event.type == _EVENT_PHONEME:
                name = event.id.string.decode("utf-8", "replace").lstrip(_STRESS_MARKS)
                phonemes.append((event.sample, PAUSE if name.startswith(PAUSE) else name))
            at += 1
        return 0

    callback = _Callback(collect)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.name.encode("ascii")) != 0:
        raise ConfigError(
            f"espeak-ng has no voice {voice.name!r}",
            where="voices",
            mend="Name one of its voices, e.g. en-us or en-us+f3.",
        )
    for parameter, value in (
        (_PARAMETER_RATE, voice.rate_wpm),
        (_PARAMETER_PITCH, voice.pitch),
        (_PARAMETER_RANGE, voice.pitch_range),
    ):
        library.espeak_SetParameter(parameter, value, 0)
    data = text.encode("utf-8")
    library.espeak_Synth(
        ctypes.c_char_p(data),
        ctypes.c_size_t(len(data) + 1),
        ctypes.c_uint(0),
        _POS_CHARACTER,
        ctypes.c_uint(0),
        ctypes.c_uint(_CHARS_UTF8),
        None,
        None,
    )
    wave = np.frombuffer(b"".join(blocks), np.int16).astype(np.float32) / _INT16_SCALE
    if not wave.any() or not phonemes:
        raise ValueError(f"{text!r} makes no sound with {voice.name}")
    samples = np.clip(np.asarray(soxr.resample(wave, rate_hz, SAMPLE_RATE_HZ), np.float32), -1, 1)
    scale = SAMPLE_RATE_HZ / rate_hz
    return AlignedSpeech(
        samples=samples,
        words=_word_spans(text, words, phonemes, scale, len(samples)),
        phonemes=tuple(name for _, name in phonemes),
        phoneme_starts=np.asarray([round(at * scale) for at, _ in phonemes], np.int64),
    )


def _word_spans(
    text: str,
    events: list[tuple[int, int]],
    phonemes: list[tuple[int, str]],
    scale: float,
    total: int,
) -> npt.NDArray[np.int64]:
    """Start and end of each unit; units said as one word share its time in equal parts."""
    pauses = [round(at * scale) for at, name in phonemes if name == PAUSE]
    starts = [(position, round(at * scale)) for position, at in events] or [(0, 0)]
    spans: list[tuple[int, int]] = []
    parts = units(text)
    for i, (position, start) in enumerate(starts):
        following = starts[i + 1] if i + 1 < len(starts) else (len(text), total)
        end = min([following[1], *(p for p in pauses if p > start)])
        first = 0 if i == 0 else position
        inside = sum(first <= offset < following[0] for offset, _ in parts)
        edges = np.linspace(start, end, inside + 1)
        spans += [(int(edges[k]), int(edges[k + 1])) for k in range(inside)]
    return np.asarray(spans, np.int64).reshape(-1, 2)
