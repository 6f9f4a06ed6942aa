"""Speech by espeak-ng with the times of its words and phonemes, for many utterances in a row.

The runtime's voice loads the library afresh for every utterance; this one loads it once for a
batch, so an utterance depends on those before it in the batch. It never resamples times: they are
positions in the audio it returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from omnilive.errors import ConfigError
from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive.speech.espeak_library import PITCH, PITCH_RANGE, RATE, EspeakLibrary, opened
from omnilive_micropack.voices import Voice

_STRESS_MARKS = "',%="
PAUSE = "_"
"""The phoneme of silence."""


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
    with opened(phonemes=True) as library:
        for text, voice in items:
            yield _speak(library, text, voice)


def _speak(library: EspeakLibrary, text: str, voice: Voice) -> AlignedSpeech:
    if not library.select(voice.name):
        raise ConfigError(
            f"espeak-ng has no voice {voice.name!r}",
            where="voices",
            mend="Name one of its voices, e.g. en-us or en-us+f3.",
        )
    for parameter, value in (
        (RATE, voice.rate_wpm),
        (PITCH, voice.pitch),
        (PITCH_RANGE, voice.pitch_range),
    ):
        library.set(parameter, value)
    said, rate_hz = library.say(text), library.rate_hz
    wave = said.samples
    phonemes = [(at, _plain(name)) for at, name in said.phonemes]
    if not wave.any() or not phonemes:
        raise ValueError(f"{text!r} makes no sound with {voice.name}")
    samples = np.clip(np.asarray(soxr.resample(wave, rate_hz, SAMPLE_RATE_HZ), np.float32), -1, 1)
    scale = SAMPLE_RATE_HZ / rate_hz
    return AlignedSpeech(
        samples=samples,
        words=_word_spans(text, said.words, phonemes, scale, len(samples)),
        phonemes=tuple(name for _, name in phonemes),
        phoneme_starts=np.asarray([round(at * scale) for at, _ in phonemes], np.int64),
    )


def _plain(phoneme: str) -> str:
    name = phoneme.lstrip(_STRESS_MARKS)
    return PAUSE if name.startswith(PAUSE) else name


def _word_spans(
    text: str,
    events: Sequence[tuple[int, int]],
    phonemes: Sequence[tuple[int, str]],
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
