"""The report page: complete, self-contained, bounded, and safe with whatever a log holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnilive import events
from omnilive.errors import ConfigError, OutputError
from omnilive.memory.keyframes import keyframe_id
from omnilive.report.answer import answer_section
from omnilive.report.markup import esc
from omnilive.report.page import write_report
from omnilive.report.questions import Question, Refresh
from omnilive.report.reading import Stamped
from omnilive.report.thumbnails import ThumbnailLimits, Thumbnails
from report_pages import outline
from report_runs import RunWriter, S, kitchen_run


def test_the_page_tells_the_whole_run(tmp_path: Path) -> None:
    page = outline(write_report(kitchen_run().write(tmp_path)))
    for expected in (
        "kitchen.mp4",
        "micro",
        "int4",
        "What do you see now?",
        "现在桌子上有什么？",
        "桌子上有一个蓝色的盒子。",
        "filler, not answered",
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
    links = outline(write_report(folder)).links
    assert "answers.wav" in links
    heard = [u.partition("#t=")[2] for u in links if u.startswith("answers.wav#")]
    assert heard[0] == "8.90,11.30"  # the first answer, from its first word to its last
    assert heard[1].endswith(",28.16")  # until the barge-in


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


def test_a_log_that_was_continued_in_new_files_says_so(tmp_path: Path) -> None:
    folder = kitchen_run().write(tmp_path)
    assert "newest part of a longer log" not in outline(write_report(folder)).text
    (folder / "events.1.jsonl").write_text("", encoding="utf-8")
    assert "newest part of a longer log" in outline(write_report(folder)).text


def test_questions_and_answers_stand_side_by_side_in_a_table(tmp_path: Path) -> None:
    html = write_report(kitchen_run().write(tmp_path)).read_text(encoding="utf-8")
    rows = re.findall(r'<tr><th scope="row">([\d:.]+)</th><td class="say">(.*?)</tr>', html)
    told = {at: re.sub(r"<[^>]+>", "|", row) for at, row in rows}
    assert "What do you see now?|||A kitchen with a red mug on the table.||1.71 s" in told["0:07.2"]
    assert "um, okay" in told["0:15.7"] and "filler, not answered" in told["0:15.7"]
    assert "by the sink. (|cancelled|)" in told["0:24.1"]
    assert len(rows) == 6


def test_an_answer_shows_where_it_looked_again_and_at_what(tmp_path: Path) -> None:
    plain = outline(write_report(kitchen_run().write(tmp_path / "plain")))
    run, new = kitchen_run(), (keyframe_id(57 * S), keyframe_id(59 * S))
    run.add(58_760_000, events.SceneRefreshed(-1, 6, 3, 0.4217, new, 800, 1100))
    page = outline(write_report(run.write(tmp_path / "run")))
    words = " ".join(page.text.split())
    assert "The red mug looked again at 0:58.8 moved to the sink." in words
    assert "cosine 0.422), 1 new frame" in words  # the other one was shown before
    assert "0:58.8 looked again: the scene was another" in words  # on the timeline
    assert "looked again" not in plain.text


@given(st.text(max_size=60), st.lists(st.integers(0, 70), max_size=4))
def test_a_mark_in_an_answer_changes_none_of_its_letters(answer: str, places: list[int]) -> None:
    event = events.SceneRefreshed(0, 1, 0, 0.1, (), 0, 0)
    looks = tuple(Refresh(0, answer[:place], event) for place in sorted(places))
    ended = Stamped(1, 0, events.AnswerFinished(0, 1, answer, "en", 1, "stop"))
    question = Question(0, 1, finished=ended, tokens_at=(0,), refreshed=looks)
    shown = answer_section(question, Thumbnails(Path("none"), ThumbnailLimits()), 4, "")
    quoted = re.search("<blockquote[^>]*>(.*)</blockquote>", shown, re.DOTALL)
    assert quoted is not None
    parts = quoted[1].split('<span class="again">')
    assert len(parts) == 1 + len(places)
    letters = "".join([parts[0], *(part.partition("</span>")[2] for part in parts[1:])])
    if answer:
        assert letters.replace(" ", "") == esc(answer).replace(" ", "")


def test_what_was_retrieved_for_a_filler_is_folded_away(tmp_path: Path) -> None:
    run = kitchen_run()
    run.ground(1, 2, 16_600_000, [0.4], [0])
    html = write_report(run.write(tmp_path)).read_text(encoding="utf-8")
    assert html.count("Retrieval, not used") == 1


def test_what_became_of_each_unanswered_question_is_told_and_counted(tmp_path: Path) -> None:
    run = RunWriter()
    reasons = ("filler", "no_words", "too_long", "superseded")
    for index, reason in enumerate(reasons):
        run.hear(index, index + 1, index * S, index * S + S, "words")
        run.add(index * S + S, events.Unanswered(index, index + 1, reason))
    html = write_report(run.write(tmp_path)).read_text(encoding="utf-8")
    for outcome in ("filler", "no words", "too long", "superseded"):
        assert f"{outcome}, not answered" in html
    counts = (
        "taken for filler",
        "without words",
        "superseded by newer words",
        "too long to answer",
    )
    assert all(f"1 {count}" in html for count in counts)


@pytest.mark.parametrize(
    ("fallback", "told"),
    [
        ("none", "0 of 1 clips · nothing passed the rule<"),
        ("best_clip", "nothing passed the rule: the best clip stands in"),
        ("last_frames", "nothing passed the rule: the newest frames stand in"),
        ("all_frames", "nothing passed the rule: frames of all clips stand in"),
    ],
)
def test_what_stands_in_for_clips_is_told(tmp_path: Path, fallback: str, told: str) -> None:
    run = RunWriter()
    run.hear(0, 1, S, 2 * S, "what")
    run.add(3 * S, events.Grounded(0, 1, "best_above", (0,), (0.1,), (), fallback))
    assert told in write_report(run.write(tmp_path)).read_text(encoding="utf-8")


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
    run.add(3 * S, events.Grounded(0, 1, text, (0,), (0.5,), (), text))
    run.answer(0, 1, 4 * S, [text], frames=(keyframe,), language=text)
    run.rows.append((5 * S, events.Unanswered(1, 2, text), 5, text))
    page = outline(write_report(run.write(tmp_path)))
    assert {"script", "img"}.isdisjoint(page.tags)
    assert all(u.startswith(("#", "data:")) for u in page.links)
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]", page.text)
