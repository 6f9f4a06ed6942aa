"""Batches for the audio model: what is heard, what is to be written, where each word sounds.

A batch follows from the seed and the step alone, so that a resumed run sees what an unbroken one
does. It knows no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omnilive.perception.audio_model import AFTER_AUDIO, BEFORE_AUDIO, CLASSIFY, TRANSCRIBE
from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive_export.tokenizers import build_qwen2_tokenizer
from omnilive_micropack import small_talk
from omnilive_micropack.aligned_speech import PAUSE, units
from omnilive_micropack.audio_data import (
    CUT_BY_ENDPOINTER,
    CUT_BY_HAND,
    Surroundings,
    Take,
    phoneme_at,
    sound_clip,
    surround,
)
from omnilive_micropack.configs import AUDIO_FRAMES_PER_POSITION, WHISPER_HOP
from omnilive_micropack.grammar import vocabulary
from omnilive_micropack.seeds import generator
from omnilive_micropack.sounds import SYNTHESIZERS
from omnilive_micropack.text_tokenizers import IM_END
from omnilive_micropack.vocabulary import SILENCE, SOUNDS

IGNORED = -100
POSITION_SAMPLES = AUDIO_FRAMES_PER_POSITION * WHISPER_HOP
TOKEN_SAMPLES = 2 * POSITION_SAMPLES

PADDED_POSITIONS = 16
PADDED_TARGETS = 4
"""Batches are padded to multiples of these: oneDNN compiles a kernel for every new shape, which
took more time than the arithmetic."""

POOL_BATCHES = 32
"""Batches drawn at once and cut by length, so that little of a batch is padding."""

BATCH = 12
HAND_CUT_SHARE = 0.4
NO_SPEECH_SHARE = 0.02
"""Share of utterances to transcribe in which nobody speaks: the endpointer can be wrong."""

LANGUAGE_TAGS = {"en": "<|en|>", "zh": "<|zh|>"}
NO_SPEECH_TAG = "<|unknown|>"


class Texts:
    """Prompts and transcripts as token ids."""

    def __init__(self, folder: Path) -> None:
        """Read the tokenizer of an ``audio/`` folder."""
        self._tokenizer = build_qwen2_tokenizer(folder)
        self.before = self.encode(BEFORE_AUDIO)
        self.after = {
            instruction: self.encode(AFTER_AUDIO.format(instruction=instruction))
            for instruction in (CLASSIFY, TRANSCRIBE)
        }
        self.end = self.encode(IM_END)[0]

    def encode(self, text: str) -> list[int]:
        """Token ids, control tokens recognised."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text without control tokens and outer white space."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def transcript(self, take: Take | None) -> list[int]:
        """What is to be written: a tag for the language, the words, the end of the turn."""
        if take is None:
            return [*self.encode(NO_SPEECH_TAG), self.end]
        tag = self.encode(LANGUAGE_TAGS[take.sentence.language])
        space = " " if take.sentence.language == "en" else ""
        return [*tag, *self.encode(space + take.sentence.text), self.end]

    def label(self, sound: str) -> list[int]:
        """The name of a sound class and the end of the turn."""
        return [*self.encode(sound), self.end]


@dataclass(frozen=True, eq=False)
class Batch:
    """Padded tensors of a batch.

    Attributes:
        instruction: of the prompt, the same for all.
        pcm: float32 [B, N]; ``samples`` int64 [B] of them are sound.
        targets: int64 [B, n], IGNORED after the end.
        windows: int64 [B, n, 2], the audio tokens [from, to) in which each target sounds; 0, 0
            where it has none.
        words: int64 [B, tokens], class of the word sounding, 0 for none.
        phonemes: int64 [B, positions].
    """

    instruction: str
    pcm: Tensor
    samples: Tensor
    targets: Tensor
    windows: Tensor
    words: Tensor
    phonemes: Tensor


@dataclass(frozen=True, eq=False)
class _Example:
    pcm: np.ndarray
    target: list[int]
    take: Take | None = None
    lead: int = 0


