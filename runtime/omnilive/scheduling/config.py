"""How many jobs may wait on each lane, and how lanes wait for them. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.limits import check_range

MOST_WAITING = 65_536
"""The highest limit of a lane: jobs hold frames and audio, so more would be no limit."""

LONGEST_SPIN_US = 10_000
"""Beyond this an idle lane would cost more CPU than any wake-up does."""

MOST_CORES = 256

LONGEST_PATIENCE_MS = 60_000
"""A lane that waits for a minute has missed whatever it was for."""


@dataclass(frozen=True)
class LanesConfig:
    """Jobs that may wait on each lane, besides the one that runs."""

    listen: int = 16
    """Utterances to classify and transcribe; at the limit the source waits."""
    see: int = 2
    """Frames to encode; at the limit the oldest waiting frame is dropped."""
    remember: int = 16
    """Clips to compress and questions to ground; at the limit new frames are dropped."""
    reason: int = 16
    """Instruction checks and steps of an answer; only the live generation's wait here."""
    speak: int = 256
    """Sentences to synthesize; near the limit the answer's decoding waits."""
    spin_us: int = 50
    """How long an idle lane looks for work before it sleeps, microseconds; real time only."""
    cores: int = 0
    """Cores that the jobs of all lanes share in real time, of a service those of all its sessions;
    0: as many as an engine runs on, of a service all there are."""
    patience_ms: int = 1_000
    """How long more important lanes may keep the cores from one that is ready, milliseconds."""

    def validate(self) -> None:
        """Raises ConfigError for a value outside its range."""
        check_range("lanes.listen", self.listen, 4, MOST_WAITING, "jobs")
        check_range("lanes.see", self.see, 1, MOST_WAITING, "jobs")
        check_range("lanes.remember", self.remember, 1, MOST_WAITING, "jobs")
        check_range("lanes.reason", self.reason, 4, MOST_WAITING, "jobs")
        check_range("lanes.speak", self.speak, 32, MOST_WAITING, "jobs")
        check_range("lanes.spin_us", self.spin_us, 0, LONGEST_SPIN_US, "microseconds")
        check_range("lanes.cores", self.cores, 0, MOST_CORES, "cores")
        check_range("lanes.patience_ms", self.patience_ms, 0, LONGEST_PATIENCE_MS, "ms")
