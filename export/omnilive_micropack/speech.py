"""Spoken questions by espeak-ng, in several voices, with exact times of their sound.

It makes the user's side only; the assistant's answers are spoken by the runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnilive.engine.interface import F32
from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive.speech.config import VoiceConfig
from omnilive.speech.espeak import EspeakVoice
from omnilive_micropack.soundtrack import Piece
from omnilive_micropack.voices import CHINESE_DIALECT, Voice

VOICED_SHARE = 0.02
"""A sample is voiced when above this share of the utterance's peak."""

SPOKEN_PEAK = 0.6
"""Peak of every utterance, of full scale 1.0."""


@dataclass(frozen=True)
class Speaker:
    """A voice of espeak-ng for each language, and how it speaks.

    Attributes:
        rate_wpm: words per minute.
        pitch: 0 to 100, 50 is normal.
    """

    english: str
    chinese: str
    rate_wpm: int
    pitch: int


SPEAKERS = (
    Speaker("en-us", "cmn", 150, 50),
    Speaker("en-us+f3", "cmn+f3", 145, 60),
    Speaker("en", "cmn+m3", 160, 40),
    Speaker("en-gb-scotland+f2", "cmn+f2", 140, 55),
    Speaker("en-us+m7", "cmn+m7", 155, 45),
)


@dataclass(frozen=True)
class SpokenItem:
    """Something the user says.

    Attributes:
        at_s: when its file audio is placed, stream seconds; the sound begins a little later.
        language: ``en`` or ``zh``.
        kind: ``question`` or ``filler``.
    """

    text: str
    at_s: float
    language: str = "en"
    speaker: Speaker = SPEAKERS[0]
    kind: str = "question"


@dataclass(frozen=True)
class SpokenTruth:
    """An item as it came out: times of its first and last voiced samples, microseconds."""

    item: SpokenItem
    start_us: int
    end_us: int


def speaker_of(voice: Voice) -> Speaker:
    """An English voice of ``voices.py`` as a speaker."""
    return Speaker(voice.name, CHINESE_DIALECT, voice.rate_wpm, voice.pitch)


def speak(text: str, language: str, speaker: Speaker) -> F32:
    """Audio of ``text``: float32 [n] of peak SPOKEN_PEAK, 16 kHz mono.

    Raises:
        ConfigError: espeak-ng has no such voice.
        SetupError: espeak-ng cannot be loaded.
        ValueError: nothing in the text makes a sound.
    """
    voice = EspeakVoice(
        VoiceConfig(
            rate_wpm=speaker.rate_wpm,
            pitch=speaker.pitch,
            english_voice=speaker.english,
            chinese_voice=speaker.chinese,
        )
    )
    samples = voice.synthesize(text, language)
    peak = float(np.abs(samples).max(initial=0.0))
    if peak == 0.0:
        raise ValueError(f"nothing in {text!r} makes a sound")
    scaled: F32 = (samples * (SPOKEN_PEAK / peak)).astype(np.float32)
    return scaled


def voiced_span(samples: F32) -> tuple[int, int]:
    """Indexes of the first voiced sample and of the one after the last.

    Raises:
        ValueError: silence.
    """
    level = np.abs(samples)
    peak = float(level.max(initial=0.0))
    if peak == 0.0:
        raise ValueError("there is no sound in these samples")
    voiced = np.flatnonzero(level > VOICED_SHARE * peak)
    return int(voiced[0]), int(voiced[-1]) + 1


def say(items: Sequence[SpokenItem], duration_s: float) -> tuple[list[Piece], list[SpokenTruth]]:
    """Say the items at their times.

    Args:
        items: what is said, in order of time.
        duration_s: length of the track.

    Returns:
        The pieces of a sound track, and when each of them is voiced.

    Raises:
        ValueError: an item begins before the one before it ends, or ends after the track.
    """
    total = round(duration_s * SAMPLE_RATE_HZ)
    pieces: list[Piece] = []
    truths: list[SpokenTruth] = []
    free_from = 0
    for item in items:
        start = round(item.at_s * SAMPLE_RATE_HZ)
        samples = speak(item.text, item.language, item.speaker)
        free, free_from = free_from, start + len(samples)
        if start < free or free_from > total:
            raise ValueError(f"{item.text!r} at {item.at_s} s does not fit between its neighbours")
        first, last = voiced_span(samples)
        pieces.append(Piece(start, samples))
        truths.append(SpokenTruth(item, _to_us(start + first), _to_us(start + last)))
    return pieces, truths


def _to_us(sample: int) -> int:
    return sample * 1_000_000 // SAMPLE_RATE_HZ
