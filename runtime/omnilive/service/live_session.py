"""One live session: a Session on a thread of its own, and its client's side of it.

The session's loop never waits for the network: what it says is handed to the event loop, which
keeps it in the outbox. Everything here but the thread's own work belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from omnilive.clock import MonotonicClock
from omnilive.config import RuntimeConfig
from omnilive.engine.pack import EnginePack
from omnilive.errors import OmniLiveError
from omnilive.eventlog import TimingListener
from omnilive.events import AnswerCancelled, AnswerInterrupted, Event, to_json
from omnilive.lanes import Lane, LaneCores, LaneUse, Progress
from omnilive.service.guarded_http import Check
from omnilive.service.media_frames import encode_answer_audio
from omnilive.service.memory_view import MemoryView
from omnilive.service.outbox import Outbox
from omnilive.service.peer_feed import PeerFeed
from omnilive.service.pulling import Puller, Pulls
from omnilive.service.rate import SessionRates
from omnilive.service.sender_clock import SenderClock
from omnilive.session.playout import Played
from omnilive.session.session import RunOptions, Session
from omnilive.sources.live import LiveSource
from omnilive.sources.types import samples_to_us
from omnilive.speech.outlet import AudioChunk

log = logging.getLogger(__name__)

EventListener = Callable[[int, int, Event], None]

SPOKEN_BY_CLIENT = "browser"
"""Name of a source that the client itself feeds."""


class Reader(Protocol):
    """The connection that reads a session's outbox."""

    async def take_over(self) -> None:
        """Another one reads from now on."""


@dataclass(frozen=True)
class SessionNames:
    """What a session is called.

    Attributes:
        id: in URLs and logs.
        token: what its client shows to take it up again; never logged.
        address: whose it is, for the limit of sessions per client.
    """

    id: str
    token: str
    address: str


