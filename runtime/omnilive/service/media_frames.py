"""The binary messages of the protocol: a fixed header and a payload, both ways. Bytes only.

All numbers are little-endian. The layouts are in ``docs/protocol.md``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnilive.service.faults import ProtocolError
from omnilive.sources.types import SAMPLE_RATE_HZ

HEADER_VERSION = 1

KIND_PCM = 1
KIND_PICTURE = 2

IN_HEADER = struct.Struct("<BBHIq")
"""Client to server: kind, version, flags (0), sequence, PTS in microseconds; 16 bytes."""

OUT_HEADER = struct.Struct("<BBHIiIq")
"""Server to client: kind, version, flags, generation, utterance, first sample, PTS; 24 bytes."""

FLAG_LAST = 1
"""No more audio of this generation follows."""

LONGEST_PTS_US = 1 << 52
"""A sender's clock may have any origin; whatever its origin, it fits the integers of JSON."""

FULL_SCALE = 32767.0
"""A float32 sample of 1 as 16-bit PCM."""

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class MediaLimits:
    """The largest payloads taken.

    Attributes:
        pcm_bytes: of one message of sound.
        picture_bytes: of one compressed picture.
    """

    pcm_bytes: int = SAMPLE_RATE_HZ * 2 * 2
    picture_bytes: int = 4 << 20

    @property
    def message_bytes(self) -> int:
        """The longest binary message."""
        return IN_HEADER.size + max(self.pcm_bytes, self.picture_bytes)


@dataclass(frozen=True, eq=False)
class PcmMessage:
    """Sound of a client: ``samples`` float32 [n] in [-1, 1], 16 kHz mono, on the client's clock."""

    sequence: int
    pts_us: int
    samples: F32


@dataclass(frozen=True, eq=False)
class PictureMessage:
    """One compressed picture (JPEG), not decoded yet, on the client's clock."""

    sequence: int
    pts_us: int
    data: bytes


MediaMessage = PcmMessage | PictureMessage


def decode_media(data: bytes, limits: MediaLimits) -> MediaMessage:
    """One binary message of a client.

    Raises:
        ProtocolError: ``malformed``, ``too_large`` or ``unsupported``.
    """
    if len(data) < IN_HEADER.size:
        raise ProtocolError(
            "malformed", f"a binary message of {len(data)} bytes has no room for its header"
        )
    kind, version, flags, sequence, pts_us = IN_HEADER.unpack_from(data)
    if version != HEADER_VERSION:
        raise ProtocolError("unsupported", f"binary header version {version}, expected 1")
    if flags:
        raise ProtocolError("unsupported", f"binary header flags {flags}, expected 0")
    if abs(pts_us) > LONGEST_PTS_US:
        raise ProtocolError("malformed", "the PTS is beyond 52 bits of microseconds")
    payload = data[IN_HEADER.size :]
    if not payload:
        raise ProtocolError("malformed", "a binary message has no payload")
    if kind == KIND_PCM:
        return PcmMessage(sequence, pts_us, _samples(payload, limits))
    if kind == KIND_PICTURE:
        if len(payload) > limits.picture_bytes:
            raise ProtocolError("too_large", f"a picture of {len(payload)} bytes")
        return PictureMessage(sequence, pts_us, payload)
    raise ProtocolError("unsupported", f"binary messages of kind {kind}")


def encode_media(message: MediaMessage) -> bytes:
    """The bytes of a client's message: what ``decode_media`` reads (clients and tests)."""
    if isinstance(message, PcmMessage):
        kind, payload = KIND_PCM, _pcm16(message.samples)
    else:
        kind, payload = KIND_PICTURE, message.data
    header = IN_HEADER.pack(kind, HEADER_VERSION, 0, message.sequence, message.pts_us)
    return header + payload


def encode_answer_audio(
    generation: int, utterance: int, first_sample: int, pts_us: int, samples: F32, *, last: bool
) -> bytes:
    """One chunk of an answer's sound as the server sends it.

    Args:
        generation, utterance: whose answer it is.
        first_sample: index of its first sample in the answer's audio of this generation.
        pts_us: stream time it is meant to begin to sound, microseconds.
        samples: float32 [n] in [-1, 1], 16 kHz mono; may be empty when ``last``.
        last: whether no more of this generation follows.
    """
    header = OUT_HEADER.pack(
        KIND_PCM,
        HEADER_VERSION,
        FLAG_LAST if last else 0,
        generation,
        utterance,
        first_sample,
        pts_us,
    )
    return header + _pcm16(samples)


@dataclass(frozen=True, eq=False)
class AnswerAudio:
    """What ``encode_answer_audio`` was given, as a client reads it."""

    generation: int
    utterance: int
    first_sample: int
    pts_us: int
    samples: F32
    last: bool


def decode_answer_audio(data: bytes) -> AnswerAudio:
    """One binary message of the server.

    Raises:
        ProtocolError: ``malformed`` or ``unsupported``.
    """
    if len(data) < OUT_HEADER.size:
        raise ProtocolError("malformed", f"an answer message of {len(data)} bytes")
    kind, version, flags, generation, utterance, first, pts_us = OUT_HEADER.unpack_from(data)
    if (kind, version) != (KIND_PCM, HEADER_VERSION):
        raise ProtocolError("unsupported", f"answer messages of kind {kind}, version {version}")
    samples = _floats(data[OUT_HEADER.size :])
    return AnswerAudio(generation, utterance, first, pts_us, samples, bool(flags & FLAG_LAST))


def _samples(payload: bytes, limits: MediaLimits) -> F32:
    if len(payload) > limits.pcm_bytes:
        raise ProtocolError("too_large", f"{len(payload)} bytes of sound")
    return _floats(payload)


def _floats(payload: bytes) -> F32:
    if len(payload) % 2:
        raise ProtocolError("malformed", "16-bit sound of an odd number of bytes")
    samples: F32 = np.frombuffer(payload, "<i2").astype(np.float32)
    samples /= np.float32(FULL_SCALE + 1)
    return samples


def _pcm16(samples: F32) -> bytes:
    scaled = np.clip(np.rint(samples * np.float32(FULL_SCALE)), -FULL_SCALE, FULL_SCALE)
    return bytes(scaled.astype("<i2").data)
