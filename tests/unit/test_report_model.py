"""From a run's logs to what the report shows: questions, waits, clips, stage times, layout."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive import events
from omnilive.report.markup import clock, duration, fitted, text_width, thinned
from omnilive.report.model import Run, build
from omnilive.report.questions import Question, steps
from omnilive.report.reading import read_run
from omnilive.report.scale import MAX_PX, rows_for, scale_for
from omnilive.report.statistics import percentile, summarize
from report_runs import RunWriter, S, kitchen_run


def built(run: RunWriter, folder: Path) -> Run:
    return build(read_run(run.write(folder)))


def by_text(run: Run, start: str) -> Question:
    return next(q for q in run.questions if q.text.startswith(start))


def test_each_question_gets_its_own_events(tmp_path: Path) -> None:
    run = built(kitchen_run(), tmp_path)
    assert [q.outcome for q in run.questions] == [
        "answered",
        "filler, not answered",
        "cancelled",
        "answered",
        "answered",
        "answered",
    ]
    asked = by_text(run, "Where")
    assert asked.grounded is not None and asked.grounded.event.selected == (0, 2)
    assert asked.evidence is not None and len(asked.evidence.event.frames) == 9
    assert len(asked.sentences) == 2
    assert by_text(run, "What changed").typed


def test_the_parts_of_a_wait_follow_each_other_and_make_up_the_whole(tmp_path: Path) -> None:
    for question in built(kitchen_run(), tmp_path).questions:
        waits = steps(question)
        assert waits[0].start_us == question.asked_us
        assert all(a.end_us == b.start_us for a, b in pairwise(waits))
        if question.sentences:
            assert waits[-1].end_us == question.sentences[0].event.start_us


def test_the_wait_for_a_spoken_question_starts_at_its_last_voiced_sample(tmp_path: Path) -> None:
    first = built(kitchen_run(), tmp_path).questions[0]
    waits = {w.name: w.end_us - w.start_us for w in steps(first)}
    assert waits["endpoint"] == 540_000
    assert waits["transcript"] == 180_000
    assert waits["first token"] == 420_000


def test_an_utterance_that_goes_on_forgets_its_first_ending(tmp_path: Path) -> None:
    run = RunWriter()
    run.start(20 * S)
    at = run.hear(0, 1, 2 * S, 3 * S, "What is")
    run.add(at + 10_000, events.AnswerCancelled(0, 1, 2, "", 0, 0))
    run.add(at + 10_000, events.SpeechContinued(0, 2))
    ids = (0, 2)
    run.add(6 * S, events.SpeechEnded(*ids, 2 * S, 5_400_000, 54_400, False))
    run.add(6_200_000, events.Transcribed(*ids, "What is that?", "en", False, 4))
    run.answer(*ids, 7 * S, ["A cup."])
    question = built(run, tmp_path).questions[0]
    assert question.text == "What is that?"
    assert question.outcome == "answered"
    assert question.reopened == 1
    assert question.onset_us == 2 * S
    assert question.asked_us == 5_400_000


def test_the_parts_of_a_split_utterance_are_one_question(tmp_path: Path) -> None:
    run = RunWriter()
    run.start(60 * S)
    run.add(S, events.SpeechStarted(0, 1, S))
    for end, words, split in ((31 * S, "first half", True), (40 * S, "second half", False)):
        run.add(end, events.SpeechEnded(0, 1, S, end, 480_000, split))
        run.add(end + 100, events.Transcribed(0, 1, words, "en", False, 2))
    (question,) = built(run, tmp_path).questions
    assert question.text == "first half second half"
    assert question.outcome == "unfinished"
    assert question.asked_us == 40 * S


def test_a_cancelled_sentence_falls_silent_at_the_barge_in(tmp_path: Path) -> None:
    question = by_text(built(kitchen_run(), tmp_path), "Where")
    first, second = (s.event for s in question.sentences)
    assert question.heard_until_us(first) == min(first.end_us, 28_160_000)
    assert question.heard_until_us(second) == max(second.start_us, 28_160_000)


def test_the_clip_in_progress_at_the_end_of_a_cut_log_is_shown_open(tmp_path: Path) -> None:
    run = RunWriter()
    run.start(None)
    run.clips([5, 4], pictures=False)
    clips = built(run, tmp_path).clips
    assert [(c.index, c.reason, c.frames) for c in clips] == [(0, "cut", 5), (1, "open", 4)]
    assert clips[1].start_us == 5 * S


def test_the_part_split_off_a_long_utterance_stays_when_its_rest_is_reopened(
    tmp_path: Path,
) -> None:
    run = RunWriter()
    run.start(90 * S)
    run.add(S, events.SpeechStarted(0, 1, S))
    run.add(31 * S, events.SpeechEnded(0, 1, S, 30 * S, 1, True))
    run.add(32 * S, events.Transcribed(0, 1, "A long first part", "en", False, 4))
    run.add(40 * S, events.SpeechEnded(0, 1, 30 * S, 39 * S, 1, False))
    run.add(41 * S, events.Transcribed(0, 1, "and a false end", "en", False, 4))
    run.add(42 * S, events.SpeechContinued(0, 2))
    run.add(50 * S, events.SpeechEnded(0, 2, 30 * S, 49 * S, 1, False))
    run.add(51 * S, events.Transcribed(0, 2, "and its end.", "en", False, 4))
    (question,) = built(run, tmp_path).questions
    assert question.text == "A long first part and its end."
    assert question.reopened == 1
    assert question.asked_us == 49 * S


def test_the_timeline_lasts_until_the_last_word_heard(tmp_path: Path) -> None:
    run = RunWriter()
    run.start(10 * S)
    spoken_until = run.answer(-1, 1, 9 * S, ["A long answer."], sentence_us=8 * S)
    assert built(run, tmp_path / "heard").duration_us == spoken_until
    run.add(11 * S, events.AnswerCancelled(-1, 1, 2, "", 3, 1))
    assert built(run, tmp_path / "cut").duration_us == 11 * S


def test_unreadable_lines_are_counted_and_left_out(tmp_path: Path) -> None:
    folder = kitchen_run().write(tmp_path)
    whole = read_run(folder)
    odd = ["{", "[]", "7", '"x"', '{"id":1}', '{"id":1,"at_us":2,"type":"no_such"}']
    with (folder / "events.jsonl").open("a", encoding="utf-8") as log:
        log.write("\n".join(odd) + "\n\n")
    with (folder / "timings.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"event":3}\nnull\n')
    read = read_run(folder)
    assert read.events == whole.events
    assert read.timings == whole.timings
    assert read.unreadable == len(odd) + 2


def test_stage_times_come_from_the_timings(tmp_path: Path) -> None:
    stages = dict(built(kitchen_run(), tmp_path).stages)
    assert stages["see"].count == 66
    assert stages["transcribe"].p50 == 52_000
    assert stages["speak"].total == 6 * 21_000


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=50), st.floats(0, 1))
def test_a_percentile_lies_between_its_neighbours_in_order(values: list[float], q: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, q)
    assert ordered[0] <= found * (1 + 1e-9) and found <= ordered[-1] * (1 + 1e-9)
    below = sum(v < found * (1 - 1e-9) for v in ordered)
    assert below <= q * (len(ordered) - 1) + 1


def test_percentiles_of_known_samples() -> None:
    summary = summarize(range(1, 102))
    assert summary is not None
    assert (summary.p50, summary.p95, summary.p99, summary.maximum) == (51, 96, 100, 101)
    assert (summary.p25, summary.p75, summary.count, summary.total) == (26, 76, 101, 5151)


def test_no_samples_have_no_summary() -> None:
    assert summarize([]) is None
    with pytest.raises(ValueError, match="0 samples"):
        percentile([], 0.5)


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0.1, 300)), max_size=40), st.integers(1, 4))
def test_boxes_in_one_row_never_overlap(boxes: list[tuple[float, float]], rows: int) -> None:
    spans = sorted((x, x + width) for x, width in boxes)
    placed = rows_for(spans, rows)
    for row in range(rows):
        inside = [s for s, r in zip(spans, placed, strict=True) if r == row]
        assert all(a[1] <= b[0] for a, b in pairwise(inside))


@given(st.integers(1_000_000, 7 * 86_400_000_000))
def test_a_timeline_of_any_length_is_drawn_within_its_bound(duration_us: int) -> None:
    scale = scale_for(duration_us)
    assert 12 <= scale.width <= MAX_PX * 1.000001
    ticks = scale.ticks_us()
    assert 1 <= len(ticks) <= 1_500
    assert ticks[-1] <= duration_us


@given(st.text(max_size=80), st.floats(0, 400))
def test_a_cut_label_fits_its_box(text: str, width: float) -> None:
    label = fitted(text, width, 6.0)
    assert label == "" or text_width(label, 6.0) <= width + 1e-6
    assert label == text or label == "" or text.startswith(label[:-1].rstrip())


def test_broad_letters_leave_room_for_fewer_of_them() -> None:
    assert len(fitted("%" * 80, 280, 6.4)) < len(fitted("i" * 80, 280, 6.4)) * 0.7


@given(st.integers(1_000_000, 7 * 86_400_000_000), st.integers(2, 40))
def test_sparse_ticks_are_few_and_each_is_a_tick(duration_us: int, at_most: int) -> None:
    scale = scale_for(duration_us)
    sparse = scale.sparse_ticks_us(at_most)
    assert 1 <= len(sparse) <= at_most
    assert set(sparse) <= set(scale.ticks_us())


@given(st.integers(1_000_000, 86_400_000_000), st.floats(0, 1))
def test_every_moment_has_a_tick_before_it(duration_us: int, share: float) -> None:
    scale = scale_for(duration_us)
    us = round(share * duration_us)
    assert scale.tick_before_us(us) == max(t for t in scale.ticks_us() if t <= us)


@given(st.lists(st.integers(), unique=True), st.integers(1, 20))
def test_thinning_keeps_order_and_the_limit(items: list[int], limit: int) -> None:
    kept = thinned(items, limit)
    assert len(kept) == min(limit, len(items))
    positions = [items.index(k) for k in kept]
    assert positions == sorted(set(positions))


@pytest.mark.parametrize(
    ("us", "text"),
    [(0, "0:00.0"), (7_349_000, "0:07.3"), (3_723_000_000, "1:02:03.0"), (-1_500_000, "-0:01.5")],
)
def test_moments_read_as_clock_times(us: int, text: str) -> None:
    assert clock(us) == text


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (340, "340 µs"),
        (1_234, "1.23 ms"),
        (52_000, "52.0 ms"),
        (512_400, "512 ms"),
        (1_530_000, "1.53 s"),
        (123_400_000, "123 s"),
    ],
)
def test_durations_keep_three_digits(us: int, text: str) -> None:
    assert duration(us) == text


def test_shown_cosines_mark_where_the_picture_changed(tmp_path: Path) -> None:
    run = built(kitchen_run(), tmp_path)
    lowest = [f.pts_us for f in run.frames if f.cosine is not None and f.cosine < 0.9]
    assert lowest == [c.start_us for c in run.clips[1:]]
    assert re.fullmatch(r"kf-\d{15}", run.clips[0].keyframe)


def test_an_answer_that_goes_on_is_told_once_and_its_sentences_fall_silent_where_cut(
    tmp_path: Path,
) -> None:
    run = RunWriter()
    run.start(20 * S)
    at = run.hear(0, 1, 2 * S, 3 * S, "What is that?")
    run.add(at, events.TokenDecoded(0, 1, 0, "A "))
    run.add(at, events.TokenDecoded(0, 1, 1, "red "))
    run.add(at, events.TokenDecoded(0, 1, 2, "cup."))
    run.add(at, events.SentenceSpoken(0, 1, "A red cup.", 5 * S, 8 * S))
    run.add(6 * S, events.AnswerInterrupted(0, 1, 2, 2 * S, True))
    run.add(7 * S, events.AnswerResumed(0, 3, 1, "A red", 2))
    run.add(7 * S, events.TokenDecoded(0, 3, 2, "cup."))
    run.add(7 * S, events.SentenceSpoken(0, 3, "cup.", 7 * S, 9 * S))
    question = built(run, tmp_path / "open").questions[0]
    assert question.answer == "A red cup."
    assert [question.heard_until_us(s.event) for s in question.sentences] == [6 * S, 9 * S]
    assert (question.resumed, question.outcome) == (1, "unfinished")
    run.add(8 * S, events.AnswerCancelled(0, 3, 4, "A red cup.", 3, S, True, "A red"))
    assert built(run, tmp_path / "cancelled").questions[0].outcome == "cancelled"
