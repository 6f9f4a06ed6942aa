"""An answer is decoded, spoken and heard to its end, or stopped at once."""

from __future__ import annotations

import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omnilive import events
from omnilive.perception.config import VadConfig
from omnilive.session.costs import VirtualCostConfig
from session_parts import CHAR_SAMPLES
from session_room import RATE, Room, S

QUICK = VirtualCostConfig(prefill_token_us=10, tile_us=10, keyframe_us=10, decode_step_us=1_000)
INSTANT = VirtualCostConfig(**dict.fromkeys(vars(VirtualCostConfig()), 0))
LONG = "There is a big blue box on the table. " * 3


def played(room: Room, path: Path, end_s: float) -> np.ndarray:
    """Run with the answers written to ``path``; the samples."""
    room.track.write_wav(path)
    room.run(end_s)
    room.track.close()
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def test_a_barge_in_silences_the_answer_from_that_moment_on(tmp_path: Path) -> None:
    room = Room(answer=LONG)
    room.say(1, 2, "what is this")
    room.say(6, 7, "and that")
    sound = played(room, tmp_path / "answers.wav", 8)
    ((at_us, interrupted),) = room.timed(events.AnswerInterrupted)
    started_us = room.events(events.SentenceSpoken)[0].start_us
    ends_us = room.events(events.SentenceSpoken, 0)[-1].end_us
    assert started_us < at_us < ends_us
    assert interrupted.silenced_us == pytest.approx(ends_us - at_us, abs=100)
    assert at_us == room.timed(events.SpeechStarted)[1][0]
    at = at_us * RATE // S
    assert sound[at - 100 : at - 1].all()
    again_us = room.events(events.SentenceSpoken, 1)[0].start_us
    assert not sound[at + 1 : again_us * RATE // S].any()


def test_an_answer_whose_sound_was_cut_is_cancelled_and_not_answered() -> None:
    room = Room(answer=LONG)
    room.say(1, 2, "what is this")
    room.say(6, 7, "and that")
    room.run(20)
    cancelled = room.only(events.AnswerCancelled)
    assert (cancelled.complete, cancelled.text) == (True, LONG)
    assert not room.events(events.AnswerFinished, 0)
    assert (room.outcomes.answers, room.outcomes.cancelled) == (1, 1)


def test_an_answer_stopped_in_mid_decode_is_not_complete() -> None:
    room = Room(answer=LONG, costs=VirtualCostConfig(decode_step_us=300_000))
    room.ask(1, "what is this")
    room.ask(4, "and that")
    room.run(5)
    cancelled = room.only(events.AnswerCancelled, -1)
    tokens = room.timed(events.TokenDecoded, -1)
    assert not cancelled.complete and LONG.startswith(cancelled.text)
    assert len(tokens) == cancelled.tokens > 0
    assert max(at_us for at_us, _ in tokens) <= 4 * S
    assert cancelled.by_generation == room.outcome(-2).generation


def test_an_answer_is_finished_when_it_has_been_heard() -> None:
    room = Room(answer="A blue box. It is red.")
    room.say(1, 2, "what is this")
    room.run(10)
    spoken = room.events(events.SentenceSpoken)
    assert [s.text for s in spoken] == ["A blue box.", "It is red."]
    ((at_us, finished),) = room.timed(events.AnswerFinished)
    assert at_us == spoken[-1].end_us
    assert (finished.text, finished.reason, finished.tokens) == (
        "A blue box. It is red.",
        "stop",
        6,
    )
    assert (room.outcomes.answers, room.outcomes.cancelled) == (1, 0)


def test_a_question_right_after_the_last_word_cancels_nothing() -> None:
    room = Room()
    room.ask(1, "what is this")
    room.run(2)
    end_us = room.events(events.SentenceSpoken)[-1].end_us
    again = Room()
    again.ask(1, "what is this")
    again.ask(end_us / S, "and that")
    again.run(2)
    assert again.outcome(-1).kind == "answer_finished"


def test_an_answer_without_sound_is_finished_with_its_last_token() -> None:
    room = Room()
    room.mouth.mute = True
    room.ask(1, "what is this")
    room.run(2)
    assert not room.events(events.SentenceSpoken)
    last_us = room.timed(events.TokenDecoded)[-1][0] + VirtualCostConfig().decode_step_us
    assert room.timed(events.AnswerFinished)[0][0] == last_us


def test_a_sentence_synthesized_for_an_older_question_is_never_placed() -> None:
    slow = VirtualCostConfig(speech_us_per_s=3_000_000)
    room = Room(costs=slow)
    room.ask(1, "what is this")
    room.ask(2.5, "and that")
    room.run(4)
    # It was being synthesized when the second question came.
    assert room.mouth.said[0] == ("A blue box.", "en")
    assert room.timed(events.TokenDecoded, -1)[2][0] < 2_500_000
    assert not room.events(events.SentenceSpoken, -1)
    assert room.only(events.AnswerCancelled).silenced_us == 0
    length_us = len("A blue box.") * CHAR_SAMPLES * S // RATE
    first = room.events(events.SentenceSpoken, -2)[0]
    assert first.end_us - first.start_us == length_us


def test_speech_after_the_first_audible_word_is_a_new_utterance() -> None:
    room = Room(costs=QUICK, answer=LONG)
    room.say(1, 2, "what is this")
    room.say(3, 4, "and that")
    room.run(12)
    audible_us = room.events(events.SentenceSpoken, 0)[0].start_us
    assert audible_us < 3 * S
    assert [e.utterance for e in room.events(events.SpeechStarted)] == [0, 1]
    assert room.check.judged == ["what is this", "and that"]
    assert room.outcome(0).by_generation == room.outcome(1).generation


@pytest.mark.parametrize(("hold_ms", "questions"), [(288, 1), (0, 2)])
def test_a_pause_does_not_split_a_question_however_fast_its_answer_is(
    hold_ms: int, questions: int
) -> None:
    room = Room(costs=INSTANT, vad=VadConfig(answer_hold_ms=hold_ms), listened=True)
    room.say(1, 2, "what is this")
    room.say(2.6, 3.5, "and that")
    room.run(8)
    assert len(room.events(events.SpeechStarted)) == questions
    judged = ["what is this and that", "and that"]
    assert room.check.judged[-1] == judged[questions - 1]
    assert room.only(events.AnswerFinished).utterance == questions - 1
    first, last = room.chunks[0], room.events(events.SpeechEnded)[-1]
    assert (first.pts_us > last.end_us + 384_000 + 160_000) == (hold_ms > 0)
    # What was ready meanwhile sounds in order, each sentence once.
    told = [e.text for e in room.events(events.SentenceSpoken, questions - 1)]
    assert told == ["A blue box.", "It is red."]


def test_an_answer_that_waits_to_sound_is_heard_when_the_stream_ends() -> None:
    room = Room(costs=INSTANT)
    room.say(1, 2, "what is this")
    room.run(2.5)
    assert room.outcome(0).kind == "answer_finished"
    assert room.events(events.SentenceSpoken)[0].start_us == 2_500_000


def test_speech_before_anything_is_audible_goes_on_and_the_answer_begun_is_void() -> None:
    room = Room(costs=replace(QUICK, speech_us_per_s=2_000_000))
    room.say(1, 2, "what is this")
    room.say(3, 4, "and that")
    room.run(12)
    begun = [e.generation for e in room.events(events.TokenDecoded, 0)]
    assert begun[0] == 1 and begun == sorted(begun)
    assert room.only(events.SpeechContinued).generation == 2
    assert room.check.judged[-1] == "what is this and that"
    assert {s.generation for s in room.events(events.SentenceSpoken)} == {2}
    assert (room.outcome(0).kind, room.outcome(0).generation) == ("answer_finished", 2)
