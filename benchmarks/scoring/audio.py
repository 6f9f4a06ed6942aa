"""Scores the hearing of a pack: words, words through the endpointer, background sounds.

Everything is heard by the runtime's own endpointer and audio model. It uses no torch and fits
nothing; ``Split.TEST`` draws what no training or tuning has seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from omnilive.engine.interface import F32
from omnilive.engine.pack import EnginePack
from omnilive.perception.audio_model import AudioModel
from omnilive.perception.config import RecognitionConfig, VadConfig
from omnilive.perception.endpoint import Endpointer, SpeechEnded, Utterance
from omnilive.perception.vad import SileroVad
from omnilive.sources.types import SAMPLE_RATE_HZ, Pcm, samples_to_us
from omnilive_micropack import grammar
from omnilive_micropack.audio_data import (
    Conditions,
    Surroundings,
    Take,
    record,
    sound_clip,
    surround,
)
from omnilive_micropack.seeds import generator
from omnilive_micropack.vocabulary import SOUNDS
from omnilive_micropack.voices import draw_voice
from omnilive_micropack.word_errors import word_errors

QUIET = Conditions(lead_s=(0.45, 0.55), tail_s=(0.45, 0.55), snr_db=(25.0, 40.0))
"""A quiet room, cut as the endpointer cuts."""

NOISY = replace(QUIET, snr_db=(10.0, 10.0))

STREAM_SNR_DB = 20.0
STREAM_GAPS_S = (1.6, 2.6)
STREAM_UTTERANCES = 25
"""Utterances per stream; each stream has a fresh endpointer."""

STREAM_BLOCK = 1_600
STREAM_RMS = 0.05
"""Level of the speech in a stream, of full scale."""


class Split(Enum):
    """Which sentences and voices are drawn."""

    TEST = "test"
    VALIDATION = "validation"
    """For tuning; disjoint from both training and test."""


@dataclass(frozen=True)
class Counted:
    """One item's score: ``wrong`` of ``of`` (words of an utterance, or one decision)."""

    wrong: int
    of: int


@dataclass(frozen=True, eq=False)
class Spoken:
    """An utterance as it is heard and what was said."""

    pcm: F32
    text: str


def takes(seed: int, count: int, split: Split, *, seen_voices: bool) -> list[Take]:
    """Held-out sentences, said by voices of training or by the split's own."""
    voices = grammar.TRAINING if seen_voices else split.value
    rng = generator(seed, f"{split.value} {'seen' if seen_voices else 'held-out'} voices")
    items = [
        (grammar.draw_held_out(rng, split.value), draw_voice(rng, voices)) for _ in range(count)
    ]
    return list(record(items))


def utterances(
    seed: int, count: int, split: Split, conditions: Conditions, *, seen_voices: bool
) -> Iterator[Spoken]:
    """Utterances cut out, in the surroundings of ``conditions``."""
    rng = generator(seed, f"surroundings of {conditions}")
    surroundings = Surroundings(seed)
    for take in takes(seed, count, split, seen_voices=seen_voices):
        yield Spoken(surround(take, conditions, surroundings, rng)[0], take.sentence.text)


def transcripts(model: AudioModel, spoken: Iterator[Spoken]) -> list[Counted]:
    """Word errors of each utterance."""
    return [_errors(item.text, model.transcribe(item.pcm).text) for item in spoken]


def stream_transcripts(model: AudioModel, seed: int, count: int, split: Split) -> list[Counted]:
    """Word errors of utterances that the endpointer finds in streams with noise at 20 dB.

    Each utterance found counts for the one it overlaps most; what is heard where nobody speaks
    counts as inserted words of the next one.
    """
    rng = generator(seed, f"{split.value} streams")
    surroundings = Surroundings(seed)
    said = takes(seed, count, split, seen_voices=False)
    scores: list[Counted] = []
    for at in range(0, len(said), STREAM_UTTERANCES):
        part = said[at : at + STREAM_UTTERANCES]
        track, spans = compose(part, surroundings, rng)
        heard: list[list[str]] = [[] for _ in part]
        for utterance in endpointed(track):
            text = model.transcribe(utterance.samples).text
            heard[_owner(utterance, spans)] += text.split()
        scores += [
            _errors(take.sentence.text, " ".join(words))
            for take, words in zip(part, heard, strict=True)
        ]
    return scores


