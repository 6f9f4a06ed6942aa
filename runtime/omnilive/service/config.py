"""How the service listens, whom it lets in, and what a client may ask of it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from omnilive.errors import ConfigError
from omnilive.limits import check_range

MOST_SESSIONS = 256

ICE_SCHEMES = ("stun:", "turn:", "turns:")


@dataclass(frozen=True)
class ServiceConfig:
    """The service itself: where it listens and how many it serves."""

    pack: str = ""
    """Folder of the engine pack."""
    allow_inaccurate: bool = False
    """Serve a pack whose accuracy record missed its tolerance."""
    preset: str = "edge"
    """What the rest of the configuration changes: edge, paper or demo-compat."""
    state: str = "out/serve"
    """Folder the sessions write into, each into one of its own."""
    source: str = ""
    """What the service's own session watches from the start, separated by spaces: URLs, cameras
    and microphones of this machine (``v4l2:///dev/video0 alsa://default``, a Jetson's own camera
    ``csi://0?width=1280&height=720&fps=30&mode=2``), files. Whoever connects
    first talks to that session. Empty: sessions watch what their clients send."""
    host: str = "127.0.0.1"
    """Address to listen on. Off loopback a token, or ``insecure``, is needed."""
    port: int = 8080
    """TCP port; 0 takes a free one."""
    token_file: str = ""
    """File whose first line is the token clients must show; empty for none."""
    insecure: bool = False
    """Serve off loopback without a token, on a network where everybody may ask."""
    tls_certificate: str = ""
    """PEM file of the certificate chain; with ``tls_key`` the service speaks HTTPS."""
    tls_key: str = ""
    """PEM file of the certificate's private key."""
    allowed_origins: str = ""
    """Origins of pages that may connect besides the service's own, separated by spaces."""
    max_sessions: int = 4
    """Sessions at once, if the memory plan has room for them."""
    sessions_per_client: int = 2
    """Sessions at once from one address."""
    grace_s: float = 60.0
    """How long a session waits for its client to come back, seconds."""
    drain_s: float = 10.0
    """How long a stop may take, seconds: most of it for the answers being spoken to end."""
    kept_sessions: int = 32
    """Folders of ended sessions kept under ``state``; the oldest goes when one more begins."""

    def validate(self) -> None:
        """Raises ConfigError for a value outside its range, or half of a TLS pair."""
        check_range("service.port", self.port, 0, 65_535)
        check_range("service.max_sessions", self.max_sessions, 1, MOST_SESSIONS, "sessions")
        check_range("service.sessions_per_client", self.sessions_per_client, 1, MOST_SESSIONS)
        check_range("service.grace_s", self.grace_s, 0, 86_400, "seconds")
        check_range("service.drain_s", self.drain_s, 0, 10, "seconds")
        check_range("service.kept_sessions", self.kept_sessions, 0, 100_000, "folders")
        if not self.host.strip():
            raise ConfigError("is empty", where="service.host", mend="Name an address.")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ConfigError(
                "is set without its other half",
                where="service.tls_certificate" if self.tls_certificate else "service.tls_key",
                mend="Set both tls_certificate and tls_key, or neither.",
            )


@dataclass(frozen=True)
class ClientConfig:
    """What one connection may send and how far behind it may read."""

    picture_bytes: int = 4 << 20
    """Largest compressed picture, bytes."""
    picture_pixels: int = 1920 * 1080 * 4
    """Largest picture, pixels: a small file may hold a very large one."""
    messages_per_s: float = 120.0
    """Messages a client may send a second in the long run: 50 of sound, 30 pictures, and room."""
    message_burst: int = 480
    """Messages a client may send at once after a pause."""
    questions_per_s: float = 2.0
    """Typed questions, stops and the like a client may send a second in the long run."""
    question_burst: int = 10
    """The same at once after a pause."""
    requests_per_s: float = 2.0
    """Connections and completions an address may ask for a second in the long run."""
    request_burst: int = 30
    """The same at once after a pause."""
    fetches_per_s: float = 50.0
    """HTTP requests of any kind an address may make a second in the long run. Behind a proxy
    everybody has its address: raise what counts by address there."""
    fetch_burst: int = 400
    """The same at once after a pause: a page that is opened fetches a picture for every clip."""
    connects_per_s: float = 20.0
    """Connections an address may open a second in the long run; more are closed unread."""
    connect_burst: int = 100
    """The same at once after a pause."""
    connections: int = 64
    """Connections an address may have open at once; more are closed unread."""
    errors: int = 50
    """Messages a connection may get wrong before it is closed."""
    unsent_bytes: int = 4 << 20
    """What may wait for a client that reads slowly, bytes; then it is cut off and may resume."""
    replayed_messages: int = 1_024
    """Newest messages kept for a client that comes back."""
    hello_s: float = 10.0
    """How long a connection may say nothing before its hello, seconds."""
    silence_s: float = 30.0
    """How long a connection may send nothing at all, not even a pong, seconds."""
    pull_schemes: str = "rtmp rtmps rtsp rtsps http https"
    """URL schemes that a client may ask the service to pull from, separated by spaces."""
    pull_hosts: str = ""
    """Hosts it may be asked to pull from, separated by spaces; ``*`` for any. Empty: on loopback
    any, else none."""

    def validate(self) -> None:
        """Raises ConfigError for a value outside its range."""
        check_range("client.picture_bytes", self.picture_bytes, 1 << 10, 64 << 20, "bytes")
        check_range("client.picture_pixels", self.picture_pixels, 1 << 10, 1 << 28, "pixels")
        check_range("client.messages_per_s", self.messages_per_s, 1, 10_000)
        check_range("client.message_burst", self.message_burst, 1, 100_000)
        check_range("client.questions_per_s", self.questions_per_s, 0.01, 1_000)
        check_range("client.question_burst", self.question_burst, 1, 10_000)
        check_range("client.requests_per_s", self.requests_per_s, 0.01, 10_000)
        check_range("client.request_burst", self.request_burst, 1, 100_000)
        check_range("client.fetches_per_s", self.fetches_per_s, 0.01, 100_000)
        check_range("client.fetch_burst", self.fetch_burst, 1, 1_000_000)
        check_range("client.connects_per_s", self.connects_per_s, 0.01, 100_000)
        check_range("client.connect_burst", self.connect_burst, 1, 1_000_000)
        check_range("client.connections", self.connections, 1, 100_000)
        check_range("client.errors", self.errors, 1, 10_000)
        check_range("client.unsent_bytes", self.unsent_bytes, 1 << 16, 1 << 30, "bytes")
        check_range("client.replayed_messages", self.replayed_messages, 1, 1_000_000)
        check_range("client.hello_s", self.hello_s, 0.1, 600, "seconds")
        check_range("client.silence_s", self.silence_s, 1, 3_600, "seconds")


@dataclass(frozen=True)
class WebRtcConfig:
    """WebRTC peers that publish into sessions (WHIP), where the extra ``webrtc`` is installed."""

    enabled: bool = True
    """Take offers at all."""
    peers: int = 8
    """Peers at once, those that are still connecting among them; a session has one."""
    offer_bytes: int = 64 << 10
    """Largest offer, bytes."""
    negotiation_s: float = 15.0
    """How long an offer may take to arrive and be answered, and again how long the peer may then
    take to connect, seconds."""
    idle_s: float = 10.0
    """A peer that gives neither picture nor sound for so long has gone, seconds."""
    bytes_per_s: int = 2_500_000
    """What a peer may send, bytes a second over five seconds; one that sends more is let go."""
    peer_networks: str = ""
    """Networks (``192.168.1.0/24``), separated by spaces, whose addresses the service contacts
    first when an offer names them as candidates. Empty: none; it answers who reaches it."""
    ice_servers: str = ""
    """STUN and TURN servers asked for addresses (``stun:host:3478``, ``turn:host:3478``), separated
    by spaces; one of each kind is used. Empty: no host is asked. Through them a peer is reached
    only at addresses in ``peer_networks``."""
    ice_username: str = ""
    """User name at the TURN server."""
    ice_password_file: str = ""
    """File whose first line is the password at the TURN server; empty for none."""

    def validate(self) -> None:
        """Raises ConfigError for a value outside its range, or what is no network or server."""
        check_range("webrtc.peers", self.peers, 1, MOST_SESSIONS, "peers")
        check_range("webrtc.offer_bytes", self.offer_bytes, 1 << 10, 1 << 20, "bytes")
        check_range("webrtc.negotiation_s", self.negotiation_s, 0.1, 120, "seconds")
        check_range("webrtc.idle_s", self.idle_s, 0.1, 3_600, "seconds")
        check_range("webrtc.bytes_per_s", self.bytes_per_s, 1 << 10, 1 << 30, "bytes a second")
        for network in self.peer_networks.split():
            try:
                ipaddress.ip_network(network)
            except ValueError as e:
                raise ConfigError(
                    f"holds {network!r}, which is no network ({e})",
                    where="webrtc.peer_networks",
                    mend="Write networks as 192.168.1.0/24 or fd00::/8.",
                ) from e
        for server in self.ice_servers.split():
            if not server.startswith(ICE_SCHEMES):
                raise ConfigError(
                    f"holds {server!r}, which is no STUN or TURN server",
                    where="webrtc.ice_servers",
                    mend="Write servers as stun:host:3478 or turn:host:3478?transport=udp.",
                )
