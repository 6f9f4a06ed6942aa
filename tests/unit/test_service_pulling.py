"""Pulling: bursts, stalls and jumps on one clock, reopening, and where a stream may lead."""

from __future__ import annotations

import http.server
import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.errors import SourceError
from omnilive.service.backoff import Backoff
from omnilive.service.faults import ProtocolError
from omnilive.service.guarded_http import GuardedHttp
from omnilive.service.pulling import MOST_LEAVING, Puller, Pulls
from omnilive.service.sender_clock import AHEAD_US, SETTLE_US, SenderClock
from omnilive.sources.address import open_address
from omnilive.sources.config import SourceConfig
from omnilive.sources.types import Frame, MediaInfo, Pcm

LATE_US = 1_000_000
ELSEWHERE = "127.0.0.2"


class Now:
    us = 50_000_000

    def __call__(self) -> int:
        return self.us


@given(st.integers(-(1 << 51), 1 << 51), st.lists(st.integers(1_000, 900_000), max_size=30))
def test_what_comes_on_time_keeps_the_distances_of_its_senders_clock(
    origin_us: int, steps_us: list[int]
) -> None:
    now = Now()
    clock = SenderClock(now, LATE_US)
    pts_us = origin_us
    first = clock.place(pts_us)
    assert first == now.us
    for step_us in steps_us:
        now.us += step_us
        pts_us += step_us
        assert clock.place(pts_us) == first + pts_us - origin_us


@given(st.lists(st.tuples(st.integers(-(1 << 52), 1 << 52), st.integers(0, 10_000_000))))
def test_no_clock_of_a_sender_leads_far_from_now(items: list[tuple[int, int]]) -> None:
    now = Now()
    clock = SenderClock(now, LATE_US)
    for pts_us, later_us in items:
        now.us += later_us
        assert abs(clock.place(pts_us) - now.us) <= AHEAD_US


