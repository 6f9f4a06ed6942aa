"""One WebSocket connection: its messages become calls of a session, the outbox its answers.

It keeps no memory of the session: when it breaks, the session goes on for the grace period.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import WSCloseCode, WSMessage, WSMsgType

from omnilive.errors import OmniLiveError
from omnilive.service.client_socket import CONTROLS, ENDS, ClientSocket, CutOffError
from omnilive.service.config import ClientConfig
from omnilive.service.faults import ProtocolError
from omnilive.service.live_session import LiveSession
from omnilive.service.media_frames import (
    MediaLimits,
    MediaMessage,
    PictureMessage,
    decode_media,
)
from omnilive.service.outbox import SlowReaderError
from omnilive.service.pictures import decode_picture
from omnilive.service.protocol import (
    PROTOCOL_VERSION,
    AskMessage,
    ClientMessage,
    ClockMessage,
    EndMessage,
    Hello,
    InterruptMessage,
    PingMessage,
    PlayoutMessage,
    PullMessage,
    ResumeMessage,
    TextLimits,
    decode_text,
)
from omnilive.service.sessions import FullError, Sessions
from omnilive.sources.types import US_PER_SECOND, samples_to_us

SLOW_READER = 4001
TAKEN_OVER = 4002
"""Close codes besides the standard's own, as ``docs/protocol.md`` lists them."""

CONTROLS_BEFORE_HELLO = 4
"""Pings and pongs that a client may send before its hello."""

LISTENS_S = 10.0
"""How long a question waits for a session that does not take it, seconds."""
ASK_AGAIN_S = 0.02

COSTLY = (AskMessage, InterruptMessage, ResumeMessage, PullMessage)
"""Messages that each make the engines or a source begin anew."""

log = logging.getLogger(__name__)

Pull = Callable[[LiveSession, str], None]
"""Makes a session watch a URL, or its client again when it is empty."""


