"""Changes piece types in a serialized SentencePiece model.

The file is a protobuf message; only the few wire-format rules needed to find a piece's type are
here, so that the runtime needs no protobuf schema. It never touches pieces or scores.
"""

from __future__ import annotations

from collections.abc import Callable

NORMAL = 1
CONTROL = 3
USER_DEFINED = 4

_PIECES_FIELD = 1
_TEXT_FIELD = 1
_TYPE_FIELD = 3
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def retype_pieces(model: bytes, retype: Callable[[str, int], int]) -> bytes:
    """A copy of ``model`` whose pieces have the type ``retype(piece, type)``.

    Types are those of sentencepiece_model.proto (NORMAL 1, CONTROL 3, USER_DEFINED 4 …).

    Raises:
        ValueError: the bytes are not a serialized model.
    """
    out = bytearray()
    for field, wire, whole, payload in _fields(model):
        if field == _PIECES_FIELD and wire == _BYTES:
            piece = _retyped(payload, retype)
            out += _tag(_PIECES_FIELD, _BYTES) + _varint(len(piece)) + piece
        else:
            out += whole
    return bytes(out)


def _retyped(piece: bytes, retype: Callable[[str, int], int]) -> bytes:
    text, kind, rest = "", NORMAL, bytearray()
    for field, wire, whole, payload in _fields(piece):
        if field == _TYPE_FIELD and wire == _VARINT:
            kind, _ = _read_varint(payload, 0)
        else:
            rest += whole
            if field == _TEXT_FIELD:
                text = payload.decode("utf-8")
    wanted = retype(text, kind)
    return piece if wanted == kind else bytes(rest) + _tag(_TYPE_FIELD, _VARINT) + _varint(wanted)


def _fields(message: bytes) -> list[tuple[int, int, bytes, bytes]]:
    """(field number, wire type, all bytes of the field, its payload) in order."""
    found = []
    at = 0
    while at < len(message):
        start = at
        key, at = _read_varint(message, at)
        wire = key & 7
        if wire == _VARINT:
            payload_start = at
            _, at = _read_varint(message, at)
        elif wire == _BYTES:
            size, payload_start = _read_varint(message, at)
            at = payload_start + size
        elif wire in (_FIXED64, _FIXED32):
            payload_start = at
            at += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"not a SentencePiece model: wire type {wire} at byte {start}")
        if at > len(message):
            raise ValueError("not a SentencePiece model: it ends inside a field")
        found.append((key >> 3, wire, message[start:at], message[payload_start:at]))
    return found


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while at < len(message):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("not a SentencePiece model: it ends inside a number")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)
