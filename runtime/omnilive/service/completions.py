"""``/v1/chat/completions``: a question about a session's stream in OpenAI's form.

The session answers it like any typed question: it is spoken, logged and remembered there too.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from omnilive import events
from omnilive.events import Event
from omnilive.service.live_session import LiveSession

MODEL = "omnilive"

LONGEST_QUESTION = 2_000
"""Letters of a question, as for a typed one."""

BODY_S = 10.0
"""How long a request's body may take to come, seconds."""

UNREAD_S = 30.0
"""How long a client may read nothing of a streamed answer, seconds; then it is broken off."""


UNANSWERED = {
    "too_long": "context_length_exceeded",
    "superseded": "superseded",
}
"""Codes for questions that get no answer."""


@dataclass(frozen=True)
class Request:
    """What is used of a request.

    Attributes:
        question: text of the newest user message.
        session: id; empty to take the only one there is.
        stream: whether the answer is sent as it is decoded.
        usage: whether a streamed answer ends with its token count.
    """

    question: str
    session: str
    stream: bool
    usage: bool


class RequestError(ValueError):
    """A request that is not of OpenAI's form, or asks for what is not there."""

    def __init__(self, code: str, what: str, status: int = 400) -> None:
        super().__init__(what)
        self.code = code
        self.status = status


def read_request(body: Any) -> Request:
    """Check a request's JSON.

    Raises:
        RequestError: it is not one.
    """
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        raise RequestError("invalid_request", "the body is an object with a list of messages")
    texts = [_text(m) for m in body["messages"] if isinstance(m, dict) and m.get("role") == "user"]
    question = texts[-1].strip() if texts else ""
    if not question:
        raise RequestError("invalid_request", "the newest user message holds no text")
    if len(question) > LONGEST_QUESTION:
        raise RequestError(
            "context_length_exceeded", f"the question has over {LONGEST_QUESTION} letters"
        )
    session, stream = body.get("session", ""), body.get("stream", False)
    options = body.get("stream_options") or {}
    if type(session) is not str or type(stream) is not bool or not isinstance(options, dict):
        raise RequestError("invalid_request", "session is a text, stream true or false")
    return Request(question, session, stream, options.get("include_usage") is True)


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [p.get("text") for p in parts if isinstance(p, dict) and p.get("type") == "text"]
    return " ".join(t for t in texts if isinstance(t, str))


@dataclass(frozen=True)
class Piece:
    """Some of an answer: text, or its end.

    Attributes:
        ended_by: ``stop``, ``length``, or empty while it goes on.
        tokens, prompt_tokens: of the whole answer and of what it was given, at its end.
    """

    text: str
    ended_by: str = ""
    tokens: int = 0
    prompt_tokens: int = 0


async def answer_pieces(session: LiveSession, question: str) -> AsyncIterator[Piece]:
    """Ask and give the answer as it is decoded.

    Raises:
        RequestError: the session has ended, or leaves the question unanswered.
    """
    utterance: int | None = None
    # Holds what is said of one answer, whose length is limited.
    heard: asyncio.Queue[Event | None] = asyncio.Queue()

    def hear(_id: int, _at_us: int, event: Event) -> None:
        if utterance is not None and getattr(event, "utterance", None) == utterance:
            heard.put_nowait(event)

    stop = session.listen(hear)
    ended = asyncio.ensure_future(session.ended.wait())
    ended.add_done_callback(lambda _: heard.put_nowait(None))
    try:
        utterance = session.ask(question)
        if utterance is None:
            raise RequestError("session_ended", "the session has ended", 410)
        tokens = prompt_tokens = 0
        while (event := await heard.get()) is not None:
            if isinstance(event, events.EvidenceChosen):
                prompt_tokens = event.prompt_tokens
            elif isinstance(event, events.TokenDecoded):
                # An answer that goes on after an interruption decodes anew what was not heard.
                if event.index == tokens:
                    tokens += 1
                    yield Piece(event.text)
            elif isinstance(event, events.AnswerFinished):
                yield Piece(
                    "", "length" if event.reason == "length" else "stop", tokens, prompt_tokens
                )
                return
            elif isinstance(event, events.AnswerCancelled):
                raise RequestError("superseded", "another utterance stopped the answer", 409)
            elif isinstance(event, events.Unanswered):
                code = UNANSWERED.get(event.reason, "unanswered")
                raise RequestError(code, f"not answered: {event.reason}", 409)
        raise RequestError("session_ended", "the session has ended", 410)
    finally:
        ended.cancel()
        stop()


