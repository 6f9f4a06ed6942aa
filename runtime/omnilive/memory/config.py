"""Settings of the memory stage, one frozen dataclass per concern; it never reads a file.

Defaults are the reference's constants (spec §10) where it has one. ``validate`` raises
ConfigError naming ``section.field``; the section is the field of ``RuntimeConfig`` that
holds it.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

from omnilive.errors import ConfigError
from omnilive.limits import check_choice, check_range

CUT_FEATURES = ("cls", "mean_patch")
RULES = ("softmax_threshold", "top_k", "best_above", "earliest_above")
FALLBACKS = ("none", "best_clip", "last_frames", "all_frames")
ALGORITHMS = ("incremental", "naive")


@dataclass(frozen=True)
class MemoryConfig:
    """How memory is kept up to date."""

    algorithm: str = "incremental"
    """``incremental``: each piece of work once. ``naive``: the reference demo's (spec §2.9), to
    compare with: every frame sends the open clip through ViT and compressor again and the whole
    window of clips through the integration, and no KV is kept. It leads to the same memory, and
    holds the open clip's frames uncompressed."""

    @property
    def keeps_kv(self) -> bool:
        """Whether the KV of one pass serves the next."""
        return self.algorithm == "incremental"

    def validate(self) -> None:
        """Raise ConfigError for an unknown algorithm."""
        check_choice("memory.algorithm", self.algorithm, ALGORITHMS)


@dataclass(frozen=True)
class SegmentationConfig:
    """When a clip ends (spec §2.9)."""

    clip_min: int = 3
    """Frames a clip must hold before anything may end it."""

    clip_max: int = 16
    """Frames at which a clip ends whatever it shows; also the compressor's longest clip."""

    cut_feature: str = "cls"
    """What is compared from frame to frame: ``cls`` or ``mean_patch`` (mean patch feature)."""

    cut_cosine: float | None = None
    """Cosine at or below which two frames belong to different clips; None: the pack's
    calibration, else the documented default (``segmentation.DEFAULT_CUT_COSINE``)."""

    def validate(self) -> None:
        """Raise ConfigError for the first value outside its range."""
        check_range("segmentation.clip_min", self.clip_min, 1, 256, "frames")
        check_range("segmentation.clip_max", self.clip_max, self.clip_min, 256, "frames")
        check_choice("segmentation.cut_feature", self.cut_feature, CUT_FEATURES)
        if self.cut_cosine is not None:
            check_range("segmentation.cut_cosine", self.cut_cosine, -1.0, 1.0)


@dataclass(frozen=True)
class CompressionConfig:
    """How a clip becomes H and Ĥ (spec §2.3)."""

    prompt: str = "This contains a clip sampled in {start} to {end} seconds"
    """Text before the clip's tokens; {start} and {end} are whole seconds of stream PTS."""

    step_tokens: int = 256
    """Tokens per prefill step: the longest piece of work nothing else can interrupt."""

    max_concurrent: int = 2
    """Compressions that may be under way at once, each with a KV arena of its own: one for a
    clip that closed, one for the open clip a question asks about."""

    def validate(self) -> None:
        """Raise ConfigError for the first value outside its range."""
        try:
            names = sorted(name for _, name, _, _ in string.Formatter().parse(self.prompt) if name)
        except ValueError:
            names = []
        if names != ["end", "start"]:
            raise ConfigError(
                f"is {self.prompt!r}",
                where="compression.prompt",
                mend="Give a text that holds {start} and {end} once each and no other braces.",
            )
        check_range("compression.step_tokens", self.step_tokens, 1, 65_536, "tokens")
        check_range("compression.max_concurrent", self.max_concurrent, 1, 16)


@dataclass(frozen=True)
class LongTermConfig:
    """How clips become long-term memory (spec §2.4)."""

    max_clips: int = 32
    """Newest clips integrated exactly (M); 32 is what the reference was run with offline. The
    engine's positions may allow fewer. Older clips stay retrievable by Ĥ."""

    step_tokens: int = 256
    """Tokens per prefill step: the longest piece of work nothing else can interrupt."""

    def validate(self) -> None:
        """Raise ConfigError for the first value outside its range."""
        check_range("long_term.max_clips", self.max_clips, 1, 4096, "clips")
        check_range("long_term.step_tokens", self.step_tokens, 1, 65_536, "tokens")


