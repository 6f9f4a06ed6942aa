"""Turns audio into a sound class or words, step by step. It never decides what to listen to.

One greedy pass of the audio LM per call: the encoder's window, then the prompt in pieces, then a
token at a time. The part of the prompt before the audio is the same every time, so its KV stays in
the arena and each call begins by truncating to it; a call may be broken off after any step.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from omnilive.engine.interface import F32, KvArena
from omnilive.engine.pack import EnginePack
from omnilive.errors import EngineError
from omnilive.perception.config import RecognitionConfig
from omnilive.perception.language import Language, detect_language, strip_tags
from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive.steps import finish

# ChatML of ms-swift's qwen2-audio template (spec §1.2); <|AUDIO|> stands for the embeddings.
BEFORE_AUDIO = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\nAudio 1: <|audio_bos|>"
)
AFTER_AUDIO = "<|audio_eos|>\n{instruction}<|im_end|>\n<|im_start|>assistant\n"
CLASSIFY = "Classify the audio."
TRANSCRIBE = "Detect the language and recognize the speech."
_NO_ROWS = np.zeros(0, np.int64)


@dataclass(frozen=True)
class SoundClass:
    """What the background sounds like.

    Attributes:
        label: the class's English name; ``silence`` when there was nothing to hear.
        tokens: tokens generated.
        prompt_tokens: length of the prompt, audio included.
    """

    label: str
    tokens: int
    prompt_tokens: int


@dataclass(frozen=True)
class Transcript:
    """What was said: the words without tags, their language, and the tokens it took."""

    text: str
    language: Language
    tokens: int
    prompt_tokens: int


@dataclass(frozen=True)
class AudioStep:
    """What one step ran: samples encoded, prompt tokens prefilled, tokens decoded."""

    samples: int = 0
    prompt_tokens: int = 0
    tokens: int = 0


class AudioModel:
    """The audio encoder and LM of a pack. One call at a time."""

    def __init__(self, pack: EnginePack, config: RecognitionConfig) -> None:
        """Prepare the prompts; engines load at the first call."""
        config.validate()
        self._pack = pack
        self._config = config
        self._spec = pack.manifest.audio
        self._tokenizer = pack.tokenizer("audio")
        self._before = self._tokenizer.encode(BEFORE_AUDIO, allow_special=True)
        self._after = {
            instruction: self._tokenizer.encode(
                AFTER_AUDIO.format(instruction=instruction), allow_special=True
            )
            for instruction in (CLASSIFY, TRANSCRIBE)
        }
        self._stop = frozenset(self._spec.eos_ids)
        self._arena: KvArena | None = None

    def classify(self, samples: F32) -> SoundClass:
        """``classifying`` without a pause."""
        return finish(self.classifying(samples))

    def transcribe(self, samples: F32) -> Transcript:
        """``transcribing`` without a pause."""
        return finish(self.transcribing(samples))

    def classifying(self, samples: F32) -> Generator[AudioStep, None, SoundClass]:
        """Steps that name the sound of float32 [n] at 16 kHz, n ≤ the engine's ``max_samples``.

        Raises:
            EngineError: more samples than that, or the engine failed.
        """
        if len(samples) == 0:
            return SoundClass("silence", 0, 0)
        text, tokens, prompt_tokens = yield from self._answer(
            samples, CLASSIFY, self._config.max_label_tokens
        )
        return SoundClass(text, tokens, prompt_tokens)

    def transcribing(self, samples: F32) -> Generator[AudioStep, None, Transcript]:
        """Steps that write down float32 [n] at 16 kHz, n ≤ the engine's ``max_samples``.

        The length of the text is bounded by the duration (``max_tokens_per_s``): on noise the
        model can repeat itself without end, and speech has only so many words per second.

        Raises:
            EngineError: more samples than that, or the engine failed.
        """
        if len(samples) == 0:
            return Transcript("", "en", 0, 0)
        seconds = len(samples) / SAMPLE_RATE_HZ
        bound = self._config.base_tokens + math.ceil(seconds * self._config.max_tokens_per_s)
        text, tokens, prompt_tokens = yield from self._answer(
            samples, TRANSCRIBE, min(self._config.max_tokens, bound)
        )
        return Transcript(text, detect_language(text), tokens, prompt_tokens)

    def _answer(
        self, samples: F32, instruction: str, max_tokens: int
    ) -> Generator[AudioStep, None, tuple[str, int, int]]:
        """Steps to the greedy answer without tags, tokens generated, prompt tokens.

        The encoder looks at its whole window at once (its attention is not causal), so that is
        one step.
        """
        decoder = self._pack.decoder("aud_lm")
        table = self._pack.table("aud_embed")
        arena = self._prefix()
        audio = self._encode(samples)
        yield AudioStep(samples=len(samples), prompt_tokens=len(self._before))
        prompt = np.concatenate([audio, table.rows(self._after[instruction])])
        prompt_tokens = len(self._before) + len(prompt)
        room = arena.capacity - prompt_tokens
        for start in range(0, len(prompt), self._config.step_tokens):
            block = prompt[start : start + self._config.step_tokens]
            last = start + len(block) == len(prompt)
            logits = decoder.logits(arena, block, rows=None if last else _NO_ROWS)
            yield AudioStep(prompt_tokens=len(block))
        ids: list[int] = []
        while True:
            best = int(np.argmax(logits[-1]))
            if best in self._stop:
                break
            ids.append(best)
            if len(ids) >= min(max_tokens, room):
                break
            logits = decoder.logits(arena, table.rows([best]))
            yield AudioStep(tokens=1)
        return strip_tags(self._tokenizer.decode(ids)), len(ids), prompt_tokens

    def _prefix(self) -> KvArena:
        """The arena, holding just the KV of what comes before the audio."""
        if self._arena is None:
            decoder = self._pack.decoder("aud_lm")
            arena = decoder.new_arena(self._capacity())
            decoder.logits(arena, self._pack.table("aud_embed").rows(self._before))
            self._arena = arena
        self._arena.truncate(len(self._before))
        return self._arena

    def _capacity(self) -> int:
        """Tokens of the longest call, as far as the engine's positions reach."""
        longest = max(len(after) for after in self._after.values())
        generated = max(self._config.max_tokens, self._config.max_label_tokens)
        audio = audio_tokens(self._spec.max_samples, self._spec.hop)
        return min(self._spec.max_positions, len(self._before) + audio + longest + generated)

    def _encode(self, samples: F32) -> F32:
        """Audio embeddings [n, hidden]; samples shorter than the engine takes get silence."""
        if len(samples) > self._spec.max_samples:
            raise EngineError(
                f"is given {len(samples)} samples of audio, it takes {self._spec.max_samples}",
                where="engine aud_enc",
                mend="Lower vad.max_utterance_ms or vad.background_ms.",
            )
        missing = max(0, self._spec.min_samples - len(samples))
        pcm = np.pad(samples, (0, missing))[None]
        embeds: F32 = self._pack.engine("aud_enc").run({"pcm": pcm})["embeds"][0]
        return embeds


def audio_tokens(samples: int, hop: int) -> int:
    """Tokens the audio encoder makes of ``samples``: two halvings of its frames (spec §1.2)."""
    frames = -(-samples // hop)
    halved = (frames - 1) // 2 + 1
    return (halved - 2) // 2 + 1
