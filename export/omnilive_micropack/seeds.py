"""Which seeds belong to training, to calibration and to test; the ranges never meet."""

from __future__ import annotations

import zlib

import numpy as np

TRAINING_SEEDS = range(0, 1_000_000)
CALIBRATION_SEEDS = range(1_000_000, 2_000_000)
TEST_SEEDS = range(2_000_000, 1 << 31)
"""Demo, benchmarks and quality measures; nothing is fitted on them."""

HELD_OUT_PERCENT = 12
"""About so many of the pairs of kind and colour occur in test worlds only."""


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A random stream of its own for each purpose, so that adding draws to one moves no other."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def held_out(kind: str, colour: str) -> bool:
    """Whether objects of this kind in this colour are kept from every training world."""
    return zlib.crc32(f"{colour} {kind}".encode()) % 100 < HELD_OUT_PERCENT
