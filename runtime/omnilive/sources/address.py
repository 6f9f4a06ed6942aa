"""Opens what gives as long as it likes: streams by URL, cameras and microphones of this machine.

It says which of FFmpeg's options each kind needs; it decides nothing about who may open what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import av

from omnilive.errors import SourceError
from omnilive.sources.config import SourceConfig
from omnilive.sources.csi import open_csi
from omnilive.sources.demux import Opening
from omnilive.sources.media import open_media
from omnilive.sources.types import Source

OpenNested = Callable[[str, int, dict[str, str]], Any]
"""Opens an address for reading and whatever it leads to: (URL, FFmpeg's flags, its options) to a
binary file. It raises what it refuses."""

LIVE_OPTIONS: Mapping[str, str] = {
    # An answer should not wait for a probe; a live stream tells what it is within a second.
    "analyzeduration": "1000000",
}

PROTOCOLS: Mapping[str, str] = {
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tls,tcp",
    "rtsp": "rtsp,rtp,rtcp,udp,tcp",
    "rtsps": "rtsps,rtsp,rtp,tls,tcp",
    "http": "http,https,tcp,tls,crypto,data,httpproxy",
    "https": "http,https,tcp,tls,crypto,data,httpproxy",
}
"""What a stream of each scheme may lead FFmpeg to: never to a file of this machine."""

OPTIONS: Mapping[str, Mapping[str, str]] = {
    # Over TCP nothing is lost, and no port is opened to whom the server names.
    "rtsp": {"rtsp_transport": "tcp"},
    "rtsps": {"rtsp_transport": "tcp"},
}

NESTED_OPTIONS: Mapping[str, str] = {"http_persistent": "0", "http_multiple": "0"}
"""With a reader of our own FFmpeg must ask it for every segment, and for none ahead."""

DEVICES: Mapping[str, str] = {"v4l2": "video4linux2", "alsa": "alsa"}
"""FFmpeg's name of the device behind each of these schemes."""

CSI = "csi"
"""Scheme of a Jetson's own cameras, which GStreamer reads."""

FROM_NOW_ON = frozenset({"rtmp", "rtmps", "rtsp", "rtsps", "v4l2", "alsa", CSI})
"""Schemes whose streams come as they happen; what comes faster at first is older than now."""


def scheme_of(address: str) -> str:
    """Scheme of an address; empty for a file."""
    return urlsplit(address).scheme if "://" in address else ""


def open_address(
    address: str,
    config: SourceConfig,
    timeout_s: float,
    open_nested: OpenNested | None = None,
) -> Source:
    """Open an address and look at its beginning.

    Args:
        address: a URL of one of ``PROTOCOLS``, ``v4l2:///dev/video0``, ``alsa://default``,
            ``csi://0``, or a file.
        config: how it is sampled.
        timeout_s: longest wait for it to give anything, seconds.
        open_nested: what reads ``http`` and ``https`` instead of FFmpeg.

    Raises:
        SourceError: it cannot be opened, or FFmpeg was built without what it needs.
    """
    scheme = scheme_of(address)
    if not scheme:
        return open_media(address, config)
    if scheme == CSI:
        return open_csi(address, config, timeout_s)
    if scheme in DEVICES:
        return open_media(device_path(address), config, _device(scheme, address, timeout_s))
    if scheme not in PROTOCOLS:
        raise SourceError(
            f"is of the scheme {scheme!r}",
            where=f"{scheme}://",
            mend=f"Use one of {', '.join([*PROTOCOLS, *DEVICES, CSI])}, or a file.",
        )
    options = {
        **LIVE_OPTIONS,
        **OPTIONS.get(scheme, {}),
        "protocol_whitelist": PROTOCOLS[scheme],
    }
    if open_nested is None or not scheme.startswith("http"):
        return open_media(address, config, Opening(timeout_s, options=options))
    opening = Opening(timeout_s, options={**options, **NESTED_OPTIONS}, open_nested=open_nested)
    return open_media(address, config, opening)


def device_path(address: str) -> str:
    """What FFmpeg calls the device: ``/dev/video0`` of ``v4l2:///dev/video0``."""
    parts = urlsplit(address)
    return unquote(parts.netloc + parts.path)


def _device(scheme: str, address: str, timeout_s: float) -> Opening:
    name = DEVICES[scheme]
    known = {part for found in av.formats_available for part in found.split(",")}
    if name not in known:
        raise SourceError(
            f"needs FFmpeg's {name}, which this build of PyAV lacks",
            where=address,
            mend="Install PyAV's own wheel, or build it against an FFmpeg with libavdevice.",
        )
    query = dict(pair.split("=", 1) for pair in urlsplit(address).query.split("&") if "=" in pair)
    return Opening(timeout_s, format=name, options=query)
