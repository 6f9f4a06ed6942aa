"""Makes the audio that the audio model learns from and is measured on: takes, rooms, noise, cuts.

Everything is drawn from a generator that the caller seeds. It knows neither networks nor tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from omnilive.engine.interface import F32
from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive_micropack.aligned_speech import AlignedSpeech, speak_aligned
from omnilive_micropack.grammar import Sentence
from omnilive_micropack.seeds import generator
from omnilive_micropack.sounds import SYNTHESIZERS, coloured_noise, synthesize
from omnilive_micropack.vocabulary import SILENCE, SPEECH
from omnilive_micropack.voices import Voice

Rng = np.random.Generator

BATCH_TAKES = 500
"""Utterances said by one load of espeak-ng: what is said depends on those before it in a batch."""

VOICED_SHARE = 0.02
"""A sample is voiced when above this share of the take's peak."""

NOISE_SLOPES = (0.0, 1.2)
NOISE_BANK_SECONDS = 40
ROOM_SECONDS = (0.08, 0.5)
"""Reverberation times: the sound falls by 60 dB in this time."""

CLASS_SECONDS = (0.8, 3.84)
"""Lengths of background audio; the runtime keeps at most 3.84 s of it."""


@dataclass(frozen=True, eq=False)
class Take:
    """A sentence as somebody said it; its times are ``speech``'s."""

    sentence: Sentence
    voice: Voice
    speech: AlignedSpeech


def record(items: Sequence[tuple[Sentence, Voice]]) -> Iterator[Take]:
    """Say every sentence, in batches that each begin with a fresh voice library.

    Raises:
        ConfigError: espeak-ng has no such voice.
        SetupError: espeak-ng cannot be loaded.
    """
    for start in range(0, len(items), BATCH_TAKES):
        batch = items[start : start + BATCH_TAKES]
        spoken = speak_aligned([(sentence.text, voice) for sentence, voice in batch])
        for (sentence, voice), speech in zip(batch, spoken, strict=True):
            yield Take(sentence, voice, trimmed(speech))


def trimmed(speech: AlignedSpeech) -> AlignedSpeech:
    """The speech from its first to its last voiced sample, peak 1, with its times moved along."""
    level = np.abs(speech.samples)
    voiced = np.flatnonzero(level > VOICED_SHARE * level.max())
    first, last = int(voiced[0]), int(voiced[-1]) + 1
    return replace(
        speech,
        samples=(speech.samples[first:last] / level.max()).astype(np.float32),
        words=np.clip(speech.words - first, 0, last - first),
        phoneme_starts=np.clip(speech.phoneme_starts - first, 0, last - first),
    )


@dataclass(frozen=True)
class Conditions:
    """Ranges that the surroundings of an utterance are drawn from.

    Attributes:
        lead_s: silence before the speech.
        tail_s: silence after it.
        noise_share: share of utterances with noise.
        snr_db: speech power over noise power, while somebody speaks.
        room_share: share with reverberation.
        sound_share: share of the noisy ones whose noise is a background sound or other speech.
        peak_db: of the speech, of full scale.
    """

    lead_s: tuple[float, float]
    tail_s: tuple[float, float]
    noise_share: float = 1.0
    snr_db: tuple[float, float] = (20.0, 20.0)
    room_share: float = 0.0
    sound_share: float = 0.0
    peak_db: tuple[float, float] = (-6.0, -6.0)


CUT_BY_ENDPOINTER = Conditions(
    lead_s=(0.35, 0.62),
    tail_s=(0.35, 0.7),
    noise_share=0.9,
    snr_db=(3.0, 28.0),
    room_share=0.35,
    sound_share=0.2,
    peak_db=(-26.0, -1.0),
)
"""As the runtime cuts utterances: pre-roll before the onset, half a second of silence after."""

CUT_BY_HAND = replace(CUT_BY_ENDPOINTER, lead_s=(0.02, 0.4), tail_s=(0.05, 0.4))


class Surroundings:
    """Rooms and stationary noises, made once and used in many mixtures."""

    def __init__(self, seed: int, *, noises: int = 12, rooms: int = 48) -> None:
        """Make the banks.

        Args:
            seed: of both banks; training and measuring use different ones.
            noises: coloured noises of NOISE_BANK_SECONDS each.
            rooms: impulse responses.
        """
        rng = generator(seed, "surroundings")
        count = NOISE_BANK_SECONDS * SAMPLE_RATE_HZ
        self._noises = [
            coloured_noise(rng, count, slope) for slope in np.linspace(*NOISE_SLOPES, noises)
        ]
        self._rooms = [_room(rng) for _ in range(rooms)]

    def noise(self, rng: Rng, count: int) -> F32:
        """Stationary noise float32 [count] of rms 1."""
        bank = self._noises[int(rng.integers(len(self._noises)))]
        at = int(rng.integers(0, len(bank) - count))
        return bank[at : at + count]

    def in_room(self, rng: Rng, samples: F32) -> F32:
        """``samples`` as heard in one of the rooms, float32 of the same length."""
        room = self._rooms[int(rng.integers(len(self._rooms)))]
        size = 1 << (len(samples) + len(room) - 1).bit_length()
        heard = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(room, size), size)
        return heard[: len(samples)].astype(np.float32)


