"""How often a client may do something: a token bucket over an injected clock."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

from omnilive.service.config import ClientConfig

HOME_BITS = 64
"""One subscriber of IPv6 has a network of this prefix, and as many addresses as it likes in it."""

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


class SessionRates:
    """What the client of one session may send: its connections share it, however often it comes.

    Attributes:
        messages: of any kind.
        questions: those that make the engines or a source begin anew.
    """

    def __init__(self, config: ClientConfig, now_s: float) -> None:
        self.messages = RateLimit(config.messages_per_s, config.message_burst, now_s)
        self.questions = RateLimit(config.questions_per_s, config.question_burst, now_s)


def client_of(address: str | None) -> str:
    """Whose an address is: of IPv6 a subscriber's whole network counts as one client."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, HOME_BITS), strict=False))


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