class Connection:
    """Serves one open WebSocket until either side closes it."""

    def __init__(
        self,
        socket: ClientSocket,
        address: str,
        sessions: Sessions,
        config: ClientConfig,
        pull: Pull,
    ) -> None:
        """Prepare.

        Args:
            socket: open, with its message limit set.
            address: of the client.
            sessions: where to find or begin one.
            config: limits.
            pull: makes a session watch a URL; raises ProtocolError when it may not.
        """
        self._socket = socket
        self._address = address
        self._sessions = sessions
        self._config = config
        self._pull = pull
        self._texts = TextLimits()
        self._media = MediaLimits(picture_bytes=config.picture_bytes)
        self._now_s = asyncio.get_running_loop().time
        self._session: LiveSession | None = None
        self._welcomed = False
        self._talking: list[asyncio.Task[None]] = []
        self._taken_over = False
        self._errors = 0
        self._newest: dict[type[MediaMessage], int] = {}
        self._picture: PictureMessage | None = None
        self._shown = asyncio.Event()

    async def serve(self) -> None:
        """Serve it."""
        try:
            hello = await asyncio.wait_for(self._hello(), self._config.hello_s)
            if hello is not None:
                await self._serve(await self._find(hello))
        except asyncio.TimeoutError:
            await self._socket.cut_off(WSCloseCode.POLICY_VIOLATION, "no hello")
        except CutOffError as cut:
            self._leave()
            await self._socket.cut_off(cut.code, cut.reason)
        except ConnectionError:
            return
        finally:
            self._leave()

    async def _serve(self, session: LiveSession) -> None:
        try:
            await self._talk(session)
        except CutOffError:
            raise
        except Exception:  # a fault of the service: its trace is for the journal, not the client
            log.exception("a connection of session %s failed", session.names.id)
            await self._socket.cut_off(WSCloseCode.INTERNAL_ERROR, "a fault of the service")

    def _leave(self) -> None:
        """Let go of the session, if it was reached: also when its client left amid the greeting."""
        session = self._session
        if session is not None and session.connection is self:
            session.connection = None
            session.outbox.disconnect()
            self._sessions.leave(session, known=self._welcomed)

    async def take_over(self) -> None:
        """Another connection has taken up the session: this one ends, and is not waited for."""
        self._taken_over = True
        for task in self._talking:
            task.cancel()

    async def _hello(self) -> Hello | None:
        """Wait for the hello; None when the connection has ended instead."""
        try:
            message = await self._first()
            if message.type in ENDS:
                return None
            hello = decode_text(message.data, self._texts) if _is_text(message) else None
            if not isinstance(hello, Hello):
                raise ProtocolError("no_hello", "the first message is a hello")
        except ProtocolError as error:
            await self._refuse(error)
            raise CutOffError(WSCloseCode.POLICY_VIOLATION, error.code) from error
        return hello

    async def _find(self, hello: Hello) -> LiveSession:
        """Find or begin its session, and welcome its client."""
        session = self._sessions.take_up(hello.resume) if hello.resume else None
        resumed = session is not None
        session = session or await self._sessions.free_own()
        if session is None:
            try:
                session = await self._sessions.begin(self._address)
            except FullError as full:
                await self._say("error", code="full", message=str(full), after=full.retry_after_s)
                raise CutOffError(WSCloseCode.TRY_AGAIN_LATER, "full") from full
            except OmniLiveError as error:
                await self._say("error", code="session_failed", message=error.what)
                raise CutOffError(WSCloseCode.INTERNAL_ERROR, "session_failed") from error
        if session.connection is not None:
            await session.connection.take_over()
        self._session, session.connection = session, self
        self._welcomed = resumed
        missed = session.outbox.connect(hello.after if resumed else 0)
        await self._say(
            "welcome",
            protocol=PROTOCOL_VERSION,
            session=session.names.id,
            resume=session.names.token,
            resumed=resumed,
            missed=missed,
            stream_us=session.now_us,
        )
        self._welcomed = True
        return session

    async def _first(self) -> WSMessage:
        """The first message that is no ping or pong."""
        for _ in range(CONTROLS_BEFORE_HELLO + 1):
            message = await self._socket.receive()
            if message.type not in CONTROLS:
                return message
            await self._take_control(message)
        raise ProtocolError("flood", "more pings than the service takes")

    async def _talk(self, session: LiveSession) -> None:
        """Send and receive until one of both ends."""
        overrun = asyncio.ensure_future(session.outbox.overrun())
        sending = asyncio.ensure_future(self._send(session))
        receiving = asyncio.ensure_future(self._receive(session))
        looking = asyncio.ensure_future(self._look(session))
        self._talking = tasks = [sending, receiving, looking, overrun]
        try:
            if not self._taken_over:  # it may have been while the client was greeted
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._taken_over:
                raise CutOffError(TAKEN_OVER, "taken up elsewhere")
            if overrun.done():
                raise CutOffError(SLOW_READER, "reads too slowly")
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, ConnectionError):
                    raise outcome

    async def _send(self, session: LiveSession) -> None:
        try:
            while (message := await session.outbox.next()) is not None:
                await self._socket.send(message)
        except SlowReaderError:
            return
        await self._socket.end(WSCloseCode.OK, "ended")

    async def _receive(self, session: LiveSession) -> None:
        while (message := await self._socket.receive()).type not in ENDS:
            if session.connection is not self:
                return
            try:
                if not session.rates.messages.take(self._now_s()):
                    raise ProtocolError("flood", "more messages than the service takes")
                if message.type is WSMsgType.BINARY:
                    await self._take_media(session, decode_media(message.data, self._media))
                elif message.type is WSMsgType.TEXT:
                    await self._take_text(session, decode_text(message.data, self._texts))
                else:
                    await self._take_control(message)
            except ProtocolError as error:
                await self._refuse(error)

    async def _take_control(self, message: WSMessage) -> None:
        if message.type is WSMsgType.PING:
            await self._socket.pong(message.data)

    async def _take_media(self, session: LiveSession, message: MediaMessage) -> None:
        newest = self._newest.get(type(message), -1)
        if message.sequence <= newest:
            raise ProtocolError("out_of_order", f"sequence {message.sequence} after {newest}")
        self._newest[type(message)] = message.sequence
        if isinstance(message, PictureMessage):
            if session.wants_picture(message.pts_us):
                self._picture = message  # one that still waits makes way
                self._shown.set()
            return
        while not (session.push_sound(message.pts_us, message.samples) or session.ended.is_set()):
            # Nothing of a client's sound is dropped: it is read no faster than it is heard.
            await asyncio.sleep(samples_to_us(len(message.samples)) / US_PER_SECOND)

    async def _look(self, session: LiveSession) -> None:
        """Decode pictures beside what comes after them: nothing that is said waits for one."""
        while True:
            await self._shown.wait()
            self._shown.clear()
            message, self._picture = self._picture, None
            if message is None:
                continue
            try:
                rgb = await asyncio.to_thread(
                    decode_picture, message.data, self._config.picture_pixels
                )
                session.push_picture(message.pts_us, rgb)
            except ProtocolError as error:
                await self._refuse(error)

    async def _take_text(self, session: LiveSession, message: ClientMessage) -> None:
        if isinstance(message, COSTLY) and not session.rates.questions.take(self._now_s()):
            raise ProtocolError("too_often", f"more {message.kind} messages than are taken")
        if isinstance(message, AskMessage):
            await self._ask(session, message.text)
        elif isinstance(message, InterruptMessage):
            session.interrupt(message.generation, message.samples)
        elif isinstance(message, PlayoutMessage):
            session.playout(message.generation, message.samples, final=message.final)
        elif isinstance(message, ResumeMessage):
            if not session.resume_answer():
                raise ProtocolError("nothing_to_resume", "no answer can be gone on with")
        elif isinstance(message, PullMessage):
            self._pull(session, message.url)
        elif isinstance(message, ClockMessage):
            self._newest.clear()
            session.restart_clock()
        elif isinstance(message, EndMessage):
            session.end()
        elif isinstance(message, PingMessage):
            await self._say("pong", id=message.id)
        elif isinstance(message, Hello):
            raise ProtocolError("malformed", "a second hello")

    async def _ask(self, session: LiveSession, text: str) -> None:
        """Ask as soon as the session listens: it may just have begun."""
        give_up_s = self._now_s() + LISTENS_S
        while session.ask(text) is None and not session.ended.is_set():
            if self._now_s() > give_up_s:
                raise ProtocolError("busy", "the session takes no question now")
            await asyncio.sleep(ASK_AGAIN_S)

    async def _refuse(self, error: ProtocolError) -> None:
        """Tell the client.

        Raises:
            CutOffError: the connection ends with it.
        """
        self._errors += 1
        await self._say("error", code=error.code, message=error.what)
        if error.fatal:
            raise CutOffError(WSCloseCode.POLICY_VIOLATION, error.code)
        if self._errors >= self._config.errors:
            raise CutOffError(WSCloseCode.POLICY_VIOLATION, "too many errors")

    async def _say(self, kind: str, **fields: Any) -> None:
        """Send a message of this connection alone: it has no number and is never sent again."""
        await self._socket.send(json.dumps({"type": kind, **fields}, ensure_ascii=False))


def _is_text(message: WSMessage) -> bool:
    return message.type is WSMsgType.TEXT
