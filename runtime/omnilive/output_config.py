"""How large the files a session writes may grow, and what goes when they do. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.limits import check_range

_MIB = 2**20


@dataclass(frozen=True)
class OutputConfig:
    """Limits of the logs and of the answers' sound. A file that is full goes on in another one."""

    log_part_bytes: int = 256 * _MIB
    """Most bytes of ``events.jsonl`` and of ``timings.jsonl``. A full one is renamed to
    ``events.1.jsonl``, what was there before to ``events.2.jsonl``, and so on; the report reads
    the newest part, which keeps the plain name."""
    log_parts: int = 4
    """Most parts of each log, the current one included; beyond them the oldest is deleted."""
    audio_part_bytes: int = 2_048 * _MIB
    """Most bytes of ``answers.wav``: 18 hours. The sound goes on in ``answers-2.wav``, and so on,
    without a gap."""
    audio_parts: int = 4
    """Most parts of the sound; beyond them the oldest is deleted."""

    def validate(self) -> None:
        """Raises ConfigError for a value outside its range."""
        check_range("output.log_part_bytes", self.log_part_bytes, 4_096, 1_024**4, "bytes")
        check_range("output.log_parts", self.log_parts, 2, 1_000)
        check_range("output.audio_part_bytes", self.audio_part_bytes, 4_096, 4_095 * _MIB, "bytes")
        check_range("output.audio_parts", self.audio_parts, 2, 1_000)
