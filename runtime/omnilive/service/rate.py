"""How often a client may do something: a token bucket over an injected clock."""

from __future__ import annotations


class RateLimit:
    """Allows ``per_s`` a second in the long run and ``burst`` at once. Not thread-safe."""

    def __init__(self, per_s: float, burst: int, now_s: float) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._left = float(burst)
        self._at_s = now_s

    def take(self, now_s: float) -> bool:
        """Whether one more may happen now; if so, it is counted. ``now_s`` never goes back."""
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
