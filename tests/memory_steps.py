"""Steps of the memory stage run at once, for tests that do not look between them."""

from __future__ import annotations

from collections.abc import Sequence

from omnilive.engine.interface import F32
from omnilive.memory.clip import Clip
from omnilive.memory.compressor import CompressedClip, Compressor
from omnilive.memory.long_term import LongTermMemory


def compress(
    compressor: Compressor, features: Sequence[F32], start_us: int = 0, end_us: int = 0
) -> CompressedClip:
    """One compression; its place is given back whatever happens."""
    compression = compressor.begin(features, start_us, end_us)
    try:
        while not compression.step():
            pass
    finally:
        compression.cancel()
    return compression.result


def integrate(memory: LongTermMemory, clips: Sequence[Clip]) -> F32:
    """One integration: long-term memory [K, H] of the window of ``clips``."""
    integration = memory.begin(clips)
    while not integration.step():
        pass
    return integration.result