async def complete(
    request: web.Request, find: Callable[[str], LiveSession | None]
) -> web.StreamResponse:
    """Serve one request.

    Args:
        request: the HTTP request.
        find: a session by its id; by an empty one, the only session there is.
    """
    try:
        if request.content_type != "application/json":
            raise RequestError("invalid_request", "the body is sent as application/json", 415)
        try:
            asked = read_request(await asyncio.wait_for(request.json(), BODY_S))
        except asyncio.TimeoutError as e:
            raise RequestError("invalid_request", "the body does not come", 408) from e
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as e:
            raise RequestError("invalid_request", "the body is not JSON") from e
        session = find(asked.session)
        if session is None:
            raise RequestError(
                "no_session", 'name a session of /v1/sessions in the field "session"', 404
            )
        name = f"chatcmpl-{session.names.id}-{time.time_ns():x}"
        if asked.stream:
            return await _stream(request, session, asked, name)
        return await _whole(session, asked, name)
    except RequestError as error:
        return web.json_response(_error(error), status=error.status)


async def _whole(session: LiveSession, asked: Request, name: str) -> web.StreamResponse:
    text, last = "", Piece("")
    async for last in answer_pieces(session, asked.question):
        text += last.text
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": last.ended_by,
    }
    return web.json_response(
        {**_head(name, "chat.completion"), "choices": [choice], "usage": _usage(last)}
    )


async def _stream(
    request: web.Request, session: LiveSession, asked: Request, name: str
) -> web.StreamResponse:
    """Server-sent events; an error before the first one is an HTTP error, as OpenAI's are."""
    pieces = answer_pieces(session, asked.question)
    first = await anext(pieces)
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    await response.prepare(request)

    async def send(body: dict[str, Any]) -> None:
        data = b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"
        await _write(request, response, data)

    async def say(delta: dict[str, str], ended_by: str = "") -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": ended_by or None}
        await send({**_head(name, "chat.completion.chunk"), "choices": [choice]})

    try:
        await say({"role": "assistant", "content": ""})
        piece = first
        while True:
            if piece.ended_by:
                await say({}, piece.ended_by)
                break
            await say({"content": piece.text})
            piece = await anext(pieces)
        if asked.usage:
            usage = {"choices": [], "usage": _usage(piece)}
            await send({**_head(name, "chat.completion.chunk"), **usage})
        await _write(request, response, b"data: [DONE]\n\n")
    except RequestError as error:
        await send(_error(error))
    finally:
        await pieces.aclose()  # type: ignore[attr-defined]
    await response.write_eof()
    return response


async def _write(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    """Send some of a stream; a client that reads nothing is broken off."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    timer = asyncio.get_running_loop().call_later(UNREAD_S, transport.abort)
    try:
        await response.write(data)
    finally:
        timer.cancel()


def _head(name: str, kind: str) -> dict[str, Any]:
    return {"id": name, "object": kind, "created": int(time.time()), "model": MODEL}


def _usage(last: Piece) -> dict[str, int]:
    """Prompt tokens count the memory's and the pictures', too."""
    return {
        "prompt_tokens": last.prompt_tokens,
        "completion_tokens": last.tokens,
        "total_tokens": last.prompt_tokens + last.tokens,
    }


def _error(error: RequestError) -> dict[str, Any]:
    return {"error": {"message": str(error), "type": "invalid_request_error", "code": error.code}}
