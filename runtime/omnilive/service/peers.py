"""The WebRTC peers of a service: how many there may be, and which feeds which session.

Belongs to the event loop. A peer that leaves leaves its session as it is.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

from omnilive.service.config import WebRtcConfig
from omnilive.service.ice import IcePolicy
from omnilive.service.live_session import LiveSession

if TYPE_CHECKING:
    from omnilive.service.peer import Peer

INSTALL = "pip install 'omnilive-edge[webrtc]'"

RETRY_S = 5
"""When there may be room for another peer, seconds."""


class RefusedError(Exception):
    """An offer that is refused.

    Attributes:
        status: of HTTP.
        code: for programs.
        what: for people.
        retry_after_s: when it may be taken, 0 where waiting does not help.
    """

    def __init__(self, status: int, code: str, what: str, retry_after_s: int = 0) -> None:
        super().__init__(what)
        self.status, self.code, self.what = status, code, what
        self.retry_after_s = retry_after_s


class Peers:
    """Begins, finds and ends peers; at most ``webrtc.peers`` at once."""

    def __init__(self, config: WebRtcConfig, policy: IcePolicy, most_pixels: int) -> None:
        """``most_pixels``: the largest picture taken, pixels."""
        self.config = config
        self._policy = policy
        self._most_pixels = most_pixels
        self._connecting = 0
        self._serving: dict[tuple[str, str], tuple[Peer, asyncio.Task[None]]] = {}

    async def begin(self, session: LiveSession, offer: str) -> tuple[str, str]:
        """Answer a peer that feeds ``session`` from then on, in the place of one before it.

        Returns:
            The peer's id and the SDP answer.

        Raises:
            RefusedError: ``webrtc_off``, ``watching``, ``too_many_peers``, ``bad_offer``,
                ``too_slow``.
        """
        try:
            module = await asyncio.to_thread(importlib.import_module, "omnilive.service.peer")
        except ImportError as e:
            what = f"WebRTC needs aiortc on the service's machine: {INSTALL}."
            raise RefusedError(501, "webrtc_off", what) from e
        if session.pulls:
            what = "The session watches a URL; have it pull an empty one first."
            raise RefusedError(409, "watching", what)
        if self._connecting + len(self._serving) >= self.config.peers:
            what = f"There are {self.config.peers} peers already."
            raise RefusedError(503, "too_many_peers", what, RETRY_S)
        self._connecting += 1
        try:
            peer: Peer = module.Peer(self.config, self._policy, self._most_pixels)
            answer = await self._answer(peer, offer)
        finally:
            self._connecting -= 1
        self._serve(peer, session)
        return peer.id, answer

    async def end(self, session_id: str, peer_id: str) -> bool:
        """End a peer that asks for it; False where there is none of that id."""
        peer, task = self._serving.get((session_id, peer_id), (None, None))
        if peer is None or task is None:
            return False
        peer.leave("has hung up")
        await asyncio.wait([task])
        return True

    async def close(self) -> None:
        """End all of them."""
        serving = tuple(self._serving.values())
        for peer, _ in serving:
            peer.leave("is not needed any more: the service stops")
        if serving:
            await asyncio.wait([task for _, task in serving])

    async def _answer(self, peer: Peer, offer: str) -> str:
        from omnilive.service.offer import OfferError

        answered = False
        try:
            answer = await asyncio.wait_for(peer.answer(offer), self.config.negotiation_s)
            answered = True
        except OfferError as e:
            raise RefusedError(e.status, "bad_offer", f"{e.what[:1].upper()}{e.what[1:]}.") from e
        except asyncio.TimeoutError as e:
            what = "The offer could not be answered in time."
            raise RefusedError(503, "too_slow", what, RETRY_S) from e
        finally:
            if not answered:
                await peer.close()
        return answer

    def _serve(self, peer: Peer, session: LiveSession) -> None:
        key = (session.names.id, peer.id)
        task = asyncio.ensure_future(peer.serve(session.feed(), session.ended))
        self._serving[key] = (peer, task)
        task.add_done_callback(lambda _: self._serving.pop(key))
