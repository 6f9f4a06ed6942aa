"""Which URLs a client may make the service open: the guard against requests in our name.

It resolves nothing itself and opens nothing.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from omnilive.service.config import ClientConfig
from omnilive.service.faults import ProtocolError

ANY = "*"


def check_pull(url: str, config: ClientConfig, *, on_loopback: bool) -> None:
    """Refuse a URL that this service does not pull from.

    Off loopback, hosts are refused unless ``client.pull_hosts`` names them, so that a client
    cannot reach what only this machine can.

    Raises:
        ProtocolError: ``forbidden``.
    """
    if not url.isprintable() or any(c.isspace() for c in url):
        raise ProtocolError("forbidden", "the URL holds blanks or control characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as e:
        raise ProtocolError("forbidden", "the URL cannot be read") from e
    if parts.scheme not in config.pull_schemes.split():
        raise ProtocolError("forbidden", f"the scheme is none of {config.pull_schemes}")
    if not host or port == 0:
        raise ProtocolError("forbidden", "the URL names no host")
    if parts.username or parts.password:
        raise ProtocolError("forbidden", "the URL holds a user name or password")
    hosts = config.pull_hosts.split() or ([ANY] if on_loopback else [])
    if ANY not in hosts and host not in hosts:
        raise ProtocolError("forbidden", "the host is not in client.pull_hosts")
