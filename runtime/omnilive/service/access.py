"""Who may connect: tokens, origins, and the addresses the service may listen on without them.

Plain functions over strings; they log nothing, so that no token is ever written anywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from pathlib import Path
from urllib.parse import urlsplit

from omnilive.errors import ConfigError
from omnilive.service.config import ServiceConfig

SHORTEST_TOKEN = 16
"""Letters of the shortest token taken: fewer could be guessed."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(config: ServiceConfig) -> str:
    """The token clients must show; empty when none is asked for.

    Raises:
        ConfigError: the file cannot be read or holds no usable token, or the service would be
            open to a network without one.
    """
    if not config.token_file:
        if config.insecure or is_loopback(config.host):
            return ""
        raise ConfigError(
            f"is {config.host!r}, which others can reach, and no token is asked of them",
            where="service.host",
            mend="Set service.token_file, or listen on 127.0.0.1, or pass --insecure.",
        )
    file = Path(config.token_file)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(
            f"cannot be read ({getattr(e, 'strerror', None) or 'it is no text'})",
            where=str(file),
            mend="Check service.token_file and who may read it.",
        ) from e
    token = lines[0].strip() if lines else ""
    if len(token) < SHORTEST_TOKEN or not (token.isascii() and token.isprintable()):
        raise ConfigError(
            "holds no usable token",
            where=str(file),
            mend=f"Write {SHORTEST_TOKEN} or more ASCII letters on its first line.",
        )
    return token


def token_matches(expected: str, shown: str) -> bool:
    """Whether ``shown`` is the token, in a time that does not depend on where they differ."""
    return hmac.compare_digest(_digest(expected), _digest(shown))


def origin_allowed(origin: str | None, host: str, allowed: str) -> bool:
    """Whether a page of ``origin`` may open a WebSocket, or change anything.

    Args:
        origin: the request's Origin header; None from programs that are no browsers, which no
            page can make act for its user.
        host: the request's Host header.
        allowed: further origins, separated by spaces.
    """
    if origin is None:
        return True
    parts = urlsplit(origin)
    return (parts.scheme in ("http", "https") and parts.netloc == host) or origin in allowed.split()


def host_allowed(host: str, own: str, allowed: str) -> bool:
    """Whether a request to a service without a token may name ``host``.

    A page whose name an attacker lets point at this machine (DNS rebinding) counts as of the
    service's own origin; its requests name the attacker's host. So names are taken that nobody
    else can give away: addresses, ``localhost``, this machine's and the configured ones.

    Args:
        host: the request's Host header.
        own: what the service listens on.
        allowed: further origins, separated by spaces.
    """
    name = urlsplit(f"//{host}").hostname or ""
    if _is_address(name) or name in ("localhost", own.lower(), socket.gethostname().lower()):
        return True
    return name in {urlsplit(origin).hostname for origin in allowed.split()}


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
