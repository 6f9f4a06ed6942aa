"""What a graph builder needs to know of each architecture: dimensions and constants, no weights.

Data only. Every value comes from a config.json; nothing here may be a fact about one checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClipVitSpec:
    """A CLIP vision tower run up to one hidden state (spec §1.3, §1.7).

    Attributes:
        pixels: side of the square input.
        patch: side of a patch in pixels.
        hidden, heads, intermediate: widths of the encoder.
        layers: encoder layers to run; those after the selected hidden state are left out.
        activation: ``quick_gelu`` or ``gelu``.
        eps: of the layer norms.
        mean, std: per RGB channel, of values in [0, 1].
    """

    pixels: int
    patch: int
    hidden: int
    heads: int
    intermediate: int
    layers: int
    activation: str
    eps: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def patches(self) -> int:
        """Patches per side."""
        return self.pixels // self.patch

    @property
    def grid(self) -> int:
        """Tokens per side after 2×2 mixing."""
        return self.patches // 2

    @property
    def features(self) -> int:
        """Width of a 2×2-mixed token."""
        return 4 * self.hidden


@dataclass(frozen=True)
class PoolProjectorSpec:
    """The compressor's projector (spec §2.2): ``side``² slots per frame of ``grid``² tokens."""

    grid: int
    features: int
    side: int
    hidden: int

    @property
    def slots(self) -> int:
        """Pooled tokens per frame."""
        return self.side * self.side


@dataclass(frozen=True)
class MlpSpec:
    """Linear, GELU (erf), Linear: the shape of every projector into the reasoner."""

    inputs: int
    middle: int
    outputs: int


@dataclass(frozen=True)
class Llama3Scaling:
    """Scaling of rotary frequencies by their wavelength, in positions.

    Those longer than ``original_positions`` / ``low`` are divided by ``factor``, those shorter than
    ``original_positions`` / ``high`` are kept, and those between go from one to the other.
    """

    factor: float
    low: float
    high: float
    original_positions: int


@dataclass(frozen=True)
class RopeSpec:
    """Rotary positions of the half-split form.

    Attributes:
        theta: base of the frequencies.
        position_divisor: linear scaling of positions, as InternLM2 does it; 1 when there is none.
        frequency_divisor: the same of frequencies, as Hugging Face's classes do it, which rounds
            otherwise.
        dynamic_from: length of a sequence beyond which dynamic NTK scaling would change every
            frequency (spec §1.3); None when there is no such scaling.
        llama3: Llama 3.1's scaling of the low frequencies; None when there is none.
    """

    theta: float
    position_divisor: float = 1.0
    frequency_divisor: float = 1.0
    dynamic_from: int | None = None
    llama3: Llama3Scaling | None = None


@dataclass(frozen=True)
class DecoderSpec:
    """A pre-norm causal decoder with grouped queries and SwiGLU (Qwen, Llama and InternLM2).

    Attributes:
        max_positions: longest context; a decoder with dynamic NTK is bounded to the length up to
            which its frequencies are the plain ones.
        eps: of the RMS norms.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    max_positions: int
    eps: float
    rope: RopeSpec

    @property
    def q_width(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all key heads, and of all value heads."""
        return self.kv_heads * self.head_dim

    @property
    def qkv_width(self) -> int:
        """Width of queries, keys and values packed side by side."""
        return self.q_width + 2 * self.kv_width


@dataclass(frozen=True)
class LogMelSpec:
    """Whisper's log-mel front end (spec §1.2).

    Attributes:
        sample_rate: Hz.
        n_fft, hop: window and step in samples.
        bins: mel bands.
        max_frames: frames of the longest input.
    """

    sample_rate: int
    n_fft: int
    hop: int
    bins: int
    max_frames: int

    @property
    def max_samples(self) -> int:
        """Longest input in samples."""
        return self.max_frames * self.hop


@dataclass(frozen=True)
class WhisperEncoderSpec:
    """Whisper's encoder; Qwen2-Audio's has average pooling by 2 and a linear at its end.

    Attributes:
        mel: the front end.
        positions: rows of the position table.
        activation: ``gelu`` or ``quick_gelu``.
        eps: of the layer norms.
        outputs: width of what it gives: of the LM it feeds, or its own.
    """

    mel: LogMelSpec
    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    activation: str
    eps: float
    outputs: int

    @property
    def min_samples(self) -> int:
        """Shortest input that gives one token: three mel frames, so two pooled positions."""
        return 2 * self.mel.hop + 1