class LiveSession:
    """Runs from ``start`` until its source ends, it is stopped, or it fails.

    Attributes:
        names: what it is called.
        folder: where it writes.
        outbox: what it says to its client.
        memory: what it remembers, as its events told it.
        connection: who reads the outbox.
        ended: set once it has ended; it holds no engine's memory from then on.
        error: what it failed of, in words for its client.
        events: how many there have been.
    """

    def __init__(
        self,
        names: SessionNames,
        pack: EnginePack,
        config: RuntimeConfig,
        preset: str,
        folder: Path,
        loop: asyncio.AbstractEventLoop,
        cores: LaneCores,
        on_timing: TimingListener | None = None,
    ) -> None:
        """Make it; ``on_timing`` is told of every stage that was measured, on its thread."""
        self.names = names
        self.folder = folder
        self.outbox = Outbox(config.client.replayed_messages, config.client.unsent_bytes)
        self.rates = SessionRates(config.client, loop.time())
        self._source = LiveSource(
            config.source, name=SPOKEN_BY_CLIENT, has_video=True, has_audio=True
        )
        self.memory = MemoryView()
        self.connection: Reader | None = None
        self.ended = asyncio.Event()
        self.error: str | None = None
        self.events = 0
        self._loop = loop
        self._listeners: list[EventListener] = []
        self._ends: list[Callable[[], None]] = []
        self._asked = 0
        self._ended_us = 0
        self._source_config = config.source
        self._clock = MonotonicClock()
        self._client_clock = SenderClock(self._clock.now_us, config.source.stall_ms * 1000)
        self._pulls = Pulls(self._make_puller)
        self._peer: PeerFeed | None = None
        self._session: Session | None = Session(
            pack,
            config,
            RunOptions(preset=preset, realtime=True),
            folder,
            listeners=(self._hear_event,),
            on_audio=self._hear_audio,
            cores=cores,
            on_timing=on_timing,
        )
        self._thread = threading.Thread(target=self._run, name=f"session-{names.id}", daemon=True)

    def start(self) -> None:
        """Begin; stream time runs from the first thing that is pushed."""
        self._thread.start()

    def listen(self, listener: EventListener) -> Callable[[], None]:
        """Tell ``listener`` of every event from now on, on the event loop.

        Returns:
            What ends it.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Call back on the event loop once it has ended, however it did."""
        self._ends.append(callback)

    def ask(self, text: str) -> int | None:
        """Ask a typed question now.

        Returns:
            The utterance its events carry, or None when the session has ended.
        """
        session = self._session
        if session is None or not session.ask(text):
            return None
        self._asked += 1
        return -self._asked

    def interrupt(self, generation: int, samples: int) -> None:
        """Stop the answer of ``generation``, of which ``samples`` were played.

        Both -1 when not known; without a generation whatever is being answered is stopped.
        """
        known = generation >= 0
        played = Played(generation, samples, True) if known and samples >= 0 else None
        if self._session is not None:
            self._session.interrupt(played=played, generation=generation if known else None)

    def playout(self, generation: int, samples: int, *, final: bool) -> None:
        """The client has played ``samples`` of a generation's answer."""
        if self._session is not None and generation >= 0 and samples >= 0:
            self._session.playout(Played(generation, samples, final))

    def resume_answer(self) -> bool:
        """Go on with the answer interrupted last, if there is one; False once it has ended."""
        return self._session is not None and self._session.resume()

    def pull(self, addresses: Sequence[str], check: Check | None = None) -> None:
        """Watch and listen to these from now on, or, when there are none, to the client again.

        Args:
            addresses: what the caller has checked that it may be read.
            check: refuses URLs that they lead to; None to go wherever they lead.

        Raises:
            ProtocolError: ``too_often``.
        """
        self._pulls.begin(addresses, check)
        self._end_peer()

    @property
    def pulls(self) -> bool:
        """Whether it watches an address now."""
        return self._pulls.active

    def feed(self) -> PeerFeed:
        """Have a WebRTC peer feed it from now on, instead of its client and the peer before."""
        self._end_peer()
        self._peer = PeerFeed(self._source, self._source_config, self._clock.now_us)
        return self._peer

    def wants_picture(self, pts_us: int) -> bool:
        """Whether a client's picture of that time would be looked at."""
        if self._pulls.active or (self._peer is not None and self._peer.has_video):
            return False
        return self._source.wants_frame(self._client_clock.place(pts_us))

    def push_picture(self, pts_us: int, rgb: npt.NDArray[np.uint8]) -> None:
        """Take a client's picture, uint8 [h, w, 3], on its clock."""
        self._source.push_frame(self._client_clock.place(pts_us), rgb)

    def push_sound(self, pts_us: int, samples: npt.NDArray[np.float32]) -> bool:
        """Take a client's sound, float32 [n] at 16 kHz, on its clock.

        Returns:
            Whether there was room for it. While a pulled stream or a peer has sound, that is heard
            instead.
        """
        if self._pulls.has_audio or (self._peer is not None and self._peer.has_audio):
            return True
        at_us = self._client_clock.place(pts_us, samples_to_us(len(samples)))
        return self._source.push_pcm(at_us, samples)

    def restart_clock(self) -> None:
        """The client's clock begins anew."""
        self._client_clock.restart()

    def end(self) -> None:
        """No more will be pushed; the session ends once its last answer has been heard."""
        self._pulls.stop()
        self._source.end()

    def stop(self) -> None:
        """End now; the answer in progress is cancelled."""
        self._pulls.stop()
        session = self._session
        if session is not None and not session.stop():  # it does not listen yet, or is behind
            self._source.end(discard=True)

    @property
    def remembered_bytes(self) -> int:
        """What its clips and the records of their frames take; the plan holds room for them."""
        return self._session.remembered_bytes if self._session is not None else 0

    @property
    def now_us(self) -> int:
        """Stream time, microseconds; of one that has ended, when it did."""
        return self._session.now_us() if self._session is not None else self._ended_us

    def lane_use(self, bounds_us: Sequence[int]) -> Mapping[Lane, LaneUse]:
        """What each of its lanes has done; see ``Session.lane_use``."""
        return self._session.lane_use(bounds_us) if self._session is not None else {}

    def progress(self) -> Mapping[Lane, Progress]:
        """How far each of its lanes has come."""
        return self._session.progress() if self._session is not None else {}

    def _run(self) -> None:
        session = self._session
        assert session is not None
        error: str | None = None
        try:
            try:
                session.run(self._source)
            finally:
                session.close()
        except OmniLiveError as e:
            log.error("session %s failed: %s", self.names.id, e)
            error = e.what
        except BaseException:
            error = "a fault of the service"
            raise
        finally:
            del session  # this thread may outlive what it hands over
            self._on_loop(self._finish, error)

    def _finish(self, error: str | None) -> None:
        self.error = error
        self._pulls.stop()
        if error is not None:
            self.outbox.say("error", code="session_failed", message=error)
        self.outbox.say("ended")
        self.outbox.close()
        self.ended.set()
        for callback in self._ends:
            callback()
        self._ends.clear()
        # A connection may keep this one for a while yet: it lets go of all that the session held.
        self._ended_us = self.now_us
        self._session = None

    def _end_peer(self) -> None:
        if self._peer is not None:
            self._peer.close()

    def _make_puller(self, address: str, check: Check | None) -> Puller:
        return Puller(address, self._source, self._source_config, self._clock.now_us, check)

    def _hear_event(self, event_id: int, at_us: int, event: Event) -> None:
        self._on_loop(self._say_event, event_id, at_us, event)

    def _hear_audio(self, chunk: AudioChunk) -> None:
        self._on_loop(self._say_audio, chunk)

    def _say_event(self, event_id: int, at_us: int, event: Event) -> None:
        self.events += 1
        self.memory.take(event)
        if isinstance(event, AnswerInterrupted | AnswerCancelled):
            self.outbox.drop_sound(event.generation)
        self.outbox.say("event", event=json.loads(to_json(event_id, at_us, event)))
        for listener in tuple(self._listeners):
            listener(event_id, at_us, event)

    def _say_audio(self, chunk: AudioChunk) -> None:
        self.outbox.say_sound(
            encode_answer_audio(
                chunk.generation,
                chunk.utterance,
                chunk.first_sample,
                chunk.pts_us,
                chunk.samples,
                last=chunk.last,
            ),
            chunk.generation,
        )

    def _on_loop(self, call: Callable[..., None], *args: Any) -> None:
        """Call on the event loop, unless that has ended before the session."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *args)


def describe(session: LiveSession) -> dict[str, Any]:
    """What ``/v1/sessions`` says of a session; never its token."""
    names = dataclasses.asdict(session.names)
    del names["token"], names["address"]
    return {
        **names,
        "stream_us": session.now_us,
        "events": session.events,
        "unsent_bytes": session.outbox.unsent_bytes,
        "kept_bytes": session.outbox.kept_bytes,
        "remembered_bytes": session.remembered_bytes,
        "ended": session.ended.is_set(),
    }
