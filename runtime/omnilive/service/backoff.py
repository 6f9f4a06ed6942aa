"""How long to wait before the next attempt: capped, growing, with jitter. Arithmetic only."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Waits between attempts.

    Attributes:
        first_s: limit of the first wait, seconds.
        longest_s: limit of any wait, seconds.
    """

    first_s: float = 0.5
    longest_s: float = 30.0

    def wait_s(self, failures: int, rng: random.Random) -> float:
        """The wait after ``failures`` failures in a row, 1 or more.

        Half of it is random, so that many clients of one source do not come back at once.
        """
        limit = min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 60))
        return limit * (0.5 + rng.random() / 2)
