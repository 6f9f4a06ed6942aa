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

from omnilive.service.access import host_allowed, origin_allowed, token_matches
from omnilive.service.client_socket import CLOSE_S, ClientSocket
from omnilive.service.completions import complete
from omnilive.service.config import ClientConfig, ServiceConfig
from omnilive.service.connection import Connection, Pull
from omnilive.service.live_session import LiveSession, describe
from omnilive.service.media_frames import MediaLimits
from omnilive.service.metrics import Metrics
from omnilive.service.peers import Peers
from omnilive.service.rate import AddressRates, client_of
from omnilive.service.sessions import FullError, Sessions
from omnilive.service.whip import Whip, is_whip
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
"""What an address may ask for only so often, whether it shows the token or guesses at it; every
request that lacks the token counts among them."""

READING = frozenset({"GET", "HEAD"})
"""Methods that change nothing, so that a page elsewhere gains nothing by having them sent."""

OPEN_PATHS = frozenset({"/", "/live", "/ready"})
"""What is told without a token: the page, which asks its user for it, and to a supervisor whether
the service runs."""

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
    peers: Peers


SERVED: web.AppKey[Served] = web.AppKey("served", Served)
RATES: web.AppKey[AddressRates] = web.AppKey("rates", AddressRates)
FETCHES: web.AppKey[AddressRates] = web.AppKey("fetches", AddressRates)
PAGE: web.AppKey[dict[str, tuple[bytes, str]]] = web.AppKey("page", dict)


def make_app(served: Served) -> web.Application:
    """The application with all its routes."""
    app = web.Application(middlewares=[_guard], client_max_size=LARGEST_BODY)
    app[SERVED] = served
    app[RATES] = AddressRates(served.client.requests_per_s, served.client.request_burst)
    app[FETCHES] = AddressRates(served.client.fetches_per_s, served.client.fetch_burst)
    app[PAGE] = _page_files()
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
    Whip(served.sessions.find, served.peers).add_to(app)
    return app


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Rates, hosts, origins, tokens and headers."""
    served, now_s = request.app[SERVED], asyncio.get_running_loop().time()
    address = client_of(request.remote)
    if not request.app[FETCHES].take(address, now_s):
        return _refusal(429, "too_often", "More requests than are taken.", 1)
    origins = served.service.allowed_origins
    if not served.token and not host_allowed(request.host, served.service.host, origins):
        return _refusal(403, "forbidden", "Without a token this host name is not answered to.")
    if request.method not in READING and not _origin_allowed(request):
        return _refusal(403, "forbidden", "Pages of this origin may not ask for this.")
    open_to_all = request.path in OPEN_PATHS or request.path.startswith("/page/")
    allowed = open_to_all or _authorized(request, served.token)
    limited = request.path in LIMITED_PATHS or is_whip(request.path) or not allowed
    if limited and not request.app[RATES].take(address, now_s):
        return _refusal(429, "too_often", "More requests than are taken.", 1)
    if allowed:
        response = await handler(request)
    else:
        response = _refusal(401, "unauthorized", "Show the token as a bearer token.")
        response.headers["WWW-Authenticate"] = "Bearer"
    if not response.prepared:
        response.headers.update(HEADERS)
    return response


def _refusal(status: int, code: str, message: str, retry_s: int = 0) -> web.Response:
    """An error; the connection ends with it, so that asking again costs a new one."""
    headers = {"Retry-After": str(retry_s)} if retry_s else {}
    response = web.json_response(
        {"error": {"code": code, "message": message}},
        status=status,
        headers={**HEADERS, **headers},
    )
    response.force_close()
    return response


def _origin_allowed(request: web.Request) -> bool:
    allowed = request.app[SERVED].service.allowed_origins
    return origin_allowed(request.headers.get("Origin"), request.host, allowed)


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


def _page_files() -> dict[str, tuple[bytes, str]]:
    """The page's files by name: bytes and content type."""
    found = {}
    for entry in (resources.files("omnilive.service") / "page").iterdir():
        suffix = "." + entry.name.rpartition(".")[2]
        if suffix in PAGE_TYPES:
            found[entry.name] = (entry.read_bytes(), PAGE_TYPES[suffix])
    return found


async def _page(request: web.Request) -> web.StreamResponse:
    file = request.app[PAGE].get(request.match_info.get("name", "index.html"))
    if file is None:
        raise web.HTTPNotFound
    return web.Response(body=file[0], content_type=file[1], charset="utf-8")


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
    text = await asyncio.to_thread(request.app[SERVED].metrics.text)
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
    if not _origin_allowed(request):
        return _refusal(403, "forbidden", "Pages of this origin may not connect.")
    if not served.ready():
        return _refusal(503, "not_ready", "The engines are being warmed up.", 5)
    if "Origin" not in request.headers and "resume" not in request.query:
        # A program reads a refusal; a browser hides it from its page, which is told on the socket.
        try:
            if await served.sessions.free_own() is None:
                served.sessions.check_room(client_of(request.remote))
        except FullError as full:
            return _refusal(503, "full", str(full), full.retry_after_s)
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    limits = MediaLimits(picture_bytes=served.client.picture_bytes)
    socket = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,),
        timeout=CLOSE_S,
        heartbeat=served.client.silence_s / 2,
        max_msg_size=limits.message_bytes,
        compress=False,
        autoping=False,
        autoclose=False,
    )
    await socket.prepare(request)
    client = ClientSocket(socket, transport, served.client.silence_s)
    address = client_of(request.remote)
    try:
        connection = Connection(client, address, served.sessions, served.client, served.pull)
        await connection.serve()
    finally:
        # Closing waits for what is unsent, and a client that never reads would hold it open.
        asyncio.get_running_loop().call_later(CLOSE_S, transport.abort)
    return socket