class Batches:
    """Makes batches of takes."""

    def __init__(self, takes: Sequence[Take], texts: Texts, seed: int) -> None:
        """Index what may be labelled; ``takes`` stay in memory."""
        self._takes = takes
        self._texts = texts
        self._seed = seed
        self._surroundings = Surroundings(seed)
        characters = sorted({c for line in small_talk.CHINESE for c in line})
        self._words = {w: i + 1 for i, w in enumerate([*vocabulary(), *characters])}
        names = sorted({name for take in takes for name in take.speech.phonemes} - {PAUSE})
        self._phonemes = {name: i + 1 for i, name in enumerate(names)} | {PAUSE: 0}
        self._pool_at = -1
        self._pool: list[list[int]] = []

    @property
    def word_classes(self) -> int:
        """Classes of frame labels by word, "none" included."""
        return len(self._words) + 1

    @property
    def phoneme_classes(self) -> int:
        """Classes of frame labels by phoneme, silence included."""
        return len(self._phonemes)

    def speech(self, step: int) -> Batch:
        """Utterances to transcribe."""
        rng = generator(self._seed, f"speech {step}")
        examples = [self._utterance(self._takes[i], rng) for i in self._drawn(step)]
        return self._batch(TRANSCRIBE, examples)

    def sounds(self, step: int) -> Batch:
        """Background sounds to name."""
        rng = generator(self._seed, f"sounds {step}")
        labels = [SOUNDS[int(i)] for i in rng.integers(0, len(SOUNDS), BATCH)]
        examples = [
            _Example(
                sound_clip(label, self._surroundings, rng, self._takes), self._texts.label(label)
            )
            for label in labels
        ]
        return self._batch(CLASSIFY, examples)

    def _drawn(self, step: int) -> list[int]:
        """Takes of the batch: of about the same length."""
        pool_at, batch = divmod(step, POOL_BATCHES)
        if pool_at != self._pool_at:
            rng = generator(self._seed, f"pool {pool_at}")
            drawn = rng.integers(0, len(self._takes), POOL_BATCHES * BATCH)
            ordered = sorted(drawn, key=lambda i: len(self._takes[i].speech.samples))
            cut = [ordered[i : i + BATCH] for i in range(0, len(ordered), BATCH)]
            self._pool = [[int(i) for i in cut[k]] for k in rng.permutation(POOL_BATCHES)]
            self._pool_at = pool_at
        return self._pool[batch]

    def _utterance(self, take: Take, rng: np.random.Generator) -> _Example:
        if rng.random() < NO_SPEECH_SHARE:
            label = (*SYNTHESIZERS, SILENCE)[int(rng.integers(len(SYNTHESIZERS) + 1))]
            clip = sound_clip(label, self._surroundings, rng, self._takes)
            return _Example(clip[: 2 * SAMPLE_RATE_HZ], self._texts.transcript(None))
        conditions = CUT_BY_HAND if rng.random() < HAND_CUT_SHARE else CUT_BY_ENDPOINTER
        pcm, lead = surround(take, conditions, self._surroundings, rng, self._takes)
        return _Example(pcm, self._texts.transcript(take), take, lead)

    def _batch(self, instruction: str, examples: Sequence[_Example]) -> Batch:
        count = len(examples)
        longest = _rounded_up(
            max(len(e.pcm) for e in examples), PADDED_POSITIONS * POSITION_SAMPLES
        )
        texts = _rounded_up(max(len(e.target) for e in examples), PADDED_TARGETS)
        pcm = np.zeros((count, longest), np.float32)
        targets = np.full((count, texts), IGNORED)
        windows = np.zeros((count, texts, 2), np.int64)
        words = np.full((count, longest // TOKEN_SAMPLES), IGNORED)
        phonemes = np.full((count, longest // POSITION_SAMPLES), IGNORED)
        for i, example in enumerate(examples):
            pcm[i, : len(example.pcm)] = example.pcm
            targets[i, : len(example.target)] = example.target
            if instruction == TRANSCRIBE:
                self._label(example, words[i], phonemes[i], windows[i])
        return Batch(
            instruction,
            torch.from_numpy(pcm),
            torch.tensor([len(e.pcm) for e in examples]),
            torch.from_numpy(targets),
            torch.from_numpy(windows),
            torch.from_numpy(words),
            torch.from_numpy(phonemes),
        )

    def _label(
        self, example: _Example, words: np.ndarray, phonemes: np.ndarray, windows: np.ndarray
    ) -> None:
        """Fill one item's frame labels and windows in."""
        heard_tokens = len(example.pcm) // TOKEN_SAMPLES
        heard = len(example.pcm) // POSITION_SAMPLES
        words[:heard_tokens] = 0
        phonemes[:heard] = 0
        take = example.take
        if take is None:
            return
        middles = np.arange(heard) * POSITION_SAMPLES + POSITION_SAMPLES // 2
        index = phoneme_at(take, example.lead, middles)
        classes = np.array([self._phonemes[name] for name in take.speech.phonemes])
        phonemes[:heard] = np.where(index >= 0, classes[index], 0)
        spans = take.speech.words + example.lead
        parts = [unit for _, unit in units(take.sentence.text)]
        aligned = take.sentence.language == "en" and len(example.target) == len(parts) + 2
        for k, (unit, (start, end)) in enumerate(zip(parts, spans, strict=True)):
            first = min(round(start / TOKEN_SAMPLES), heard_tokens - 1)
            last = max(first + 1, round(end / TOKEN_SAMPLES))
            words[first : min(last, heard_tokens)] = self._words[unit]
            if aligned:
                windows[k + 1] = (first, min(last, heard_tokens))
        if aligned:
            after = min(int(windows[len(parts), 1]), heard_tokens - 1)
            windows[len(parts) + 1] = (after, heard_tokens)


def _rounded_up(count: int, step: int) -> int:
    """The least multiple of ``step`` that is not below ``count``."""
    return -(-count // step) * step
