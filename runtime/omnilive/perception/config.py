"""Settings of perception: when speech begins and ends, and how it is recognised. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.errors import ConfigError
from omnilive.limits import check_range


@dataclass(frozen=True)
class VadConfig:
    """Voice activity and the borders of utterances. The VAD looks at 32 ms at a time."""

    threshold: float = 0.5
    """Speech begins, or goes on after a pause, at this probability."""

    neg_threshold: float = 0.35
    """Speech pauses below this probability."""

    min_speech_ms: int = 160
    """A voiced run shorter than this begins no utterance, milliseconds."""

    endpoint_silence_ms: int = 384
    """An utterance ends after this much silence, milliseconds (reference: 800, spec §3.1). The VAD
    falls silent some 90 ms after the last voiced sample."""

    pre_roll_ms: int = 500
    """Audio kept from before the onset, milliseconds."""

    reopen_grace_ms: int = 800
    """Speech that begins within this time after an endpoint continues the utterance,
    milliseconds, unless its answer can already be heard; 0 never continues one."""

    answer_hold_ms: int = 288
    """An answer begins to sound no sooner than this after the endpoint, nor while a voice is heard
    that may go on with the utterance, milliseconds: a pause of 600 ms amid a sentence, which is an
    endpoint first, does not split it however fast the answer is. Without ``reopen_grace_ms``
    nothing is held."""

    max_utterance_ms: int = 29_900
    """A longer utterance is split; the audio encoder takes 30 s (spec §3.2), milliseconds."""

    split_search_ms: int = 3_000
    """A split is made at the quietest moment of the last so many milliseconds."""

    background_ms: int = 3_840
    """Most non-speech audio kept for sound classification, milliseconds (30 blocks, spec §10)."""

    background_guard_ms: int = 128
    """Audio this close before an onset may hold its beginning and is no background,
    milliseconds (one block, spec §3.1)."""

    def validate(self) -> None:
        """Raise ConfigError naming the first field that cannot be used."""
        check_range("vad.threshold", self.threshold, 0.01, 0.99)
        check_range("vad.neg_threshold", self.neg_threshold, 0.0, self.threshold)
        check_range("vad.min_speech_ms", self.min_speech_ms, 32, 2_000, "ms")
        check_range("vad.endpoint_silence_ms", self.endpoint_silence_ms, 32, 10_000, "ms")
        check_range("vad.pre_roll_ms", self.pre_roll_ms, 0, 5_000, "ms")
        check_range("vad.reopen_grace_ms", self.reopen_grace_ms, 0, 10_000, "ms")
        check_range("vad.answer_hold_ms", self.answer_hold_ms, 0, 10_000, "ms")
        check_range("vad.max_utterance_ms", self.max_utterance_ms, 1_000, 30_000, "ms")
        check_range("vad.split_search_ms", self.split_search_ms, 32, 10_000, "ms")
        check_range("vad.background_ms", self.background_ms, 32, 30_000, "ms")
        check_range("vad.background_guard_ms", self.background_guard_ms, 0, 1_000, "ms")
        around = self.pre_roll_ms + self.min_speech_ms + self.reopen_grace_ms
        shortest = around + self.endpoint_silence_ms + 64
        if self.max_utterance_ms < shortest:
            raise ConfigError(
                f"is {self.max_utterance_ms}, less than the pauses around the shortest speech",
                where="vad.max_utterance_ms",
                mend=f"Choose at least {shortest} ms.",
            )


@dataclass(frozen=True)
class RecognitionConfig:
    """Bounds on what the audio model writes."""

    max_tokens: int = 256
    """Most tokens of a transcript (spec §3.2)."""

    max_label_tokens: int = 16
    """Most tokens of a sound class."""

    max_tokens_per_s: float = 12.0
    """Most transcript tokens per second of audio. Nobody speaks faster; a model that has lost
    its way repeats itself, and this bounds what that costs."""

    base_tokens: int = 16
    """Transcript tokens allowed besides, for tags and for very short audio."""

    step_tokens: int = 256
    """Prompt tokens per prefill step: the longest piece of it nothing else can interrupt."""

    def validate(self) -> None:
        """Raise ConfigError naming the first field that cannot be used."""
        check_range("recognition.max_tokens", self.max_tokens, 1, 1_024, "tokens")
        check_range("recognition.max_label_tokens", self.max_label_tokens, 1, 64, "tokens")
        check_range("recognition.max_tokens_per_s", self.max_tokens_per_s, 1, 100, "tokens per s")
        check_range("recognition.base_tokens", self.base_tokens, 1, 256, "tokens")
        check_range("recognition.step_tokens", self.step_tokens, 1, 65_536, "tokens")
