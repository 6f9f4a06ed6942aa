"""WHIP (RFC 9725): a WebRTC peer publishes into a session by one POST. HTTP only.

Neither trickle ICE nor ICE restarts are offered: PATCH is answered 405, as the RFC asks then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from omnilive.service.live_session import LiveSession
from omnilive.service.peers import Peers, RefusedError

SDP = "application/sdp"

Find = Callable[[str], LiveSession | None]
"""Finds a session by its id."""


def is_whip(path: str) -> bool:
    """Whether a request to ``path`` begins a peer: limited in how often it may be made."""
    return path.startswith("/v1/sessions/") and path.endswith("/whip")


class Whip:
    """The routes of WHIP."""

    def __init__(self, find: Find, peers: Peers) -> None:
        self._find = find
        self._peers = peers

    def add_to(self, app: web.Application) -> None:
        """Add them; the peers end when the application shuts down."""
        app.router.add_post("/v1/sessions/{id}/whip", self._publish)
        app.router.add_options("/v1/sessions/{id}/whip", self._options)
        app.router.add_delete("/v1/sessions/{id}/whip/{peer}", self._end)
        app.on_shutdown.append(self._shut_down)

    async def _publish(self, request: web.Request) -> web.StreamResponse:
        try:
            session = self._found(request)
            if not self._peers.config.enabled:
                raise RefusedError(501, "webrtc_off", "WebRTC is switched off (webrtc.enabled).")
            offer = await self._offer(request)
            peer, answer = await self._peers.begin(session, offer)
        except RefusedError as refused:
            return _refusal(refused)
        return web.Response(
            status=201,
            text=answer,
            content_type=SDP,
            headers={"Location": f"/v1/sessions/{session.names.id}/whip/{peer}"},
        )

    async def _options(self, _: web.Request) -> web.StreamResponse:
        return web.Response(status=204, headers={"Accept-Post": SDP, "Allow": "OPTIONS,POST"})

    async def _end(self, request: web.Request) -> web.StreamResponse:
        try:
            if not await self._peers.end(request.match_info["id"], request.match_info["peer"]):
                raise RefusedError(404, "no_peer", "There is no such peer.")
        except RefusedError as refused:
            return _refusal(refused)
        return web.Response(status=200)

    async def _shut_down(self, _: web.Application) -> None:
        await self._peers.close()

    def _found(self, request: web.Request) -> LiveSession:
        session = self._find(request.match_info["id"])
        if session is None or session.ended.is_set():
            raise RefusedError(404, "no_session", "There is no such session.")
        return session

    async def _offer(self, request: web.Request) -> str:
        """The body, read no further than its limit and no longer than its time."""
        if request.content_type != SDP:
            raise RefusedError(415, "unsupported", f"An offer is {SDP}.")
        limit = self._peers.config.offer_bytes
        try:
            body = await asyncio.wait_for(
                _read(request, limit), timeout=self._peers.config.negotiation_s
            )
        except asyncio.TimeoutError as e:
            raise RefusedError(408, "too_slow", "The offer did not come in time.") from e
        if len(body) > limit:
            raise RefusedError(413, "too_large", f"An offer has at most {limit} bytes.")
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError as e:
            raise RefusedError(400, "bad_offer", "The offer is no SDP.") from e


async def _read(request: web.Request, limit: int) -> bytes:
    """What was sent, or a little more than ``limit`` bytes of it."""
    body = bytearray()
    while len(body) <= limit and (piece := await request.content.read(limit + 1)):
        body += piece
    return bytes(body)


def _refusal(refused: RefusedError) -> web.Response:
    retry = {"Retry-After": str(refused.retry_after_s)} if refused.retry_after_s else {}
    return web.json_response(
        {"error": {"code": refused.code, "message": refused.what}},
        status=refused.status,
        headers=retry,
    )
