"""Whom WebRTC may contact, and where it listens: from the configuration, without a library.

It opens nothing and resolves nothing.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from omnilive.errors import ConfigError
from omnilive.service.config import WebRtcConfig

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class IcePolicy:
    """How peers are reached.

    Attributes:
        addresses: of this machine to be reached at; empty for all of its interfaces.
        networks: where an address named in an offer may be contacted first.
        servers: STUN and TURN servers asked for further addresses.
        username, password: shown to the TURN server.
    """

    addresses: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    servers: tuple[str, ...] = ()
    username: str = ""
    password: str = ""

    def may_contact(self, host: str) -> bool:
        """Whether a candidate at ``host`` may be sent the first packet; names never are."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self.networks)


def ice_policy(config: WebRtcConfig, host: str) -> IcePolicy:
    """The policy of a service that listens on ``host``: WebRTC listens where HTTP does.

    Raises:
        ConfigError: the password file cannot be read.
    """
    return IcePolicy(
        addresses=_listening(host),
        networks=tuple(ipaddress.ip_network(n) for n in config.peer_networks.split()),
        servers=tuple(config.ice_servers.split()),
        username=config.ice_username,
        password=_password(config.ice_password_file),
    )


def _listening(host: str) -> tuple[str, ...]:
    if host == "localhost":
        return ("127.0.0.1",)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ()
    return () if address.is_unspecified else (str(address),)


def _password(name: str) -> str:
    if not name:
        return ""
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(
            f"cannot be read ({getattr(e, 'strerror', None) or 'it is no text'})",
            where=name,
            mend="Check webrtc.ice_password_file and who may read it.",
        ) from e
    return lines[0].strip() if lines else ""
