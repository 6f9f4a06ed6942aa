"""The text messages of the protocol: strict JSON in, frozen dataclasses out. No connection here.

Documented in ``docs/protocol.md``; an unknown field is an error, so that a misspelled one is seen.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar

from omnilive.service.faults import ProtocolError

PROTOCOL_VERSION = 1

LARGEST_INTEGER = (1 << 53) - 1
"""What a JSON number carries exactly in every language."""


@dataclass(frozen=True)
class TextLimits:
    """The largest texts taken.

    Attributes:
        message_bytes: of one text message.
        question_chars: of a typed question.
        url_chars: of a source to pull from.
    """

    message_bytes: int = 16 << 10
    question_chars: int = 2_000
    url_chars: int = 2_000


@dataclass(frozen=True)
class ClientMessage:
    """Base: ``kind`` is the ``type`` field of the JSON form."""

    kind: ClassVar[str] = ""


@dataclass(frozen=True)
class Hello(ClientMessage):
    """The first message of every connection.

    Attributes:
        protocol: the version the client speaks.
        resume: token of a session to take up again; empty for a new one.
        after: number of the last message of that session that the client has, 0 for none.
        name: what the client calls itself, for the log.
    """

    kind = "hello"
    protocol: int
    resume: str = ""
    after: int = 0
    name: str = ""


@dataclass(frozen=True)
class AskMessage(ClientMessage):
    """A typed question."""

    kind = "ask"
    text: str


@dataclass(frozen=True)
class InterruptMessage(ClientMessage):
    """Stop the answer of ``generation``, or with -1 any; ``samples`` played of it, or -1."""

    kind = "interrupt"
    generation: int = -1
    samples: int = -1


@dataclass(frozen=True)
class PlayoutMessage(ClientMessage):
    """How many samples of a generation's answer have been played, from its first one."""

    kind = "playout"
    generation: int
    samples: int
    final: bool = False


@dataclass(frozen=True)
class ResumeMessage(ClientMessage):
    """Go on with the answer that was interrupted last."""

    kind = "resume"


@dataclass(frozen=True)
class PullMessage(ClientMessage):
    """Watch and listen to a URL from now on instead of this client."""

    kind = "pull"
    url: str


@dataclass(frozen=True)
class ClockMessage(ClientMessage):
    """The client's clock begins anew: the next PTS means now."""

    kind = "clock"


@dataclass(frozen=True)
class EndMessage(ClientMessage):
    """No more will be sent; the session ends once its last answer has been heard."""

    kind = "end"


@dataclass(frozen=True)
class PingMessage(ClientMessage):
    """Answered with a ``pong`` of the same id."""

    kind = "ping"
    id: int


MESSAGES: dict[str, type[ClientMessage]] = {t.kind: t for t in ClientMessage.__subclasses__()}


def decode_text(text: str, limits: TextLimits) -> ClientMessage:
    """One text message of a client.

    Raises:
        ProtocolError: ``malformed``, ``too_large`` or ``unsupported``.
    """
    if len(text) > limits.message_bytes or len(text.encode("utf-8", "replace")) > (
        limits.message_bytes
    ):
        raise ProtocolError("too_large", "a text message")
    try:
        body = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as e:
        raise ProtocolError("malformed", "a text message is not JSON") from e
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise ProtocolError("malformed", 'a text message is no object with a "type"')
    cls = MESSAGES.get(body.pop("type"))
    if cls is None:
        raise ProtocolError(
            "unsupported", "the type of a message is none of " + ", ".join(sorted(MESSAGES))
        )
    message = cls(**_fields(cls, body))
    _check(message, limits)
    return message


def encode_text(message: ClientMessage) -> str:
    """The JSON of a client's message: what ``decode_text`` reads (clients and tests)."""
    return json.dumps({"type": message.kind, **dataclasses.asdict(message)})


def _fields(cls: type[ClientMessage], body: dict[str, Any]) -> dict[str, Any]:
    known = {f.name: f for f in dataclasses.fields(cls)}
    if not body.keys() <= known.keys():
        raise ProtocolError(
            "malformed", f"{cls.kind} has the fields " + (", ".join(known) or "type alone")
        )
    for name, spec in known.items():
        if name not in body:
            if spec.default is dataclasses.MISSING:
                raise ProtocolError("malformed", f"{cls.kind} lacks {name}")
        elif not _is(body[name], str(spec.type)):
            raise ProtocolError("malformed", f"{name} of {cls.kind} is no {spec.type}")
    return body


def _is(value: Any, kind: str) -> bool:
    """Whether a JSON value is of an annotated type; integers are within ±(2^53 - 1)."""
    if kind == "int":
        return type(value) is int and abs(value) <= LARGEST_INTEGER
    if kind == "bool":
        return type(value) is bool
    return type(value) is str and not any("\ud800" <= c <= "\udfff" for c in value)


def _check(message: ClientMessage, limits: TextLimits) -> None:
    if isinstance(message, AskMessage):
        if not message.text.strip():
            raise ProtocolError("malformed", "a question without words")
        if len(message.text) > limits.question_chars:
            raise ProtocolError("too_long", f"a question of over {limits.question_chars} letters")
    elif isinstance(message, PullMessage) and len(message.url) > limits.url_chars:
        raise ProtocolError("too_long", f"a URL of over {limits.url_chars} letters")
    elif isinstance(message, Hello) and message.protocol != PROTOCOL_VERSION:
        raise ProtocolError(
            "unsupported", f"protocol {message.protocol}; this service speaks {PROTOCOL_VERSION}"
        )


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
