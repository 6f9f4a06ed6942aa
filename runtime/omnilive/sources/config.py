"""Settings of reading media. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.limits import check_range


@dataclass(frozen=True)
class SourceConfig:
    """How a media source is sampled and how far its faults are tolerated."""

    fps: float = 1.0
    """Frames sampled per second of stream time (spec §10)."""

    max_side_px: int = 1920
    """A frame's longer side is scaled down to this, pixels; it bounds the memory of a frame."""

    max_gap_s: float = 30.0
    """A longer step ahead of everything seen so far is a clock jump, not a pause, seconds."""

    max_still_s: float = 600.0
    """The same for a file of pictures without sound whose header states its length: a slide may
    stand that long, seconds. At least ``max_gap_s`` counts."""

    max_overlap_ms: int = 200
    """A step back no longer than this is jitter: overlapping audio is trimmed, milliseconds."""

    audio_jitter_ms: int = 40
    """Audio timestamps may be off by this much before a gap or an overlap is seen, milliseconds."""

    max_interleave_s: float = 5.0
    """How far one stream of a file may lie behind the other, seconds. It bounds what is held for
    ordering; audio that comes later than this has been replaced by silence."""

    stall_ms: int = 1_000
    """Sound of a live source that is this late is replaced by silence, milliseconds."""

    warnings_per_kind: int = 3
    """Warnings of one kind told one by one; the rest is counted and told at the end."""

    def validate(self) -> None:
        """Raise ConfigError naming the first field that cannot be used."""
        check_range("source.fps", self.fps, 0.1, 30, "frames per second")
        check_range("source.max_side_px", self.max_side_px, 64, 8192, "pixels")
        check_range("source.max_gap_s", self.max_gap_s, 1, 86_400, "s")
        check_range("source.max_still_s", self.max_still_s, 1, 86_400, "s")
        check_range("source.max_overlap_ms", self.max_overlap_ms, 0, 10_000, "ms")
        check_range("source.audio_jitter_ms", self.audio_jitter_ms, 1, 1_000, "ms")
        check_range("source.max_interleave_s", self.max_interleave_s, 0.1, 60, "s")
        check_range("source.stall_ms", self.stall_ms, 100, 60_000, "ms")
        check_range("source.warnings_per_kind", self.warnings_per_kind, 1, 1_000)
