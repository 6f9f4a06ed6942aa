"""The HTTP side of the service: its routes, and who may use them. It runs no engine itself."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from aiohttp import web

from omnilive.service.access import origin_allowed, token_matches
from omnilive.service.completions import complete
from omnilive.service.config import ClientConfig, ServiceConfig
from omnilive.service.connection import CLOSE_S, Connection, Pull
from omnilive.service.live_session import LiveSession, describe
from omnilive.service.media_frames import MediaLimits
from omnilive.service.metrics import Metrics
from omnilive.service.rate import AddressRates
from omnilive.service.sessions import FullError, Sessions
from omnilive.session.session import KEYFRAMES_FOLDER

SUBPROTOCOL = "omnilive.v1"
TOKEN_SUBPROTOCOL = "omnilive.token."
"""A browser cannot set headers on a WebSocket: it shows its token as this, then base64url."""

LARGEST_BODY = 1 << 20
"""Of an HTTP request, bytes."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self)",
}

LIMITED_PATHS = frozenset({"/v1/live", "/v1/chat/completions"})
"""What an address may ask for only so often, whether it shows the token or guesses at it."""

OPEN_PATHS = frozenset({"/live", "/ready"})
"""What a supervisor asks without a token; it tells nothing but whether the service runs."""

PAGE_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Served:
    """What the routes need.

    Attributes:
        token: clients must show it; empty for none.
        ready: whether the engines are warm.
    """

    service: ServiceConfig
    client: ClientConfig
    token: str
    sessions: Sessions
    metrics: Metrics
    ready: Callable[[], bool]
    pull: Pull


SERVED: web.AppKey[Served] = web.AppKey("served", Served)
RATES: web.AppKey[AddressRates] = web.AppKey("rates", AddressRates)


def make_app(served: Served) -> web.Application:
    """The application with all its routes."""
    app = web.Application(middlewares=[_guard], client_max_size=LARGEST_BODY)
    app[SERVED] = served
    app[RATES] = AddressRates(served.client.requests_per_s, served.client.request_burst)
    app.router.add_get("/", _page)
    app.router.add_get("/page/{name}", _page)
    app.router.add_get("/live", _live)
    app.router.add_get("/ready", _ready)
    app.router.add_get("/v1/live", _socket)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/v1/sessions", _sessions)
    app.router.add_get("/v1/sessions/{id}/memory", _memory)
    app.router.add_get("/v1/sessions/{id}/keyframes/{name}", _keyframe)
    app.router.add_post("/v1/chat/completions", _completions)
    return app


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tokens and headers. The page itself is open: it asks its user for the token."""
    served = request.app[SERVED]
    page = request.path == "/" or request.path.startswith("/page/")
    now_s = asyncio.get_running_loop().time()
    limited = request.path in LIMITED_PATHS
    if limited and not request.app[RATES].take(request.remote or "", now_s):
        return _refusal(429, "too_often", "More requests than are taken.", 1)
    if not page and request.path not in OPEN_PATHS and not _authorized(request, served.token):
        response: web.StreamResponse = web.json_response(
            {"error": {"code": "unauthorized", "message": "Show the token as a bearer token."}},
            status=401,
            headers={"WWW-Authenticate": "Bearer"},
        )
    else:
        response = await handler(request)
    if not response.prepared:
        response.headers.update(HEADERS)
    return response


def _refusal(status: int, code: str, message: str, retry_s: int = 0) -> web.Response:
    headers = {"Retry-After": str(retry_s)} if retry_s else {}
    return web.json_response(
        {"error": {"code": code, "message": message}},
        status=status,
        headers={**HEADERS, **headers},
    )


def _authorized(request: web.Request, token: str) -> bool:
    return not token or token_matches(token, _shown_token(request))


def _shown_token(request: web.Request) -> str:
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return shown.strip()
    for name in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        if name.strip().startswith(TOKEN_SUBPROTOCOL):
            return _base64url(name.strip()[len(TOKEN_SUBPROTOCOL) :])
    return ""


def _base64url(text: str) -> str:
    try:
        padded = text + "=" * (-len(text) % 4)
        return base64.urlsafe_b64decode(padded).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""


async def _page(request: web.Request) -> web.StreamResponse:
    name = request.match_info.get("name", "index.html")
    files = resources.files("omnilive.service") / "page"
    known = {entry.name for entry in files.iterdir()}
    suffix = "." + name.rpartition(".")[2]
    if name not in known or suffix not in PAGE_TYPES:
        raise web.HTTPNotFound
    body = (files / name).read_bytes()
    return web.Response(body=body, content_type=PAGE_TYPES[suffix], charset="utf-8")


async def _live(_: web.Request) -> web.StreamResponse:
    return web.json_response({"live": True})


async def _ready(request: web.Request) -> web.StreamResponse:
    ready = request.app[SERVED].ready()
    return web.json_response({"ready": ready}, status=200 if ready else 503)


async def _sessions(request: web.Request) -> web.StreamResponse:
    sessions = request.app[SERVED].sessions
    body: dict[str, Any] = {
        "capacity": sessions.capacity,
        "sessions": [describe(session) for session in sessions.all()],
    }
    return web.json_response(body)


async def _metrics(request: web.Request) -> web.StreamResponse:
    text = request.app[SERVED].metrics.text()
    return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4"})


async def _memory(request: web.Request) -> web.StreamResponse:
    return web.json_response(_found(request).memory.as_json())


async def _keyframe(request: web.Request) -> web.StreamResponse:
    """A keyframe by its id; one that left the disk by age or quota is not found."""
    session, name = _found(request), request.match_info["name"]
    if not session.memory.knows(name):
        raise web.HTTPNotFound
    file = session.folder / KEYFRAMES_FOLDER / f"{name}.jpg"
    if not file.is_file():
        raise web.HTTPNotFound
    return web.FileResponse(file, headers={"Content-Type": "image/jpeg"})


async def _completions(request: web.Request) -> web.StreamResponse:
    sessions = request.app[SERVED].sessions

    def find(session_id: str) -> LiveSession | None:
        everyone = sessions.all()
        if session_id or len(everyone) != 1:
            return sessions.find(session_id)
        return everyone[0]

    return await complete(request, find)


def _found(request: web.Request) -> LiveSession:
    session = request.app[SERVED].sessions.find(request.match_info["id"])
    if session is None:
        raise web.HTTPNotFound
    return session


async def _socket(request: web.Request) -> web.StreamResponse:
    served = request.app[SERVED]
    if not origin_allowed(
        request.headers.get("Origin"), request.host, served.service.allowed_origins
    ):
        return _refusal(403, "forbidden", "Pages of this origin may not connect.")
    if not served.ready():
        return _refusal(503, "not_ready", "The engines are being warmed up.", 5)
    if "Origin" not in request.headers and "resume" not in request.query:
        # A program reads a refusal; a browser hides it from its page, which is told on the socket.
        try:
            if await served.sessions.free_own() is None:
                served.sessions.check_room(request.remote or "")
        except FullError as full:
            return _refusal(503, "full", str(full), full.retry_after_s)
    limits = MediaLimits(picture_bytes=served.client.picture_bytes)
    socket = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,),
        timeout=CLOSE_S,
        heartbeat=served.client.silence_s / 2,
        max_msg_size=limits.message_bytes,
        compress=False,
    )
    await socket.prepare(request)

    def cut() -> None:
        if request.transport is not None:
            request.transport.abort()

    connection = Connection(
        socket, cut, request.remote or "", served.sessions, served.client, served.pull
    )
    await connection.serve()
    return socket
