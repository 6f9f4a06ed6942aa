"""The live view on a terminal: the conversation above, the status below, no line too wide."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from omnilive import events
from omnilive.cli.terminal import make_view
from omnilive.cli.terminal_live import LiveView, tail
from report_runs import S, kitchen_run
from terminal_screens import INFO, manifest, shown, terminal, without_controls


def test_the_live_view_keeps_the_conversation_above_its_status() -> None:
    text = shown(terminal(), kitchen_run())
    for said in ("What do you see now?", "桌子上有一个蓝色的盒子。", "not answered", "cancelled"):
        assert said in text
    assert "5 heard, 1 typed · 5 answered, 1 cancelled" in text


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_line_of_the_status_is_wider_than_the_terminal(width: int) -> None:
    view = LiveView(terminal(width), "很长的" * 40, "noise", 66 * S, lambda: 9.0)
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
    lines = without_controls(file.getvalue()).splitlines()
    assert len(lines) == 7
    assert all(cell_len(line.rstrip()) <= width for line in lines)


def test_the_speed_is_stream_time_over_wall_time() -> None:
    clock_s = [3.0]
    view = LiveView(terminal(), "x", "", 66 * S, lambda: clock_s[0])
    with view:
        clock_s[0] = 7.0
        view.on_event(1, 20 * S, events.FrameEncoded(0, 0, None, "kf"))
        console = terminal()
        console.print(view.render())
    file: Any = console.file
    assert "20.0 / 66.0 s" in file.getvalue()
    assert "5.0× real time" in file.getvalue()


def test_a_source_without_a_known_end_shows_only_how_far_it_got() -> None:
    view = LiveView(terminal(), "camera", "", None, lambda: 0.0)
    view.on_event(1, 7 * S, events.FrameEncoded(0, 0, None, "kf"))
    console = terminal()
    console.print(view.render())
    file: Any = console.file
    assert "7.0 s" in file.getvalue()
    assert "/" not in without_controls(file.getvalue())


def live_view(duration_us: int | None = 66 * S) -> tuple[LiveView, list[float]]:
    """A view of a session that runs with the wall clock, and that clock in seconds."""
    clock_s = [100.0]
    view = LiveView(terminal(), "x", "", duration_us, lambda: clock_s[0])
    view.on_event(1, 0, events.SessionStarted(1, "micro", "int4", True, "edge", "monotonic", 0))
    return view, clock_s


def drawn(view: LiveView) -> str:
    console = terminal()
    console.print(view.render())
    file: Any = console.file
    return without_controls(file.getvalue())


def test_the_time_of_a_live_session_goes_on_between_two_events() -> None:
    view, clock_s = live_view()
    view.on_event(2, 4 * S, events.SentenceSpoken(0, 1, "A cup.", 4 * S, 6 * S))
    clock_s[0] += 1.5
    assert "speaking" in drawn(view) and " 5.5 / 66.0 s  real time" in drawn(view)
    clock_s[0] += 1.0
    assert "listening" in drawn(view)
    clock_s[0] += 1e6
    assert "66.0 / 66.0 s" in drawn(view)


def test_the_time_of_a_live_session_stands_once_it_has_ended() -> None:
    view, clock_s = live_view(None)
    view.on_event(2, 4 * S, events.SessionEnded(1, 0, 1, 1, 1, 0))
    clock_s[0] += 9.0
    assert " 4.0 s" in drawn(view)


def test_the_numbers_beside_the_bar_keep_their_width() -> None:
    widths = set()
    for at_us in (S, 65 * S):
        view = LiveView(terminal(), "x", "", 66 * S, lambda: 0.0)
        view.on_event(1, at_us, events.FrameEncoded(0, 0, None, "kf"))
        widths.add(drawn(view).splitlines()[1].count("━"))
    assert len(widths) == 1


def test_what_is_said_stays_right_of_its_time_however_long_it_is() -> None:
    console = terminal(40)
    with make_view(console, manifest(), INFO) as view:
        view.on_event(1, S, events.Transcribed(0, 1, "many words " * 12, "en", False, 9))
    file: Any = console.file
    said = [x for x in without_controls(file.getvalue()).splitlines() if "many words" in x]
    wrapped = [x for x in said if not x.startswith(("[", "heard"))]
    assert len(wrapped) > 2
    assert all(x.startswith(" " * 12) for x in wrapped)


@given(st.text(max_size=40), st.integers(0, 30))
def test_the_end_of_a_long_text_fits_its_cells(text: str, cells: int) -> None:
    end = tail(text, cells)
    assert cell_len(end) <= max(cells, 0) or end == text
    assert text.endswith(end.removeprefix("…")) or end == text
