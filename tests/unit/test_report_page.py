"""The report page: complete, self-contained, bounded, and safe with whatever a log holds."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnilive import events
from omnilive.errors import ConfigError, OutputError
from omnilive.report.document import PageLimits
from omnilive.report.page import write_report
from omnilive.report.thumbnails import ThumbnailLimits
from report_runs import PERIOD_US, RunWriter, S, kitchen_run

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Outline(HTMLParser):
    """Checks nesting and collects what a browser would look at."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        self.ids += [v for k, v in values.items() if k == "id" and v]
        self.links += [v or "" for k, v in values.items() if k in ("href", "src", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def outline(path: Path) -> Outline:
    page = Outline()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    assert page.open == []
    return page


def test_the_page_tells_the_whole_run(tmp_path: Path) -> None:
    page = outline(write_report(kitchen_run().write(tmp_path)))
    for expected in (
        "kitchen.mp4",
        "micro",
        "int4",
        "What do you see now?",
        "现在桌子上有什么？",
        "桌子上有一个蓝色的盒子。",
        "filler, unanswered",
        "at 0:28.2 by generation 4",
        "0.070 → no instruction",
        "timestamps jumped by 3.2 s",
        "1 frame was dropped",
        "Wall time per stage",
        "people talking",
    ):
        assert expected in page.text, expected


def test_nothing_is_fetched_from_elsewhere(tmp_path: Path) -> None:
    path = write_report(kitchen_run().write(tmp_path))
    page = outline(path)
    assert {"script", "link", "iframe"}.isdisjoint(page.tags)
    assert all(u.startswith(("#", "data:image/jpeg;base64,")) for u in page.links)
    assert "url(http" not in path.read_text(encoding="utf-8")
    assert "@import" not in path.read_text(encoding="utf-8")


def test_every_link_leads_somewhere_and_every_id_is_unique(tmp_path: Path) -> None:
    page = outline(write_report(kitchen_run().write(tmp_path)))
    assert len(page.ids) == len(set(page.ids))
    assert {u[1:] for u in page.links if u.startswith("#")} <= set(page.ids)


def test_the_answers_are_linked_only_where_they_exist(tmp_path: Path) -> None:
    folder = kitchen_run().write(tmp_path)
    assert "answers.wav" not in outline(write_report(folder)).links
    (folder / "answers.wav").write_bytes(b"RIFF")
    assert "answers.wav" in outline(write_report(folder)).links


@pytest.mark.parametrize(("trained", "warned"), [(False, True), (True, False)])
def test_words_are_called_noise_only_when_the_pack_is_untrained(
    tmp_path: Path, trained: bool, warned: bool
) -> None:
    page = outline(write_report(kitchen_run(trained=trained).write(tmp_path)))
    assert ("the words are noise" in page.text) is warned


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.97])
def test_a_run_killed_while_writing_a_line_still_has_a_report(tmp_path: Path, kept: float) -> None:
    folder = kitchen_run().write(tmp_path)
    log = folder / "events.jsonl"
    text = log.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    cut = "".join(lines[: int(kept * len(lines))])
    log.write_text(cut + lines[-1][:31], encoding="utf-8")
    page = outline(write_report(folder))
    assert "This log was cut short" in page.text
    assert "1 unreadable log line left out" in page.text


def test_speech_that_a_cut_log_leaves_open_lasts_until_the_log_does(tmp_path: Path) -> None:
    run = RunWriter()
    run.start(60 * S)
    run.add(9 * S, events.SpeechStarted(0, 1, 8 * S))
    run.add(11 * S, events.SoundClassified(0, 1, "rain"))
    assert "utterance 0, 0:08.0–0:11.0" in outline(write_report(run.write(tmp_path))).text


def test_a_run_without_timings_or_keyframes_has_a_report(tmp_path: Path) -> None:
    folder = kitchen_run().write(tmp_path)
    (folder / "timings.jsonl").unlink()
    for jpeg in (folder / "keyframes").iterdir():
        jpeg.unlink()
    page = outline(write_report(folder))
    assert "Wall time per stage" not in page.text
    assert "not kept" in page.text


def test_a_damaged_keyframe_is_shown_as_gone(tmp_path: Path) -> None:
    folder = kitchen_run().write(tmp_path)
    for jpeg in (folder / "keyframes").iterdir():
        jpeg.write_bytes(jpeg.read_bytes()[:200])
    assert "not kept" in outline(write_report(folder)).text


