"""What a live view is told of a session: the status after each event."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from omnilive import events
from omnilive.cli.terminal_status import Status, advanced
from omnilive.events import Event
from report_runs import S


def after(*timed: tuple[float, Event]) -> Status:
    status = Status()
    for at_s, event in timed:
        status = advanced(status, round(at_s * S), event)
    return status


def ended(utterance: int, *, split: bool = False) -> Event:
    return events.SpeechEnded(utterance, 1, S, 2 * S, 100, split)


def words(utterance: int, text: str, *, typed: bool = False) -> Event:
    return events.Transcribed(utterance, 1, text, "en", typed, 2)


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
        (5.0, events.AnswerFinished(0, 1, "A cup.", "en", 2, "stop")),
        (7.0, events.FrameEncoded(7 * S, 0, 0.9, "kf")),
        (8.0, events.SessionEnded(1, 0, 1, 1, 1, 0)),
    ) == [
        "listening",
        "hearing",
        "thinking",
        "thinking",
        "answering",
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


def test_an_answer_that_was_interrupted_for_nothing_is_spoken_on() -> None:
    assert activities(
        (1, events.SentenceSpoken(0, 1, "A red cup.", S, 9 * S)),
        (2, events.AnswerInterrupted(0, 1, 2, 7 * S, True)),
        (3, events.AnswerResumed(0, 3, 1, "A red", 2)),
        (3.1, events.SentenceSpoken(0, 3, "cup.", 3 * S, 5 * S)),
    ) == ["speaking", "listening", "answering", "speaking"]


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


SPLIT = (
    (1.0, events.SpeechStarted(0, 1, S)),
    (31.0, ended(0, split=True)),
    (31.5, words(0, "A long first part")),
    (40.0, ended(0)),
    (40.5, words(0, "and its end.")),
)


def test_speech_that_is_split_goes_on_until_its_last_part_ends() -> None:
    assert activities(*SPLIT) == ["hearing", "hearing", "hearing", "thinking", "thinking"]


def test_the_parts_of_a_split_utterance_are_heard_as_one() -> None:
    status = after(*SPLIT)
    assert status.spoken == 1
    assert status.heard == "A long first part and its end."


def test_a_reopened_utterance_keeps_its_split_off_part_and_loses_what_is_said_anew() -> None:
    status = after(
        *SPLIT,
        (40.8, events.SpeechContinued(0, 2)),
    )
    assert (status.activity, status.heard) == ("hearing", "A long first part")
    status = advanced(advanced(status, 43 * S, ended(0)), 44 * S, words(0, "and its true end."))
    assert status.heard == "A long first part and its true end."
    assert status.spoken == 1


def test_words_of_a_part_that_come_after_the_next_has_ended_are_put_before_it() -> None:
    status = after(
        (1, events.SpeechStarted(0, 1, S)),
        (31, ended(0, split=True)),
        (32, ended(0)),
        (33, words(0, "First")),
        (34, words(0, "second.")),
    )
    assert (status.heard, status.spoken) == ("First second.", 1)


def test_a_new_utterance_starts_without_the_words_of_the_last() -> None:
    status = after(*SPLIT, (50, events.SpeechStarted(1, 3, 50 * S)))
    assert status.heard == ""
    assert (
        after(*SPLIT, (50, events.SpeechStarted(1, 3, 50 * S)), (52, words(1, "Hi"))).heard == "Hi"
    )


def test_typed_questions_are_counted_apart_from_utterances() -> None:
    status = after((1, words(-1, "What?", typed=True)), (2, words(-2, "Who?", typed=True)))
    assert (status.spoken, status.typed, status.heard) == (0, 2, "Who?")
    status = advanced(status, 3 * S, words(0, "Hello"))
    assert (status.spoken, status.typed) == (1, 2)


def test_a_finished_answer_leaves_it_listening() -> None:
    assert activities(
        (1, events.TokenDecoded(0, 1, 0, "A ")),
        (2, events.AnswerFinished(0, 1, "A cup.", "en", 2, "stop")),
    ) == ["answering", "listening"]
