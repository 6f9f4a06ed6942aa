"""What a person sees of a session: plain lines in a pipe, a live view on a terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from omnilive import events
from omnilive.cli.terminal import LiveView, PlainLines, View, make_view, tail
from omnilive.cli.terminal_lines import line_for, printable
from omnilive.cli.terminal_status import Status, advanced
from omnilive.engine.manifest import AudioSpec, Manifest, MemorySpec, ReasonerSpec
from omnilive.errors import OutputError
from omnilive.events import Event
from omnilive.sources.types import MediaInfo
from report_runs import RunWriter, S, kitchen_run

INFO = MediaInfo("kitchen.mp4", 66 * S, 640, 360, True, True)
INJECTIONS = ["\x1b]0;owned\x07", "\x1b[2J\x1b[31m", "a\rb", "\x9b31m", "\u202etxt.exe", "\x08\x08"]


def manifest(*, trained: bool = False) -> Manifest:
    return Manifest(
        name="micro",
        precision="int4",
        trained=trained,
        builder_version="0",
        memory=MemorySpec(112, 4, 512, 128, 4, 256, 1024, 8192),
        audio=AudioSpec(480_000, 400, 160, 256, 1024, 2048, (0,)),
        reasoner=ReasonerSpec(168, 6, 256, 1024, 8192, 1, (2,), 64),
        engines={},
        tables={},
        tokenizers={},
        source={},
        fingerprint={},
    )


def events_of(run: RunWriter) -> Iterator[tuple[int, int, Event]]:
    for i, (at_us, event, _, _) in enumerate(sorted(run.rows, key=lambda r: r[0]), 1):
        yield i, at_us, event


def shown(console: Console, run: RunWriter, *, now_s: Callable[[], float] = lambda: 0.0) -> str:
    """Everything a view wrote while it watched ``run``."""
    with make_view(console, manifest(), INFO, Path("out/x"), now_s=now_s) as view:
        for event_id, at_us, event in events_of(run):
            view.on_event(event_id, at_us, event)
        view.on_report(Path("out/x/report.html"))
    file: Any = console.file
    return str(file.getvalue())


def piped() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=40)


def terminal(width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=30, _environ={})


def every_text(text: str) -> RunWriter:
    """A run in which each text a user, a file or a model controls is ``text``."""
    run = RunWriter()
    run.add(0, events.SourceNotice(0, text))
    run.add(1, events.Transcribed(0, 1, text, text, False, 1))
    run.add(2, events.Unanswered(0, 1, text))
    run.add(3, events.TokenDecoded(1, 2, 0, text))
    run.add(4, events.SentenceSpoken(1, 2, text, 0, S))
    run.add(5, events.AnswerFinished(1, 2, text, text, 1, text))
    run.add(6, events.AnswerCancelled(1, 2, 3, text, 1, 1))
    run.add(7, events.ClipClosed(0, 0, S, 3, "cut"))
    return run


def test_a_terminal_gets_the_live_view_and_a_pipe_plain_lines() -> None:
    def kind(console: Console) -> type[View]:
        return type(make_view(console, manifest(), INFO, Path("out")))

    assert kind(terminal()) is LiveView
    assert kind(piped()) is PlainLines
    assert kind(Console(force_terminal=True, _environ={"TERM": "dumb"})) is PlainLines


def test_plain_lines_tell_the_conversation_in_order() -> None:
    lines = shown(piped(), kitchen_run()).splitlines()
    told = [line.partition("] ")[2] for line in lines]
    expected = [
        "heard (en): What do you see now?",
        "retrieved clips: 0 of 1",
        "answer: A kitchen with a red mug on the table.",
        "not answered: no instruction",
        "heard (zh): 现在桌子上有什么？",
        "asked (en): What changed in the last minute?",
        "done: 66 frames (0 dropped), 7 clips, 5 utterances, 4 answers, 1 cancelled",
    ]
    assert [t for t in told if t in expected] == expected
    assert lines[0] == "kitchen.mp4 640×360 66.0 s · pack micro (int4)"
    assert lines[-1] == "results in out/x, report report.html"
    assert any(t.startswith("cancelled after") and "1.83 s silenced" in t for t in told)


def test_each_plain_line_is_whole_and_unwrapped_however_narrow_the_pipe() -> None:
    lines = shown(piped(), kitchen_run()).splitlines()
    assert all(line.startswith("[") for line in lines[2:-1])


def test_each_plain_line_is_flushed_as_it_is_written() -> None:
    class Pipe(io.StringIO):
        held = 0

        def write(self, text: str) -> int:
            self.held += 1
            return super().write(text)

        def flush(self) -> None:
            self.held = 0

    pipe = Pipe()
    console = Console(file=pipe, force_terminal=False)
    with make_view(console, manifest(), INFO, Path("out")) as view:
        for event_id, at_us, event in events_of(kitchen_run()):
            view.on_event(event_id, at_us, event)
            assert pipe.held == 0


@pytest.mark.parametrize("text", INJECTIONS)
def test_words_cannot_command_a_pipe_or_a_terminal(text: str) -> None:
    plain = shown(piped(), every_text(text))
    live = shown(terminal(), every_text(text))
    assert all(c.isprintable() or c == "\n" for c in plain)
    assert text not in live
    assert "\x07" not in live and "\x9b" not in live and "\u202e" not in live


@given(st.text(max_size=50))
def test_printable_text_is_one_line_without_control_characters(text: str) -> None:
    clean = printable(text)
    assert not any(c in clean for c in "\n\r\t\x1b\x7f\x9b\u2028\u202e")
    assert printable(clean) == clean
    assert printable("现在 a-b 1.5 × “x”") == "现在 a-b 1.5 × “x”"
    assert clean.encode("utf-8").decode("utf-8") == clean


@given(st.text(max_size=200))
def test_plain_lines_stay_one_per_event_whatever_is_said(text: str) -> None:
    run = every_text(text)
    lines = shown(piped(), run).split("\n")
    told = [line_for(at_us, event) for _, at_us, event in events_of(run)]
    assert len(lines) == 2 + sum(t is not None for t in told) + 1 + 1


def test_a_pipe_that_cannot_hold_a_character_gets_a_question_mark() -> None:
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii"), force_terminal=False)
    with make_view(console, manifest(), INFO, Path("out")) as view:
        view.on_event(1, 0, events.Transcribed(0, 1, "桌子", "zh", False, 1))
    assert raw.getvalue().splitlines()[-1] == b"[   0.00 s] heard (zh): ??"


def test_a_full_disk_is_a_clear_error_and_a_closed_pipe_is_left_to_the_command() -> None:
    class Broken(io.StringIO):
        error: OSError = OSError(28, "No space left on device")

        def write(self, text: str) -> int:
            raise self.error

    file = Broken()
    view = make_view(Console(file=file, force_terminal=False), manifest(), INFO, Path("out"))
    with pytest.raises(OutputError, match="standard output: could not be written"):
        view.__enter__()
    file.error = BrokenPipeError(32, "Broken pipe")
    with pytest.raises(BrokenPipeError):
        view.__enter__()


def test_a_trained_pack_is_not_called_noise() -> None:
    console = piped()
    with make_view(console, manifest(trained=True), INFO, Path("out")):
        pass
    file: Any = console.file
    assert "noise" not in file.getvalue()


def test_the_live_view_keeps_the_conversation_above_its_status() -> None:
    text = shown(terminal(), kitchen_run())
    for said in ("What do you see now?", "桌子上有一个蓝色的盒子。", "not answered", "cancelled"):
        assert said in text
    assert "6 heard, 5 answered, 1 cancelled" in text


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_line_of_the_status_is_wider_than_the_terminal(width: int) -> None:
    view = LiveView(terminal(width), "很长的" * 40, False, 66 * S, Path("out"), lambda: 9.0)
    long = "很长的回答 and more " * 30
    for event in (
        events.FrameEncoded(0, 3, 0.97, "kf"),
        events.Transcribed(0, 1, long, "zh", False, 9),
        events.TokenDecoded(0, 1, 0, long),
    ):
        view.on_event(1, S, event)
    console = terminal(width)
    console.print(view.render())
    file: Any = console.file
    lines = Console(width=width).render_str(_without_styles(file.getvalue())).plain.splitlines()
    assert len(lines) == 6
    assert all(cell_len(line.rstrip()) <= width for line in lines)


def _without_styles(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text).replace("[", r"\[")


def test_the_speed_is_stream_time_over_wall_time() -> None:
    clock_s = [3.0]
    view = LiveView(terminal(), "x", True, 66 * S, Path("out"), lambda: clock_s[0])
    with view:
        clock_s[0] = 7.0
        view.on_event(1, 20 * S, events.FrameEncoded(0, 0, None, "kf"))
        console = terminal()
        console.print(view.render())
    file: Any = console.file
    assert "20.0 / 66.0 s" in file.getvalue()
    assert "5.0× real time" in file.getvalue()


def test_a_source_without_a_known_end_shows_only_how_far_it_got() -> None:
    view = LiveView(terminal(), "camera", True, None, Path("out"), lambda: 0.0)
    view.on_event(1, 7 * S, events.FrameEncoded(0, 0, None, "kf"))
    console = terminal()
    console.print(view.render())
    file: Any = console.file
    assert "7.0 s" in file.getvalue()
    assert "/" not in _without_styles(file.getvalue())


def activities(*timed: tuple[float, Event]) -> list[str]:
    status, seen = Status(), []
    for at_s, event in timed:
        status = advanced(status, round(at_s * S), event)
        seen.append(status.activity)
    return seen


def test_the_activity_follows_a_turn() -> None:
    assert activities(
        (0.1, events.FrameEncoded(0, 0, None, "kf")),
        (1.2, events.SpeechStarted(0, 1, S)),
        (3.0, events.SpeechEnded(0, 1, S, 2 * S, 100, False)),
        (3.2, events.Transcribed(0, 1, "What?", "en", False, 2)),
        (3.5, events.TokenDecoded(0, 1, 0, "A ")),
        (3.6, events.SentenceSpoken(0, 1, "A cup.", 4 * S, 6 * S)),
        (5.0, events.FrameEncoded(5 * S, 0, 0.9, "kf")),
        (7.0, events.FrameEncoded(7 * S, 0, 0.9, "kf")),
        (8.0, events.SessionEnded(1, 0, 1, 1, 1, 0)),
    ) == [
        "listening",
        "hearing",
        "thinking",
        "thinking",
        "listening",
        "speaking",
        "speaking",
        "listening",
        "done",
    ]


def test_a_barge_in_ends_the_speaking() -> None:
    assert activities(
        (1, events.SentenceSpoken(0, 1, "A cup.", S, 9 * S)),
        (2, events.AnswerCancelled(0, 1, 2, "A cup.", 2, 7 * S)),
    ) == ["speaking", "listening"]


def test_answer_tokens_stream_in_and_a_new_answer_starts_afresh() -> None:
    status = Status()
    for index, text in enumerate(["A ", "cup", "."]):
        status = advanced(status, index, events.TokenDecoded(0, 1, index, text))
    assert status.answer == "A cup."
    assert advanced(status, 9, events.TokenDecoded(1, 2, 0, "No")).answer == "No"


@given(st.lists(st.integers(0, 10**9), max_size=20))
def test_the_shown_time_never_runs_backwards(times: list[int]) -> None:
    status, reached = Status(), 0
    for at_us in times:
        status = advanced(status, at_us, events.FrameDropped(0))
        assert status.at_us >= reached
        reached = status.at_us
    assert status == replace(status, dropped=len(times))


@given(st.text(max_size=40), st.integers(0, 30))
def test_the_end_of_a_long_text_fits_its_cells(text: str, cells: int) -> None:
    end = tail(text, cells)
    assert cell_len(end) <= max(cells, 0) or end == text
    assert text.endswith(end.removeprefix("…")) or end == text