def test_a_run_without_video_says_so(tmp_path: Path) -> None:
    run = RunWriter()
    run.start(20 * S, video=False)
    at = run.hear(0, 1, 3 * S, 5 * S, "Is anybody there?")
    run.ground(0, 1, at, [], [])
    run.answer(0, 1, at, ["No."])
    page = outline(write_report(run.write(tmp_path)))
    assert "no video track" in page.text
    assert "no clips yet" in page.text


def test_a_run_without_audio_says_so(tmp_path: Path) -> None:
    run = RunWriter()
    run.start(8 * S, audio=False)
    run.clips([4, 4])
    page = outline(write_report(run.write(tmp_path)))
    assert "no audio track" in page.text
    assert "Nobody asked anything" in page.text


def test_a_log_without_any_event_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("", encoding="utf-8")
    assert "unknown source" in outline(write_report(tmp_path)).text


def test_a_folder_without_a_log_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"events\.jsonl: cannot be read"):
        write_report(tmp_path)


def test_an_unwritable_report_keeps_the_log_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    folder = kitchen_run().write(tmp_path)
    (folder / "report.html").mkdir()
    with pytest.raises(OutputError):
        write_report(folder)
    assert not list(folder.glob("*.part"))
    assert (folder / "events.jsonl").stat().st_size > 0


hostile = st.text(max_size=60) | st.sampled_from(
    [
        "</title></svg><script>alert(1)</script>",
        '"><img src=http://example.com/x onerror=alert(1)>',
        "'-->]]>&amp;<!--",
        "\x00\x1b[31m\ud800\u202e",
    ]
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=hostile, keyframe=hostile)
def test_text_from_a_log_never_becomes_markup(tmp_path: Path, text: str, keyframe: str) -> None:
    run = RunWriter()
    run.add(0, events.SessionStarted(1, text, text, False, text, text, 0))
    run.add(0, events.SourceOpened(text, 9 * S, 640, 360, True, True))
    run.add(1, events.FrameEncoded(0, 0, None, keyframe))
    run.add(1, events.SourceNotice(1, text))
    run.hear(0, 1, S, 2 * S, text, language=text)
    run.add(3 * S, events.Grounded(0, 1, text, (0,), (0.5,), (0,), False))
    run.answer(0, 1, 4 * S, [text], frames=(keyframe,), language=text)
    run.rows.append((5 * S, events.Unanswered(1, 2, text), 5, text))
    page = outline(write_report(run.write(tmp_path)))
    assert {"script", "img"}.isdisjoint(page.tags)
    assert all(u.startswith(("#", "data:")) for u in page.links)
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]", page.text)


def long_run(hours: float, questions: int, text: str) -> RunWriter:
    """A long stream with many questions, every one answered at length."""
    run = RunWriter()
    frames = round(3600 * hours)
    run.start(frames * PERIOD_US)
    run.clips([4] * (frames // 4), pictures=False)
    every_us = frames * PERIOD_US // questions
    clips = frames // 4
    for i in range(questions):
        at = run.hear(i, i + 1, i * every_us, i * every_us + S, text)
        run.ground(i, i + 1, at, [0.1] * min(clips, 100), list(range(min(clips, 40))))
        run.answer(i, i + 1, at, [text])
    return run


def test_the_page_of_a_long_stream_stays_small_and_says_what_it_left_out(tmp_path: Path) -> None:
    run = long_run(hours=3, questions=400, text="what<is>that&" * 300)
    folder = run.write(tmp_path)
    path = write_report(folder)
    assert path.stat().st_size < 8_000_000
    text = outline(path).text
    assert re.search(r"The timeline shows \d+ of 2700 clips, evenly spread", text)
    assert re.search(r"\d+ later questions have no card", text)


def test_pictures_are_bounded_and_the_page_says_so(tmp_path: Path) -> None:
    folder = kitchen_run().write(tmp_path)
    limits = PageLimits(thumbnails=ThumbnailLimits(pictures=6, picture_bytes=2_000))
    path = write_report(folder, limits)
    pictures = [u for u in outline(path).links if u.startswith("data:")]
    assert len(pictures) == 6
    assert max(map(len, pictures)) <= 2_000 * 4 / 3 + 64
    assert re.search(r"\d+ places have no picture: the page is full", outline(path).text)


def test_cards_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    folder = kitchen_run().write(tmp_path)
    path = write_report(folder, replace(PageLimits(), card_bytes=9_000))
    page = outline(path)
    cards = page.ids.count("q0") + sum(i.startswith("q") for i in page.ids if i != "q0")
    found = re.search(r"(\d+) later questions have no card", page.text)
    assert found is not None
    assert cards + int(found[1]) == 6