def compose(
    part: Sequence[Take], surroundings: Surroundings, rng: np.random.Generator
) -> tuple[F32, list[tuple[int, int]]]:
    """Utterances with pauses between them over steady noise, and where each one sounds."""
    pieces: list[F32] = []
    spans: list[tuple[int, int]] = []
    at = 0
    for take in part:
        pause = round(rng.uniform(*STREAM_GAPS_S) * SAMPLE_RATE_HZ)
        speech = take.speech.samples
        level = STREAM_RMS / max(float(np.sqrt(np.mean(speech**2))), 1e-9)
        pieces += [np.zeros(pause, np.float32), speech * np.float32(level)]
        spans.append((at + pause, at + pause + len(speech)))
        at = spans[-1][1]
    pieces.append(np.zeros(2 * SAMPLE_RATE_HZ, np.float32))
    track = np.concatenate(pieces)
    noise = np.concatenate(
        [
            surroundings.noise(rng, min(10 * SAMPLE_RATE_HZ, len(track) - begin))
            for begin in range(0, len(track), 10 * SAMPLE_RATE_HZ)
        ]
    )
    track += noise * np.float32(STREAM_RMS / 10 ** (STREAM_SNR_DB / 20))
    return np.clip(track, -1.0, 1.0), spans


def endpointed(track: F32) -> list[Utterance]:
    """What the runtime's endpointer, with its defaults, makes of a whole track."""
    endpointer = Endpointer(VadConfig(), SileroVad())
    events = []
    for at in range(0, len(track), STREAM_BLOCK):
        events += endpointer.push(Pcm(samples_to_us(at), track[at : at + STREAM_BLOCK]))
    events += endpointer.finish()
    return [event.utterance for event in events if isinstance(event, SpeechEnded)]


def sound_classes(model: AudioModel, seed: int, count: int, split: Split) -> list[Counted]:
    """Whether each background sound is named rightly; classes take turns."""
    rng = generator(seed, f"{split.value} sounds")
    surroundings = Surroundings(seed)
    said = takes(seed, min(count, 200), split, seen_voices=False)
    scores = []
    for i in range(count):
        label = SOUNDS[i % len(SOUNDS)]
        named = model.classify(sound_clip(label, surroundings, rng, said)).label
        scores.append(Counted(int(named != label), 1))
    return scores


def score(pack: EnginePack, seed: int, count: int, split: Split) -> dict[str, list[Counted]]:
    """Every measure of hearing over ``count`` items each, by name."""
    model = AudioModel(pack, RecognitionConfig())
    quiet_seen = utterances(seed, count, split, QUIET, seen_voices=True)
    quiet_held_out = utterances(seed, count, split, QUIET, seen_voices=False)
    noisy = utterances(seed, count, split, NOISY, seen_voices=False)
    return {
        "wer_seen_voices": transcripts(model, quiet_seen),
        "wer_held_out_voices": transcripts(model, quiet_held_out),
        "wer_noise_10db": transcripts(model, noisy),
        "wer_stream_20db": stream_transcripts(model, seed, count, split),
        "sound_class_errors": sound_classes(model, seed, count, split),
    }


def _errors(said: str, heard: str) -> Counted:
    truth = said.split()
    return Counted(word_errors(truth, heard.split()), len(truth))


def _owner(utterance: Utterance, spans: Sequence[tuple[int, int]]) -> int:
    """Index of the span that an utterance overlaps most, else of the first one after it."""
    start = utterance.start_us * SAMPLE_RATE_HZ // 1_000_000
    end = utterance.end_us * SAMPLE_RATE_HZ // 1_000_000
    overlaps = [min(end, to) - max(start, begin) for begin, to in spans]
    best = int(np.argmax(overlaps))
    if overlaps[best] > 0:
        return best
    return next((i for i, (begin, _) in enumerate(spans) if begin >= start), len(spans) - 1)
