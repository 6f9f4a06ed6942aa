"""What was said becomes one question: all of its parts, its sound, its own generation."""

from __future__ import annotations

import pytest

from omnilive import events
from omnilive.perception.config import VadConfig
from omnilive.session.config import TurnConfig
from omnilive.session.costs import VirtualCostConfig
from session_room import Room

SHORT = VadConfig(max_utterance_ms=3_000)
"""Speech is split after three seconds, in a pause between two words."""


def tell_a_story(room: Room) -> None:
    """Three words of 1.4 seconds, which makes three parts."""
    for i, word in enumerate(["alpha", "beta", "gamma"]):
        room.say(1 + 1.6 * i, 2.4 + 1.6 * i, word)


def test_the_parts_of_a_long_utterance_are_one_question() -> None:
    room = Room(vad=SHORT)
    tell_a_story(room)
    room.run(8)
    assert [e.split for e in room.events(events.SpeechEnded)] == [True, True, False]
    assert [e.text for e in room.events(events.Transcribed)] == ["alpha", "beta", "gamma"]
    assert room.check.judged == room.finder.asked == ["alpha beta gamma"]


def test_parts_split_off_stay_heard_when_the_rest_is_reopened() -> None:
    room = Room(vad=SHORT, costs=VirtualCostConfig(decode_step_us=1_000_000))
    room.say(1, 2.4, "alpha")
    room.say(2.6, 4, "beta")
    room.say(5.1, 6.5, "gamma")
    room.run(9)
    assert len(room.events(events.SpeechContinued)) == 1
    assert room.check.judged[-1] == "alpha beta gamma"
    assert room.outcome(0).kind == "answer_finished"


def test_a_part_stays_heard_when_a_question_is_typed_while_it_is_transcribed() -> None:
    room = Room(vad=SHORT, costs=VirtualCostConfig(audio_encode_us_per_s=500_000))
    tell_a_story(room)
    room.ask(4, "and that")
    room.run(10)
    (split_us, _), *_ = room.timed(events.SpeechEnded)
    (heard_us, _), *_ = room.timed(events.Transcribed, 0)
    assert split_us < 4_000_000 < heard_us
    assert room.check.judged == ["alpha beta gamma"]


@pytest.mark.parametrize(
    ("most", "kept"), [(1, "gamma"), (2, "beta gamma"), (3, "alpha beta gamma")]
)
def test_of_a_long_story_the_last_words_are_kept(most: int, kept: str) -> None:
    room = Room(vad=SHORT, turn=TurnConfig(max_words=most))
    tell_a_story(room)
    room.run(8)
    assert room.check.judged == [kept]


def test_minutes_of_unbroken_speech_are_answered_from_their_end() -> None:
    room = Room(vad=SHORT, turn=TurnConfig(max_words=8))
    for i in range(40):
        room.say(1 + 1.5 * i, 2.4 + 1.5 * i, f"word{i} and on")
    room.run(65)
    assert room.check.judged == ["and on word38 and on word39 and on"]
    assert room.outcome(0).kind == "answer_finished"


def test_parts_transcribed_late_are_not_heard_in_the_next_utterance() -> None:
    room = Room(vad=SHORT, costs=VirtualCostConfig(audio_encode_us_per_s=1_500_000))
    tell_a_story(room)
    room.say(8, 9, "what is this")
    room.run(10)
    assert room.check.judged == ["what is this"]
    assert room.outcome(0).reason == "superseded"


def test_the_background_is_named_before_the_words() -> None:
    room = Room()
    room.ears.sound = "Rain"
    room.say(3, 4, "what is this")
    room.run(6)
    assert room.check.judged == room.finder.asked == ["Sound classification：Rain. what is this"]


def test_the_sound_named_is_the_one_before_the_utterance() -> None:
    room = Room()
    room.ears.sound = "Rain"
    room.say(3, 4, "what is this")
    room.at(6, lambda: setattr(room.ears, "sound", "Speech"))
    room.say(8, 9, "and that")
    room.run(11)
    assert room.check.judged[1] == "and that"


def test_a_question_typed_while_somebody_speaks_gives_way_to_what_is_said() -> None:
    room = Room(answer="One. " * 40)
    room.say(1, 4, "what is this")
    room.ask(2, "and that")
    room.run(6)
    typed, said = room.outcome(-1), room.outcome(0)
    assert room.only(events.SpeechStarted).generation == 1
    assert (typed.kind, typed.generation, typed.by_generation) == ("answer_cancelled", 2, 3)
    assert (said.kind, said.generation) == ("answer_finished", 3)
    # Until the speech ends, the typed question is answered.
    stopped_us = room.timed(events.AnswerInterrupted)[0][0]
    assert stopped_us == room.timed(events.SpeechEnded)[0][0]
    assert {e.generation for e in room.events(events.TokenDecoded, -1)} == {2}


def test_a_part_split_off_leaves_a_question_typed_meanwhile_alone() -> None:
    room = Room(vad=SHORT, answer="One. " * 40)
    tell_a_story(room)
    room.ask(2, "and that")
    room.run(10)
    *_, (ended_us, ended) = room.timed(events.SpeechEnded)
    assert not ended.split
    assert [at_us for at_us, _ in room.timed(events.AnswerInterrupted, -1)] == [ended_us]


def test_the_last_words_are_heard_when_the_stream_ends_in_them() -> None:
    room = Room()
    room.say(1, 2, "what is this")
    room.run(2)
    assert room.check.judged == ["what is this"]
    assert room.outcome(0).kind == "answer_finished"
