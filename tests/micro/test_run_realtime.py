"""Sessions against the wall clock, and against sources that keep them waiting.

Nothing here waits for a time to pass: events are awaited, with a limit.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from plain_media import write_noise
from runs import Run, Stream, whole_lines

from omnilive import events
from omnilive.config import load_config
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.session import session as session_module
from omnilive.session.asking import Ask
from omnilive.session.session import RunOptions, Session
from omnilive.sources.media import MediaSource, open_media
from omnilive.sources.types import Frame, Pcm, SourceWarning

WAIT_S = 120
"""How long a test waits for a process or a thread before it fails."""

Item = Frame | Pcm | SourceWarning


@pytest.fixture
def brief_answers(tmp_path: Path) -> Path:
    """A configuration under which an answer is heard in a second or two."""
    path = tmp_path / "brief.toml"
    path.write_text("[reasoning]\nmax_new_tokens = 3\n", encoding="utf-8")
    return path


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where whoever runs the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def pack(micro_pack: Path) -> Iterator[EnginePack]:
    opened = open_pack(micro_pack)
    yield opened
    opened.close()


class Stalling:
    """A media source that gives nothing between its second frame and its release."""

    def __init__(
        self,
        source: MediaSource,
        release: threading.Event,
        on_stall: Callable[[], None] = lambda: None,
    ) -> None:
        self.info = source.info
        self._source = source
        self._release = release
        self._on_stall = on_stall

    def __iter__(self) -> Iterator[Item]:
        frames = 0
        for item in self._source:
            yield item
            frames += isinstance(item, Frame)
            if frames == 2:
                self._on_stall()
                assert self._release.wait(WAIT_S), "the session waits for its source"


def test_a_run_in_real_time_ends_whole(
    run: Callable[..., Run], short: Path, brief_answers: Path
) -> None:
    ask = ("--ask", "What is this?@1.5", "--config", str(brief_answers))
    result = run(short, "--realtime", *ask)
    assert result.code == 0
    logged = result.events()
    assert [e["id"] for e in logged] == list(range(1, len(logged) + 1))
    assert [e["at_us"] for e in logged] == sorted(e["at_us"] for e in logged)
    assert result.only("session_started")["clock"] == "monotonic"
    ended = result.only("session_ended")
    assert logged[-1] == ended
    assert ended["frames"] + ended["frames_dropped"] == 3
    assert result.events("frame_encoded")[-1]["pts_us"] == 2_000_000
    closed = [e["clip"] for e in result.events("clip_closed")]
    assert closed and [e["clip"] for e in result.events("clip_compressed")] == closed
    assert result.only("answer_finished")["utterance"] == -1
    assert result.only("transcribed")["at_us"] >= 1_500_000
    assert (result.folder / "report.html").is_file()
    with wave.open(str(result.folder / "answers.wav")) as sound:
        assert sound.getnframes() >= 3 * 16_000
    assert not [t for t in threading.enumerate() if t.name.startswith(("lane-", "prefetch"))]


def test_every_frame_is_encoded_natively_beside_a_thread_that_burns_the_interpreter(
    run: Callable[..., Run], short: Path, tmp_path: Path
) -> None:
    trace, over = tmp_path / "trace.json", threading.Event()

    def burn() -> None:
        while not over.is_set():
            pass

    burner = threading.Thread(target=burn)
    burner.start()
    try:
        result = run(short, "--realtime", "--trace", str(trace))
    finally:
        over.set()
        burner.join()
    assert result.code == 0
    ended = result.only("session_ended")
    see = json.loads(trace.read_text(encoding="utf-8"))["otherData"]["see"]
    assert see["native"] == see["done"] == ended["frames"] > 0
    assert see["gil_taken"] == 0


def test_a_question_is_answered_while_the_source_stalls(
    pack: EnginePack, short: Path, brief_answers: Path, tmp_path: Path
) -> None:
    config, release = load_config("edge", brief_answers), threading.Event()
    seen: list[events.Event] = []
    kept: list[bool] = []

    def listen(event_id: int, at_us: int, event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, events.TokenDecoded):
            release.set()
        elif isinstance(event, events.FrameEncoded):
            kept.append((tmp_path / "out" / "keyframes" / f"{event.keyframe}.jpg").is_file())

    source = open_media(str(short), config.source)
    session = Session(pack, config, RunOptions(realtime=True), tmp_path / "out", (listen,))
    asks = (Ask("What is this?", 1_200_000),)
    session.run(Stalling(source, release), asks)  # type: ignore[arg-type]
    session.close()
    source.close()
    kinds = [event.kind for event in seen]
    first_token = kinds.index("token_decoded")
    assert kinds[:first_token].count("frame_encoded") <= 2
    assert kinds.count("frame_encoded") == 3 and kept == [True] * 3
    assert kinds[-1] == "session_ended"


class Behind:
    """A media source that is always behind: each item waits for a thread to come and go."""

    def __init__(self, source: MediaSource) -> None:
        self.info = source.info
        self._source = source

    def __iter__(self) -> Iterator[Item]:
        for item in self._source:
            thread = threading.Thread(target=os.sched_yield)
            thread.start()
            thread.join(WAIT_S)
            yield item


def test_in_virtual_time_a_source_that_is_behind_changes_no_event(
    pack: EnginePack, stream: Stream, tmp_path: Path
) -> None:
    config = load_config("edge")
    for name, slowed in (("swift", lambda source: source), ("behind", Behind)):
        source = open_media(str(stream.path), config.source)
        session = Session(pack, config, RunOptions(), tmp_path / name)
        session.run(slowed(source), (Ask("What is this?", 5_500_000),))
        session.close()
        source.close()
    for file in ("events.jsonl", "answers.wav"):
        swift, behind = ((tmp_path / name / file).read_bytes() for name in ("swift", "behind"))
        assert swift == behind


def test_the_answers_sound_is_as_long_as_a_stream_without_sound(
    run: Callable[..., Run], tmp_path: Path
) -> None:
    silent = tmp_path / "silent.mkv"
    write_noise(silent, 3, sound=False)
    result = run(silent)
    assert result.code == 0
    with wave.open(str(result.folder / "answers.wav")) as sound:
        assert sound.getnframes() == 3 * 16_000


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("realtime", [False, True], ids=["virtual", "realtime"])
def test_an_interrupted_run_does_not_wait_for_a_source_that_gives_nothing(
    pack: EnginePack,
    short: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    realtime: bool,
) -> None:
    monkeypatch.setattr(session_module, "READER_STOP_S", 0.0)
    config, running, release = load_config("edge"), threading.Event(), threading.Event()
    loop = threading.get_ident()

    def listen(event_id: int, at_us: int, event: events.Event) -> None:
        if isinstance(event, events.FrameEncoded):
            running.set()

    def press_ctrl_c() -> None:
        assert running.wait(WAIT_S)
        signal.pthread_kill(loop, signal.SIGINT)

    source = open_media(str(short), config.source)
    options = RunOptions(realtime=realtime)
    session = Session(pack, config, options, tmp_path / "out", (listen,))
    with pytest.raises(KeyboardInterrupt):
        session.run(Stalling(source, release, press_ctrl_c))  # type: ignore[arg-type]
    session.close()
    assert "left open" in whole_lines(tmp_path / "out" / "events.jsonl")[-1]["what"]
    source.close()
    release.set()
    for thread in threading.enumerate():
        if thread.name == "prefetch":
            thread.join(WAIT_S)
