"""The report of a long session: bounded, readable, and honest about what it leaves out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from omnilive.memory.keyframes import keyframe_id
from omnilive.report.document import PageLimits
from omnilive.report.page import write_report
from omnilive.report.thumbnails import ThumbnailLimits
from report_pages import outline
from report_runs import PERIOD_US, RunWriter, S, kitchen_run


def many_clips(clips: int, questions: int, text: str) -> RunWriter:
    """Clips of one frame and many questions, every one answered at length."""
    run = RunWriter()
    run.start(clips * PERIOD_US)
    run.clips([1] * clips, pictures=False)
    every_us = clips * PERIOD_US // questions
    for i in range(questions):
        at = run.hear(i, i + 1, i * every_us, i * every_us + S, text)
        run.ground(i, i + 1, at, [0.1] * min(clips, 100), list(range(min(clips, 40))))
        run.answer(i, i + 1, at, [text])
    return run


def test_the_page_of_a_long_stream_stays_small_and_says_what_it_left_out(tmp_path: Path) -> None:
    run = many_clips(1_800, questions=400, text="what<is>that&" * 300)
    folder = run.write(tmp_path)
    path = write_report(folder)
    assert path.stat().st_size < 8_000_000
    text = outline(path).text
    assert re.search(r"The timeline shows \d+ of 1800 clips, evenly spread", text)
    assert re.search(r"\d+ later questions have no card", text)


def test_pictures_are_bounded_and_the_page_says_so(tmp_path: Path) -> None:
    folder = kitchen_run().write(tmp_path)
    limits = PageLimits(thumbnails=ThumbnailLimits(pictures=6, strip=2, picture_bytes=2_000))
    path = write_report(folder, limits)
    pictures = [u for u in outline(path).links if u.startswith("data:")]
    assert len(pictures) == 6
    assert max(map(len, pictures)) <= 2_000 * 4 / 3 + 64
    assert re.search(r"\d+ places have no picture: the page is full", outline(path).text)


def test_cards_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    folder = kitchen_run().write(tmp_path)
    path = write_report(folder, replace(PageLimits(), card_bytes=9_000))
    page = outline(path)
    cards = sum(i.startswith("q") for i in page.ids)
    found = re.search(r"(\d+) later questions have no card", page.text)
    assert found is not None
    assert cards + int(found[1]) == 6
    assert {u[1:] for u in page.links if u.startswith("#")} <= set(page.ids)


def ten_minutes() -> RunWriter:
    """Ten minutes with fifteen questions, of which every answer shows frames of its own."""
    run = RunWriter()
    lengths = [10] * 60
    run.start(600 * S, trained=True)
    run.clips(lengths)
    for i in range(15):
        asked_s = 13 + 39 * i
        at = run.hear(i, i + 1, (asked_s - 1) * S, asked_s * S, f"Question {i}?")
        clips = asked_s // 10
        run.ground(i, i + 1, at, [0.1] * clips, [0, clips - 1])
        shown = tuple(keyframe_id((asked_s - k) * PERIOD_US) for k in range(12))
        run.answer(i, i + 1, at, ["Yes."], frames=shown)
    run.close_last(lengths, 600 * S)
    run.end(601 * S)
    return run


def test_many_questions_leave_pictures_on_the_timeline_and_on_every_card(tmp_path: Path) -> None:
    limits = PageLimits(thumbnails=ThumbnailLimits(pictures=150, strip=40, side=32))
    path = write_report(ten_minutes().write(tmp_path), limits)
    html = path.read_text(encoding="utf-8")
    strip = re.search(r"Thumbnails of (\d+) of 600 frames fit", html)
    assert strip is not None and int(strip[1]) >= 40
    cards = html.split('<article class="card"')[1:]
    assert len(cards) == 15
    assert all(card.count('<use href="#p') >= 4 for card in cards)
    assert "page full" not in html
    assert "not kept" not in html


def test_pictures_that_the_page_has_no_room_for_are_not_called_lost(tmp_path: Path) -> None:
    limits = PageLimits(thumbnails=ThumbnailLimits(pictures=30, strip=5, side=32))
    html = write_report(ten_minutes().write(tmp_path), limits).read_text(encoding="utf-8")
    assert "page full" in html
    assert "not kept" not in html


def test_a_long_timeline_is_reached_from_links_and_cards_and_every_link_leads_somewhere(
    tmp_path: Path,
) -> None:
    page = outline(write_report(ten_minutes().write(tmp_path)))
    assert {u[1:] for u in page.links if u.startswith("#")} <= set(page.ids)
    assert {"#t0", "#t120", "#t600"} <= set(page.links)
    assert "#t10" in page.links  # the card of the first question, asked at 13 s
    assert "Lines to clips far away show only their ends" in page.text


def test_a_timeline_that_is_seen_at_once_has_no_links_along_it(tmp_path: Path) -> None:
    page = outline(write_report(kitchen_run().write(tmp_path)))
    assert "go to" not in page.text
    assert "show only their ends" not in page.text
