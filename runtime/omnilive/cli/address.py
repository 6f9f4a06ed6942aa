"""The address to type into a phone, as text and as a QR code for its camera."""

from __future__ import annotations

import io
import socket
from urllib.parse import urlsplit, urlunsplit

from omnilive.service.access import is_loopback

ANYWHERE = frozenset({"0.0.0.0", "::", "[::]"})
ELSEWHERE = ("192.0.2.1", 9)
"""An address of RFC 5737 that nobody has: nothing is sent to it."""


def reachable(url: str, own_address: str | None = None) -> str:
    """``url`` as another device of the network writes it.

    Args:
        url: what the service listens on, perhaps on every address of this machine.
        own_address: this machine's; asked of the routing table when None.

    Returns:
        ``url`` itself where it names an address already, or where there is no network.
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition(":")[0]
    if host not in ANYWHERE:
        return url
    address = own_address or _own_address()
    return urlunsplit(parts._replace(netloc=f"{address}:{parts.port}")) if address else url


def qr_code(url: str) -> str:
    """``url`` as a QR code in block characters; empty on loopback or without segno."""
    if is_loopback(urlsplit(url).hostname or ""):
        return ""
    try:
        import segno
    except ImportError:
        return ""
    out = io.StringIO()
    segno.make(url, micro=False).terminal(out, compact=True)
    return out.getvalue()


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            asker.connect(ELSEWHERE)
            return str(asker.getsockname()[0])
        except OSError:
            return ""
