"""Which worlds and utterances a ``--seed`` means.

All lie in the test range, from which nothing is learned. It draws numbers and makes nothing.
"""

from __future__ import annotations

import zlib

import numpy as np

from omnilive_micropack.seeds import TEST_SEEDS


def test_seed(seed: int, purpose: str, part: int) -> int:
    """The seed of one part of a measure: any ``seed`` ≥ 0 means test seeds of its own."""
    mixed = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), part])
    return TEST_SEEDS.start + int(mixed.generate_state(1, np.uint64)[0] % len(TEST_SEEDS))
