"""What engine work costs in virtual time: the stand-in for a device, never used in real time."""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.limits import check_range

LONGEST_COST_US = 60_000_000
"""A minute for one unit of work pictures no device that could keep up with a stream."""


@dataclass(frozen=True)
class VirtualCostConfig:
    """Virtual time per unit of work. The defaults picture an Orin-class device (DESIGN §5)."""

    frame_us: int = 25_000
    """One frame through the memory ViT, microseconds."""
    memory_token_us: int = 150
    """One token through the compressor LM, microseconds."""
    audio_encode_us_per_s: int = 15_000
    """One second of audio through the audio encoder, microseconds."""
    audio_prefill_token_us: int = 150
    """One prompt token of the audio LM, microseconds."""
    audio_decode_step_us: int = 12_000
    """One decode step of the audio LM, microseconds."""
    keyframe_us: int = 8_000
    """One keyframe read from disk, decoded and stitched, microseconds."""
    tile_us: int = 30_000
    """One tile through the reasoner's ViT, microseconds."""
    prefill_token_us: int = 400
    """One prompt token of the reasoner, microseconds."""
    decode_step_us: int = 45_000
    """One decode step of the reasoner, microseconds."""
    speech_us_per_s: int = 50_000
    """One second of synthesized speech, microseconds."""

    def validate(self) -> None:
        """Raises ConfigError for a cost outside its range."""
        for name, value in vars(self).items():
            check_range(f"virtual_cost.{name}", value, 0, LONGEST_COST_US, "microseconds")
