"""A session as a service runs it: fed from another thread, interrupted and resumed by a client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import Stream

from omnilive import events
from omnilive.config import load_config
from omnilive.engine.pack import open_pack
from omnilive.errors import SourceError
from omnilive.events import Event
from omnilive.lanes import LaneCores
from omnilive.service.live_session import LiveSession, SessionNames
from omnilive.session.playout import Played
from omnilive.session.session import RunOptions, Session
from omnilive.sources.live import LiveSource
from omnilive.sources.media import open_media
from omnilive.sources.types import Frame
from omnilive.speech.outlet import AudioChunk

WAIT_S = 240
QUESTION_ENDS_US = 7_500_000
"""The first spoken question is over and the second has not begun."""


class Client:
    """A session on a thread of its own, and everything it said."""

    def __init__(self, pack: Any, folder: Path) -> None:
        self.config = load_config("edge")
        self.said: list[Event | AudioChunk] = []
        self._changed = threading.Condition()
        self.live = LiveSource(self.config.source, name="browser")
        self.session = Session(
            pack,
            self.config,
            RunOptions(realtime=True),
            folder,
            (lambda event_id, at_us, event: self._take(event),),
            on_audio=self._take,
        )
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def wait_for(self, is_it: Callable[[Any], bool]) -> Any:
        """The first thing said that is it."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: self.error or any(map(is_it, self.said)), timeout=WAIT_S
            )
            return next(filter(is_it, self.said))

    def of(self, kind: type) -> list[Any]:
        return [one for one in self.said if isinstance(one, kind)]

    def join(self) -> None:
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error

    def _take(self, one: Event | AudioChunk) -> None:
        with self._changed:
            self.said.append(one)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            self.session.run(self.live)
            self.session.close()
        except BaseException as error:
            with self._changed:
                self.error = error
                self._changed.notify_all()


@pytest.fixture
def client(micro_pack: Path, tmp_path: Path) -> Iterator[Client]:
    with closing(open_pack(micro_pack)) as pack:
        client = Client(pack, tmp_path / "live")
        client.wait_for(lambda one: isinstance(one, events.SourceOpened))
        yield client
        client.live.end(discard=True)
        client.session.stop()
        client.join()


def feed(client: Client, stream: Stream) -> None:
    """Push the beginning of a file as fast as it is taken."""
    with closing(open_media(str(stream.path), client.config.source)) as media:
        for item in media:
            if item.pts_us >= QUESTION_ENDS_US:
                return
            assert client.live.push(item) or isinstance(item, Frame)


def test_an_answer_is_interrupted_at_a_word_and_goes_on_with_the_next(
    client: Client, stream: Stream
) -> None:
    feed(client, stream)
    first = client.wait_for(lambda one: isinstance(one, AudioChunk))
    assert client.session.interrupt(played=Played(first.generation, 0, final=True))
    client.wait_for(lambda one: isinstance(one, events.AnswerInterrupted))
    assert client.session.resume()
    client.wait_for(lambda one: isinstance(one, AudioChunk) and one.last)
    client.live.end()
    client.join()

    resumed, finished = client.of(events.AnswerResumed)[0], client.of(events.AnswerFinished)[0]
    assert (resumed.from_generation, resumed.spoken) == (first.generation, "")
    chunks = client.of(AudioChunk)
    again = [c for c in chunks if c.generation == resumed.generation]
    assert [c.first_sample for c in again] == list(
        np.cumsum([0, *(len(c.samples) for c in again)])[:-1]
    )
    sentences = [s for s in client.of(events.SentenceSpoken) if s.generation == resumed.generation]
    assert " ".join(s.text for s in sentences) == finished.text.strip()


