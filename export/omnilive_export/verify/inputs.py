"""The seeded inputs of verification: frames, sound, tokens; never read from a file or a clock."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

SAMPLE_RATE = 16_000


def noise_frames(rng: np.random.Generator, count: int, pixels: int) -> U8:
    """Frames uint8 [count, pixels, pixels, 3] of independent noise: every patch differs."""
    return rng.integers(0, 256, (count, pixels, pixels, 3), dtype=np.uint8)


def structured_frames(rng: np.random.Generator, count: int, pixels: int) -> U8:
    """Frames uint8 [count, pixels, pixels, 3]: smooth gradients, a black bar and a white disc.

    Flat, extreme and slowly varying patches, which noise has none of.
    """
    axis = np.linspace(0, 1, pixels)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    frames = np.empty((count, pixels, pixels, 3), np.uint8)
    for frame in frames:
        slopes = rng.uniform(-1, 1, (3, 2))
        smooth = 127 + 120 * np.sin(
            np.pi * (x[..., None] * slopes[:, 0] + y[..., None] * slopes[:, 1])
        )
        frame[:] = smooth.astype(np.uint8)
        bar = int(rng.integers(0, pixels * 3 // 4))
        frame[bar : bar + pixels // 8] = 0
        centre = rng.uniform(0.2, 0.8, 2)
        frame[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 0.03] = 255
    return frames


def speech_like(rng: np.random.Generator, samples: int) -> F32:
    """PCM float32 [samples] at 16 kHz: voiced harmonics, moving pitch, syllables, noise."""
    t = np.arange(samples) / SAMPLE_RATE
    pitch = 120 + 40 * np.sin(2 * np.pi * 0.7 * t + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    voiced = sum(
        np.sin(harmonic * phase) / harmonic * rng.uniform(0.3, 1.0) for harmonic in range(1, 25)
    )
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * t + rng.uniform(0, 6)), 0, 1)
    noise = rng.standard_normal(samples) * 0.01
    return (0.2 * voiced * syllables + noise).astype(np.float32)


def tone_in_silence() -> F32:
    """PCM float32, 1.5 s at 16 kHz: a pure tone between zeros, where log-mel meets its floor."""
    t = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    silence = np.zeros(SAMPLE_RATE // 2)
    return np.concatenate([silence, np.sin(2 * np.pi * 440 * t), silence]).astype(np.float32)


def audio_lengths(least: int, most: int, hop: int) -> tuple[int, ...]:
    """Lengths in samples: the shortest, around whole tokens, odd ones, the longest."""
    token = 4 * hop  # conv stride 2, pool stride 2
    lengths = (least, least + 1, 5 * token - 1, 5 * token, 5 * token + 1, 23_457, 80_000, most)
    return tuple(sorted({min(max(n, least), most) for n in lengths}))


def embeddings(rng: np.random.Generator, rows: int, like: F32) -> F32:
    """Random rows float32 [rows, H] with the root mean square of ``like`` [n, H]."""
    scale = float(np.sqrt(np.mean(np.square(like, dtype=np.float64))))
    return (rng.standard_normal((rows, like.shape[1])) * scale).astype(np.float32)


def token_ids(rng: np.random.Generator, count: int, vocab: int) -> list[int]:
    """Token ids over the whole vocabulary, its first and last among them."""
    return [0, vocab - 1, *(int(i) for i in rng.integers(0, vocab, count - 2))]
