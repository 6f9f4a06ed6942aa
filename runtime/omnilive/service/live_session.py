"""One live session: a Session on a thread of its own, and its client's side of it.

The session's loop never waits for the network: what it says is handed to the event loop, which
keeps it in the outbox. Everything here but the thread's own work belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
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
from omnilive.events import AnswerCancelled, AnswerInterrupted, Event, to_json
from omnilive.lanes import Lane, Progress
from omnilive.service.guarded_http import Check
from omnilive.service.media_frames import encode_answer_audio
from omnilive.service.memory_view import MemoryView
from omnilive.service.outbox import Outbox
from omnilive.service.pulling import Puller, Pulls
from omnilive.service.sender_clock import SenderClock
from omnilive.session.playout import Played
from omnilive.session.session import RunOptions, Session
from omnilive.sources.live import LiveSource
from omnilive.sources.types import samples_to_us
from omnilive.speech.outlet import AudioChunk

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
    """Runs from ``start`` until its source ends, it is stopped, or it fails."""

    def __init__(
        self,
        names: SessionNames,
        pack: EnginePack,
        config: RuntimeConfig,
        preset: str,
        folder: Path,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.names = names
        self.folder = folder
        self.outbox = Outbox(config.client.replayed_messages, config.client.unsent_bytes)
        self._source = LiveSource(
            config.source, name=SPOKEN_BY_CLIENT, has_video=True, has_audio=True
        )
        self.memory = MemoryView()
        self.connection: Reader | None = None
        self.ended = asyncio.Event()
        self.error: BaseException | None = None
        self.events = 0
        self._loop = loop
        self._listeners: list[EventListener] = []
        self._asked = 0
        self._source_config = config.source
        self._clock = MonotonicClock()
        self._client_clock = SenderClock(self._clock.now_us, config.source.stall_ms * 1000)
        self._pulls = Pulls(self._make_puller)
        self._session = Session(
            pack,
            config,
            RunOptions(preset=preset, realtime=True),
            folder,
            listeners=(self._hear_event,),
            on_audio=self._hear_audio,
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

    def ask(self, text: str) -> int | None:
        """Ask a typed question now.

        Returns:
            The utterance its events carry, or None when the session has ended.
        """
        if not self._session.ask(text):
            return None
        self._asked += 1
        return -self._asked

    def interrupt(self, generation: int, samples: int) -> None:
        """Stop the answer; ``generation`` and ``samples`` played of it, -1 when not known."""
        played = Played(generation, samples, True) if generation >= 0 and samples >= 0 else None
        self._session.interrupt(played=played)

    def playout(self, generation: int, samples: int, *, final: bool) -> None:
        """The client has played ``samples`` of a generation's answer."""
        if generation >= 0 and samples >= 0:
            self._session.playout(Played(generation, samples, final))

    def resume_answer(self) -> bool:
        """Go on with the answer interrupted last, if there is one; False once it has ended."""
        return self._session.resume()

    def pull(self, addresses: Sequence[str], check: Check | None = None) -> None:
        """Watch and listen to these from now on, or, when there are none, to the client again.

        Args:
            addresses: what the caller has checked that it may be read.
            check: refuses URLs that they lead to; None to go wherever they lead.

        Raises:
            ProtocolError: ``too_often``.
        """
        self._pulls.begin(addresses, check)

    def wants_picture(self, pts_us: int) -> bool:
        """Whether a client's picture of that time would be looked at."""
        return not self._pulls.active and self._source.wants_frame(self._client_clock.place(pts_us))

    def push_picture(self, pts_us: int, rgb: npt.NDArray[np.uint8]) -> None:
        """Take a client's picture, uint8 [h, w, 3], on its clock."""
        self._source.push_frame(self._client_clock.place(pts_us), rgb)

    def push_sound(self, pts_us: int, samples: npt.NDArray[np.float32]) -> bool:
        """Take a client's sound, float32 [n] at 16 kHz, on its clock.

        Returns:
            Whether there was room for it. While a pulled stream has sound, that is heard instead.
        """
        if self._pulls.has_audio:
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
        if not self._session.stop():  # it does not listen yet, or its loop is behind
            self._source.end(discard=True)

    @property
    def remembered_bytes(self) -> int:
        """What its clips take; the memory plan holds room for as many as it may keep."""
        return self._session.remembered_bytes

    @property
    def now_us(self) -> int:
        """Stream time, microseconds."""
        return self._session.now_us()

    def progress(self) -> Mapping[Lane, Progress]:
        """How far each of its lanes has come."""
        return self._session.progress()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            try:
                self._session.run(self._source)
            finally:
                self._session.close()
        except OmniLiveError as e:
            error = e
        except BaseException as e:
            error = e
            raise
        finally:
            self._on_loop(self._finish, error)

    def _finish(self, error: BaseException | None) -> None:
        self.error = error
        self._pulls.stop()
        if error is not None:
            what = error.what if isinstance(error, OmniLiveError) else "a fault of the service"
            self.outbox.say("error", code="session_failed", message=what)
        self.outbox.say("ended")
        self.outbox.close()
        self.ended.set()

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