def test_nothing_of_an_interrupted_answer_leaves_and_a_typed_question_is_answered(
    client: Client, stream: Stream
) -> None:
    feed(client, stream)
    first = client.wait_for(lambda one: isinstance(one, AudioChunk))
    assert client.session.interrupt()
    assert client.session.ask("What do you see now?")
    client.wait_for(lambda one: isinstance(one, AudioChunk) and one.utterance < 0)
    client.live.end()
    client.join()
    at = next(i for i, one in enumerate(client.said) if isinstance(one, events.AnswerInterrupted))
    assert client.said[at].generation == first.generation
    after = [one for one in client.said[at:] if isinstance(one, AudioChunk)]
    assert {c.utterance for c in after} == {-1}
    assert client.of(events.AnswerCancelled)[0].utterance == 0
    assert client.of(events.AnswerFinished)[-1].utterance == -1
    assert not client.session.ask("And now?")


def test_a_stopped_session_ends_with_its_answer_cancelled(client: Client, stream: Stream) -> None:
    feed(client, stream)
    client.wait_for(lambda one: isinstance(one, AudioChunk))
    assert client.session.stop()
    client.join()
    assert client.of(events.AnswerCancelled)
    assert isinstance(client.of(Event)[-1], events.SessionEnded)
    assert not client.session.interrupt()


def test_a_session_whose_source_failed_takes_no_questions(micro_pack: Path, tmp_path: Path) -> None:
    class Failing(LiveSource):
        def items(self, now_us: Callable[[], int]) -> Iterator[Any]:
            raise SourceError("is gone", where="camera", mend="")
            yield

    config = load_config("edge")
    with closing(open_pack(micro_pack)) as pack:
        session = Session(pack, config, RunOptions(realtime=True), tmp_path / "live")
        with closing(session), pytest.raises(SourceError):
            session.run(Failing(config.source, name="camera"))
        assert not session.ask("And now?")


def test_a_session_that_is_stopped_before_it_listens_ends(micro_pack: Path, tmp_path: Path) -> None:
    async def stop_at_once() -> None:
        with closing(open_pack(micro_pack)) as pack:
            loop, names = asyncio.get_running_loop(), SessionNames("0", "token", "here")
            cores = LaneCores(1)
            session = LiveSession(names, pack, load_config("edge"), "edge", tmp_path, loop, cores)
            session.stop()
            session.start()
            await asyncio.wait_for(session.ended.wait(), WAIT_S)
            assert session.error is None

    asyncio.run(stop_at_once())


def test_what_waits_of_an_answer_is_not_sent_once_it_is_interrupted(
    micro_pack: Path, tmp_path: Path
) -> None:
    async def act() -> None:
        with closing(open_pack(micro_pack)) as pack:
            loop, names = asyncio.get_running_loop(), SessionNames("0", "token", "here")
            cores = LaneCores(1)
            session = LiveSession(names, pack, load_config("edge"), "edge", tmp_path, loop, cores)
            session.outbox.connect(0)
            happened: asyncio.Queue[Event] = asyncio.Queue()
            session.listen(lambda event_id, at_us, event: happened.put_nowait(event))
            session.start()
            await _next(happened, events.SourceOpened)
            while session.ask("What do you see now?") is None:
                await asyncio.sleep(0)  # its door is about to open
            spoken = await _next(happened, events.SentenceSpoken)
            while not isinstance(await session.outbox.next(), bytes):
                pass  # several leave at once: more of it waits now
            session.interrupt(spoken.generation, 0)
            await _next(happened, events.AnswerInterrupted)
            session.stop()
            await asyncio.wait_for(session.ended.wait(), WAIT_S)
            said = []
            while (message := await session.outbox.next()) is not None:
                said.append(message)
            assert all(isinstance(message, str) for message in said)
            assert '"answer_interrupted"' in "".join(map(str, said))

    async def _next(happened: asyncio.Queue[Event], kind: type[Any]) -> Any:
        while not isinstance(event := await asyncio.wait_for(happened.get(), WAIT_S), kind):
            pass
        return event

    asyncio.run(act())