@dataclass(frozen=True)
class RetrievalConfig:
    """Which clips a question is about (spec §2.5, §2.6)."""

    rule: str = "softmax_threshold"
    """``softmax_threshold``, ``top_k``, ``best_above`` or ``earliest_above`` (the released
    demo's, kept for comparison)."""

    temperature: float = 0.1
    """Softmax temperature over cosines."""

    min_probability: float = 0.2
    """``softmax_threshold`` selects clips with a probability above this."""

    top_k: int = 4
    """``top_k`` selects at most this many clips."""

    min_cosine: float = 0.3
    """``best_above`` and ``earliest_above`` need a cosine above this."""

    candidates: int = 32
    """The softmax runs over this many best-scoring clips. Up to that many clips it is the
    reference's softmax (whose sessions had at most 32); beyond, it keeps hours of unrelated
    clips from diluting every probability below the threshold."""

    fallback: str = "best_clip"
    """What stands in when no clip passes the rule: ``none``, ``best_clip`` (the one that fits best:
    several that fit alike are each improbable, and to show one of them is better than none),
    ``last_frames`` (the newest clip's, as in the reference's demos) or ``all_frames`` (of every
    clip, thinned to the budget, as in its offline example). No short-term memory comes with the
    last two."""

    fallback_frames: int = 3
    """Frames that ``last_frames`` gives."""

    max_question_tokens: int = 256
    """A longer question is cut to its last this many tokens."""

    step_tokens: int = 256
    """Tokens per prefill step: the longest piece of work nothing else can interrupt."""

    def validate(self) -> None:
        """Raise ConfigError for the first value outside its range."""
        check_choice("retrieval.rule", self.rule, RULES)
        check_range("retrieval.temperature", self.temperature, 1e-3, 100.0)
        check_range("retrieval.min_probability", self.min_probability, 0.0, 1.0)
        check_range("retrieval.top_k", self.top_k, 1, 4096, "clips")
        check_range("retrieval.min_cosine", self.min_cosine, -1.0, 1.0)
        check_range("retrieval.candidates", self.candidates, 1, 1_000_000, "clips")
        check_choice("retrieval.fallback", self.fallback, FALLBACKS)
        check_range("retrieval.fallback_frames", self.fallback_frames, 1, 256, "frames")
        check_range("retrieval.max_question_tokens", self.max_question_tokens, 1, 4096, "tokens")
        check_range("retrieval.step_tokens", self.step_tokens, 1, 65_536, "tokens")


@dataclass(frozen=True)
class KeyframeConfig:
    """How frames live on as JPEG files."""

    quota_bytes: int = 256 * 2**20
    """Bytes of JPEG kept; the oldest go first."""

    max_age_s: float = 24 * 3600.0
    """Seconds of stream time a keyframe is kept."""

    max_side: int = 1280
    """Longest side in pixels; larger frames are scaled down so that the quota lasts."""

    quality: int = 85
    """JPEG quality."""

    def validate(self) -> None:
        """Raise ConfigError for the first value outside its range."""
        check_range("keyframes.quota_bytes", self.quota_bytes, 2**16, 2**50, "bytes")
        check_range("keyframes.max_age_s", self.max_age_s, 1.0, 1e9, "s")
        check_range("keyframes.max_side", self.max_side, 32, 8192, "pixels")
        check_range("keyframes.quality", self.quality, 1, 95)


@dataclass(frozen=True)
class StoreConfig:
    """How many clips the memory holds."""

    max_clips: int = 20_000
    """Clips kept at all, the oldest dropped first: 3.7 days of 16-second clips, retrievable by
    Ĥ (6 KB each at width 1536)."""

    max_short_term_clips: int = 256
    """Newest clips that keep H as well (393 KB each at 16 frames and width 1536). At least
    ``long_term.max_clips``, or long-term memory integrates fewer clips than asked."""

    def validate(self) -> None:
        """Raise ConfigError for the first value outside its range."""
        check_range("store.max_clips", self.max_clips, 1, 10_000_000, "clips")
        high = self.max_clips
        check_range("store.max_short_term_clips", self.max_short_term_clips, 1, high, "clips")