def test_a_stall_that_is_not_made_up_is_forgiven_and_one_that_is_leaves_the_clock_alone() -> None:
    for made_up in (False, True):
        now = Now()
        clock = SenderClock(now, LATE_US)
        clock.place(0)
        now.us += 5_000_000 + 100_000
        pts_us = 100_000
        behind = [now.us - clock.place(pts_us)]
        for _ in range(2 * SETTLE_US // 100_000):
            now.us += 100_000
            pts_us = now.us - 50_000_000 if made_up else pts_us + 100_000
            behind.append(now.us - clock.place(pts_us))
        assert behind[0] == 5_000_000
        assert behind[-1] == 0


class Taking:
    """A live source that writes down what comes; ``refuse`` is asked first."""

    def __init__(self) -> None:
        self.items: list[Frame | Pcm] = []
        self.notices: list[str] = []
        self.changed = threading.Condition()
        self.refuse: Callable[[], bool] = lambda: False

    def push(self, item: Any) -> bool:
        with self.changed:
            if self.refuse():
                return False
            self.items.append(item)
            self.changed.notify_all()
            return True

    def notice(self, what: str) -> None:
        with self.changed:
            self.notices.append(what)
            self.changed.notify_all()

    def until(self, done: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(done, 60)


class Stream:
    """A source that gives what it was made of."""

    def __init__(self, items: list[Frame | Pcm]) -> None:
        self.info = MediaInfo("stream", None, 8, 8, True, True)
        self.items = items

    def __iter__(self) -> Iterator[Frame | Pcm]:
        return iter(self.items)

    def close(self) -> None:
        self.items = []


def sound(index: int) -> Pcm:
    return Pcm(index * 100_000, np.full(1_600, index, np.float32))


def puller(address: str, taking: Taking, opener: Callable[[str], Any], now: Now) -> Puller:
    return Puller(
        address,
        taking,  # type: ignore[arg-type]
        SourceConfig(),
        now,
        backoff=Backoff(0.001, 0.002),
        rng=random.Random(1),
        opener=opener,
    )


def test_a_source_that_breaks_or_cannot_be_opened_is_opened_again() -> None:
    taking, attempts = Taking(), iter(range(100))

    def opener(address: str) -> Stream:
        attempt = next(attempts)
        if attempt in (1, 2):
            raise SourceError("cannot be opened (refused)", where=address, mend="")
        return Stream([sound(0)])

    pulled = puller("rtsp://camera.example/secret?key=1", taking, opener, Now())
    taking.until(lambda: len(taking.items) >= 3)
    pulled.stop()
    assert pulled.join(60)
    assert taking.notices[0] == "connected to rtsp://camera.example"
    assert "the stream ended; opening it again" in taking.notices[1]
    assert "cannot be opened (refused)" in taking.notices[2]
    assert not any("secret" in what or "key" in what for what in taking.notices)


def test_after_its_stop_nothing_is_handed_on() -> None:
    taking = Taking()
    pulled: list[Puller] = []

    def endless() -> Iterator[Pcm]:
        index = 0
        while True:
            if index == 5:
                pulled[0].stop()
            yield sound(index)
            index += 1

    began = threading.Event()

    def opener(address: str) -> Stream:
        assert began.wait(60)
        return Stream(endless())  # type: ignore[arg-type]

    pulled.append(puller("rtmp://host/a", taking, opener, Now()))
    began.set()
    assert pulled[0].join(60)
    assert [item.samples[0] for item in taking.items if isinstance(item, Pcm)] == [0, 1, 2, 3, 4]


def test_sound_waits_for_room_and_none_is_lost() -> None:
    taking = Taking()
    refusals = iter([True] * 3)
    taking.refuse = lambda: next(refusals, False)
    pulled = puller("rtmp://host/a", taking, lambda _: Stream([sound(i) for i in range(4)]), Now())
    taking.until(lambda: len(taking.items) >= 4)
    pulled.stop()
    assert [i.samples[0] for i in taking.items[:4] if isinstance(i, Pcm)] == [0, 1, 2, 3]


def test_what_a_server_had_kept_for_late_comers_does_not_make_the_stream_late() -> None:
    taking, now = Taking(), Now()
    frames: list[Frame | Pcm] = [
        Frame(index * 200_000, np.zeros((8, 8, 3), np.uint8)) for index in range(40)
    ]
    pulled = puller("rtmp://host/a", taking, lambda _: Stream(frames), now)
    taking.until(lambda: len(taking.items) >= 40)
    pulled.stop()
    # All of them came at once, so the newest of them is now, not eight seconds ahead.
    assert taking.items[39].pts_us - now.us <= 500_000


def test_streams_given_up_that_hang_are_bounded() -> None:
    go_on = threading.Event()

    def hang(address: str) -> Stream:
        assert go_on.wait(60)
        return Stream([])

    made: list[Puller] = []

    def make(address: str, check: object) -> Puller:
        made.append(puller(address, Taking(), hang, Now()))
        return made[-1]

    pulls = Pulls(make)
    for number in range(MOST_LEAVING + 1):
        pulls.begin([f"rtmp://host/{number}"], None)
    with pytest.raises(ProtocolError, match="too_often"):
        pulls.begin(["rtmp://host/more"], None)
    go_on.set()
    assert all(one.join(60) for one in made[:-1])
    pulls.begin([], None)
    assert not pulls.active
    assert made[-1].join(60)


def test_a_file_is_not_read_again(tmp_path: Path) -> None:
    taking = Taking()
    pulled = puller("talk.mp4", taking, lambda _: Stream([sound(0), sound(1)]), Now())
    assert pulled.join(60)
    assert taking.notices == ["connected to the file", "the file has ended"]


@pytest.fixture
def hls(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A server of a playlist and ones that lead elsewhere: its URL, and the paths asked for."""
    playlist = tmp_path / "live.m3u8"
    with av.open(str(playlist), "w", format="hls", options={"hls_time": "1"}) as out:
        stream = out.add_stream("libx264", rate=5, options={"g": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(15):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index, np.uint8))
            picture.pts = index
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Host"].split(":")[0] + self.path)
            if self.path == "/redirected.m3u8":
                self.send_response(302)
                self.send_header("Location", f"http://{ELSEWHERE}:{port}/live.m3u8")
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *_: Any) -> None:
            """Keep still."""

    server = http.server.ThreadingHTTPServer(("", 0), partial(Handler, directory=str(tmp_path)))
    port = server.server_port
    text = playlist.read_text()
    for name, target in (("elsewhere", f"http://{ELSEWHERE}:{port}/"), ("local", "file:///etc/")):
        lines = [target + line if line.endswith(".ts") else line for line in text.splitlines()]
        (tmp_path / f"{name}.m3u8").write_text("\n".join(lines))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def not_elsewhere(url: str) -> None:
    if ELSEWHERE in url:
        raise ProtocolError("forbidden", "the host is not in client.pull_hosts")


def test_a_playlist_is_played_through_the_guard(hls: tuple[str, list[str]]) -> None:
    url, _ = hls
    source = open_address(f"{url}/live.m3u8", SourceConfig(), 20, GuardedHttp(not_elsewhere, 20))
    frames = [item for item in source if isinstance(item, Frame)]
    source.close()
    assert len(frames) == 3


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("elsewhere", "the host is not in client.pull_hosts"),
        ("redirected", "the host is not in client.pull_hosts"),
        ("local", "it leads to another scheme than HTTP"),
        ("missing", "the server answers 404"),
    ],
)
def test_where_a_stream_may_not_lead_nothing_is_asked(
    hls: tuple[str, list[str]], name: str, failure: str
) -> None:
    url, asked = hls
    guard = GuardedHttp(not_elsewhere, 20)
    with pytest.raises(SourceError):
        open_address(f"{url}/{name}.m3u8", SourceConfig(), 20, guard)
    assert guard.failure == failure
    assert asked and not any(path.startswith(ELSEWHERE) for path in asked)


def test_a_device_that_is_not_there_is_an_error_that_names_it() -> None:
    with pytest.raises(SourceError, match="/dev/video99"):
        open_address("v4l2:///dev/video99", SourceConfig(), 5)


def test_an_address_of_another_scheme_is_refused() -> None:
    with pytest.raises(SourceError, match="gopher"):
        open_address("gopher://host/a", SourceConfig(), 5)