def _room(rng: Rng) -> F32:
    seconds = rng.uniform(*ROOM_SECONDS)
    count = round(seconds * SAMPLE_RATE_HZ)
    fall = np.exp(-6.9 * np.arange(count) / count)
    response = rng.standard_normal(count) * fall
    response *= rng.uniform(0.2, 0.7) / np.sqrt(np.sum(response**2))
    response[0] = 1.0
    return response.astype(np.float32)


def surround(
    take: Take,
    conditions: Conditions,
    surroundings: Surroundings,
    rng: Rng,
    others: Sequence[Take] = (),
) -> tuple[F32, int]:
    """An utterance as a microphone hears it.

    Args:
        take: what is said.
        conditions: what to draw the surroundings from.
        surroundings: rooms and noises.
        rng: where all draws come from.
        others: takes that may be heard in the background.

    Returns:
        float32 [n] in [-1, 1], and the sample at which the take begins in it.
    """
    lead, tail = (
        round(rng.uniform(*r) * SAMPLE_RATE_HZ) for r in (conditions.lead_s, conditions.tail_s)
    )
    speech = take.speech.samples.astype(np.float32)
    heard = np.zeros(lead + len(speech) + tail, np.float32)
    heard[lead : lead + len(speech)] = speech
    if rng.random() < conditions.room_share:
        heard = surroundings.in_room(rng, heard)
    if rng.random() < conditions.noise_share:
        power = float(np.mean(speech**2)) / 10 ** (rng.uniform(*conditions.snr_db) / 10)
        if rng.random() < conditions.sound_share:
            noise = _background(rng, len(heard), others)
        else:
            noise = surroundings.noise(rng, len(heard))
        heard = heard + noise * np.sqrt(power / max(float(np.mean(noise**2)), 1e-12))
    gain = 10 ** (rng.uniform(*conditions.peak_db) / 20)
    return np.clip(heard * gain, -1.0, 1.0).astype(np.float32), lead


def _background(rng: Rng, count: int, others: Sequence[Take]) -> F32:
    if others and rng.random() < 0.4:
        babble = np.zeros(count, np.float32)
        for _ in range(3):
            voice = others[int(rng.integers(len(others)))].speech.samples
            at = int(rng.integers(0, count))
            babble[at : at + len(voice)] += voice[: max(0, count - at)]
        return babble
    label = tuple(SYNTHESIZERS)[int(rng.integers(len(SYNTHESIZERS)))]
    return synthesize(rng, label, count / SAMPLE_RATE_HZ)


def sound_clip(label: str, surroundings: Surroundings, rng: Rng, takes: Sequence[Take]) -> F32:
    """Background audio of a class as the runtime would keep it: float32 [n] in [-1, 1].

    Silence is stationary noise, soft or hardly there; speech is one of ``takes``.
    """
    count = round(rng.uniform(*CLASS_SECONDS) * SAMPLE_RATE_HZ)
    hiss = surroundings.noise(rng, count)
    if label == SILENCE:
        return (hiss * 10 ** (rng.uniform(-80, -32) / 20)).astype(np.float32)
    if label == SPEECH:
        sound = np.zeros(count, np.float32)
        at = int(rng.integers(0, max(1, count // 4)))
        while at < count:
            said = takes[int(rng.integers(len(takes)))].speech.samples[: count - at]
            sound[at : at + len(said)] = said
            at += len(said) + int(rng.uniform(0.1, 0.6) * SAMPLE_RATE_HZ)
    else:
        sound = synthesize(rng, label, count / SAMPLE_RATE_HZ)
    if rng.random() < 0.35:
        sound = surroundings.in_room(rng, sound)
    snr = 10 ** (rng.uniform(8, 40) / 20)
    sound = sound + hiss * (float(np.sqrt(np.mean(sound**2))) / snr)
    gain = 10 ** (rng.uniform(-26, -1) / 20) / max(float(np.abs(sound).max()), 1e-9)
    return np.asarray(sound * gain, np.float32)


def phoneme_at(take: Take, lead: int, times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Index of the phoneme sounding at each sample position; -1 before and after the take."""
    starts = take.speech.phoneme_starts + lead
    index = np.searchsorted(starts, times, side="right") - 1
    outside = (times < lead) | (times >= lead + len(take.speech.samples))
    index[outside] = -1
    return index
