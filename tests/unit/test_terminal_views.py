"""What a person sees of a session in a pipe, and that no text can command what shows it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from omnilive import events
from omnilive.cli.terminal import PlainLines, View, make_view
from omnilive.cli.terminal_lines import line_for, printable
from omnilive.cli.terminal_live import LiveView
from omnilive.errors import OutputError
from report_runs import RunWriter, S, kitchen_run
from terminal_screens import INFO, events_of, manifest, piped, shown, terminal, without_controls

INJECTIONS = ["\x1b]0;owned\x07", "\x1b[2J\x1b[31m", "a\rb", "\x9b31m", "\u202etxt.exe", "\x08\x08"]


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
        return type(make_view(console, manifest(), INFO))

    assert kind(terminal()) is LiveView
    assert kind(piped()) is PlainLines
    assert kind(Console(force_terminal=True, _environ={"TERM": "dumb"})) is PlainLines


def test_plain_lines_tell_the_conversation_in_order() -> None:
    lines = shown(piped(), kitchen_run()).splitlines()
    told = [line.partition("] ")[2] for line in lines]
    expected = [
        "heard (en): What do you see now?",
        "retrieved 1 of 1 clip: 0",
        "answer: A kitchen with a red mug on the table.",
        "not answered: no instruction",
        "heard (zh): 现在桌子上有什么？",
        "asked (en): What changed in the last minute?",
        "done: 66 frames (0 dropped), 7 clips, 5 utterances, 4 answers, 1 cancelled",
    ]
    assert [t for t in told if t in expected] == expected
    assert lines[0] == "kitchen.mp4 640×360 66.0 s · pack micro (int4)"
    assert lines[-1] == "report: out/x/report.html; the other results lie beside it"
    assert any(t.startswith("cancelled after") and "1.83 s silenced" in t for t in told)


@pytest.mark.parametrize(
    ("clips", "fallback", "told"),
    [
        ((0, 1), "none", "retrieved 0 of 2 clips"),
        ((0, 1), "best_clip", "retrieved 0 of 2 clips, the best, though none is probable"),
        ((0, 1), "last_frames", "retrieved 0 of 2 clips; the newest frames stand in"),
        ((0, 1), "all_frames", "retrieved 0 of 2 clips; frames of all clips stand in"),
        ((), "last_frames", "retrieved 0 of 0 clips"),
    ],
)
def test_a_line_tells_what_stands_in_for_clips(
    clips: tuple[int, ...], fallback: str, told: str
) -> None:
    run = RunWriter()
    scores = tuple(0.1 for _ in clips)
    run.add(0, events.Grounded(0, 1, "best_above", clips, scores, (), fallback))
    assert told in [line.partition("] ")[2] for line in shown(piped(), run).splitlines()]


def test_a_person_is_told_that_it_looked_again_in_a_pipe_and_on_a_terminal() -> None:
    run = RunWriter()
    run.add(3 * S, events.SceneRefreshed(0, 1, 3, 0.42, ("kf-1", "kf-2"), 5, 9))
    for console in (piped(), terminal()):
        told = without_controls(shown(console, run))
        assert "[   3.00 s] looked again: the scene changed (cosine 0.420), 2 frames shown" in told


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
    with make_view(console, manifest(), INFO) as view:
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
    with make_view(console, manifest(), INFO) as view:
        view.on_event(1, 0, events.Transcribed(0, 1, "桌子", "zh", False, 1))
    assert raw.getvalue().splitlines()[-1] == b"[   0.00 s] heard (zh): ??"


def test_a_full_disk_is_a_clear_error_and_a_closed_pipe_silences_the_view_for_good() -> None:
    class Broken(io.StringIO):
        error: OSError = OSError(28, "No space left on device")

        def write(self, text: str) -> int:
            raise self.error

    file = Broken()
    view = make_view(Console(file=file, force_terminal=False), manifest(), INFO)
    with pytest.raises(OutputError, match="standard output: could not be written"):
        view.__enter__()
    file.error = BrokenPipeError(32, "Broken pipe")
    view.__enter__()
    file.error = ZeroDivisionError("written again")  # type: ignore[assignment]
    view.on_event(1, 0, events.SourceNotice(0, "unheard"))


def test_a_trained_pack_is_not_called_noise() -> None:
    console = piped()
    with make_view(console, manifest(trained=True), INFO):
        pass
    file: Any = console.file
    assert "noise" not in file.getvalue()
