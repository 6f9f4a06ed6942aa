"""A decoded audio frame as mono samples; it knows no time."""

from __future__ import annotations

from av.audio.frame import AudioFrame

from omnilive.sources.audio import F32, mono_float


def mono_of(frame: AudioFrame) -> F32:
    """Mono float32 [n] in [-1, 1] at the frame's own rate, its low-frequency channel left out."""
    names = [channel.name for channel in frame.layout.channels]
    return mono_float(
        frame.to_ndarray(),
        channels=len(names),
        planar=frame.format.is_planar,
        lfe=names.index("LFE") if "LFE" in names else None,
    )
