"""How often a client may do something: a token bucket over an injected clock."""

from __future__ import annotations

from collections import OrderedDict

MOST_ADDRESSES = 4_096


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


class AddressRates:
    """A rate for each address; of many addresses those are forgotten that were seen longest ago."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._rates: OrderedDict[str, RateLimit] = OrderedDict()

    def take(self, address: str, now_s: float) -> bool:
        """Whether one more of ``address`` may happen now; if so, it is counted."""
        rate = self._rates.pop(address, None) or RateLimit(self._per_s, self._burst, now_s)
        self._rates[address] = rate
        if len(self._rates) > MOST_ADDRESSES:
            self._rates.popitem(last=False)
        return rate.take(now_s)
