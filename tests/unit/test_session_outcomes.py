"""Every utterance gets exactly one outcome, whatever comes when."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from omnilive import events
from omnilive.perception.config import VadConfig
from omnilive.session.config import CHECK_ORDERS, TurnConfig
from omnilive.session.costs import VirtualCostConfig
from session_room import OUTCOMES, Room, S

INSTANT = VirtualCostConfig(**dict.fromkeys(vars(VirtualCostConfig()), 0))
WORDS = ["what is this", "um", "这是什么", "a LONG story", "an ENDLESS story", ""]

UTTERANCES = st.lists(
    st.tuples(
        st.sampled_from(["say", "ask"]),
        st.sampled_from(WORDS),
        st.sampled_from([0.2, 0.5, 0.7, 1.0, 2.5]),  # length of speech, seconds
        st.sampled_from([0.1, 0.4, 0.6, 0.9, 1.3, 2.0]),  # pause after it
    ),
    min_size=1,
    max_size=6,
)
COSTS = st.fixed_dictionaries(
    {
        "audio_encode_us_per_s": st.sampled_from([0, 15_000, 900_000]),
        "prefill_token_us": st.sampled_from([0, 400, 10_000]),
        "memory_token_us": st.sampled_from([0, 150, 60_000]),
        "keyframe_us": st.sampled_from([0, 8_000, 400_000]),
        "decode_step_us": st.sampled_from([0, 45_000, 300_000]),
        "speech_us_per_s": st.sampled_from([0, 50_000, 2_000_000]),
    }
)


@settings(max_examples=60)
@given(UTTERANCES, COSTS, st.sampled_from(CHECK_ORDERS), st.sampled_from([0, 800]), st.booleans())
@example([("say", "um", 1.0, 0.6), ("say", "what is this", 1.0, 2.0)], {}, "parallel", 800, False)
@example([("say", "um", 1.0, 0.6), ("ask", "and this", 0.5, 0.1)], {}, "parallel", 800, False)
@example([("say", "a", 1.0, 0.1), ("ask", "b", 0.2, 0.1)] * 3, {}, "check_first", 0, True)
def test_every_utterance_gets_exactly_one_outcome(script, costs, order, grace_ms, mute) -> None:
    room = Room(
        turn=TurnConfig(order=order),
        vad=VadConfig(reopen_grace_ms=grace_ms, max_utterance_ms=3_000),
        costs=VirtualCostConfig(**costs),
    )
    room.mouth.mute = mute
    at_s, typed = 0.7, 0
    for second in range(4):
        room.show(second, shade=100 if second < 3 else 30)
    for kind, words, length_s, pause_s in script:
        if kind == "say":
            room.say(at_s, at_s + length_s, words)
            at_s += length_s
        else:
            typed += 1
            room.ask(at_s, words)
        at_s += pause_s
    room.run(at_s)

    spoken = [e.utterance for e in room.events(events.SpeechStarted)]
    ends = [(i, e) for i, e in enumerate(room.events()) if e.kind in OUTCOMES]
    assert sorted(e.utterance for _, e in ends) == sorted([*spoken, *range(-typed, 0)])
    for index, end in ends:
        # What was asked of the audio model runs to its end; nothing else outlives an utterance.
        after = {e.kind for e in room.events()[index + 1 :] if about(e, end.utterance)}
        assert after <= {"sound_classified", "transcribed"}
    kinds = [e.kind for _, e in ends]
    assert room.outcomes.answers == kinds.count("answer_finished")
    assert room.outcomes.cancelled == kinds.count("answer_cancelled")


def about(event: events.Event, utterance: int) -> bool:
    return getattr(event, "utterance", None) == utterance


@pytest.mark.parametrize(
    ("stage", "slow"),
    [
        ("transcribed", {"audio_encode_us_per_s": 5_000_000}),
        ("instruction_checked", {"prefill_token_us": 500_000}),
        ("grounded", {"memory_token_us": 500_000}),
    ],
)
def test_a_question_superseded_before_its_answer_begins_says_so(
    stage: str, slow: dict[str, int]
) -> None:
    room = Room(costs=VirtualCostConfig(**slow))
    room.say(1, 2, "what is this")
    room.ask(4, "and that")
    room.run(5)
    assert stage not in {e.kind for e in room.events(utterance=0)}
    outcome = room.outcome(0)
    assert (outcome.kind, outcome.reason, outcome.generation) == ("unanswered", "superseded", 1)
    ((at_us, _),) = room.timed(events.Unanswered, 0)
    assert at_us == 4 * S
    assert room.outcome(-1).kind == "answer_finished"


def test_a_typed_question_is_superseded_by_a_later_one() -> None:
    room = Room(costs=VirtualCostConfig(memory_token_us=500_000))
    room.ask(1, "what is this")
    room.ask(2, "and that")
    room.run(3)
    assert room.outcome(-1).reason == "superseded"
    assert room.outcome(-2).kind == "answer_finished"


def test_a_filler_has_its_outcome_once_speech_can_no_longer_continue_it() -> None:
    room = Room(costs=INSTANT)
    room.say(1, 2, "um")
    room.run(6)
    (ended_us, _), (told_us, outcome) = (
        room.timed(events.SpeechEnded)[0],
        room.timed(events.Unanswered)[0],
    )
    assert outcome.reason == "filler"
    # The grace, and the 160 ms it takes to tell that something is speech.
    assert told_us - ended_us == 960_000


def test_a_filler_that_goes_on_is_one_question() -> None:
    room = Room()
    room.say(1, 2, "um")
    room.say(3.1, 4, "what is this")
    room.run(8)
    assert room.check.judged == ["um", "um what is this"]
    assert room.outcome(0).kind == "answer_finished"
    assert len(room.events(events.SpeechContinued)) == 1


def test_a_typed_question_gives_a_filler_its_outcome_and_ends_it_for_good() -> None:
    room = Room(costs=INSTANT)
    room.say(1, 2, "um")
    room.ask(2.8, "and that")
    room.say(3.1, 4, "what is this")
    room.run(8)
    ((at_us, outcome),) = room.timed(events.Unanswered)
    assert (at_us, outcome.utterance, outcome.reason) == (2_800_000, 0, "filler")
    assert [e.utterance for e in room.events(events.SpeechStarted)] == [0, 1]
    assert room.check.judged == ["um", "what is this"]


def test_without_a_grace_the_outcome_comes_at_once() -> None:
    room = Room(costs=INSTANT, vad=VadConfig(reopen_grace_ms=0))
    room.say(1, 2, "um")
    room.run(6)
    assert room.timed(events.Unanswered)[0][0] == room.timed(events.SpeechEnded)[0][0]


def test_sound_without_words_and_a_typed_blank_are_no_questions() -> None:
    room = Room()
    room.say(1, 2, "")
    room.ask(5, "  ")
    room.run(6)
    assert [room.outcome(u).reason for u in (0, -1)] == ["no_words", "no_words"]
    assert not room.check.judged and not room.finder.asked
    # Nobody can go on with what was typed.
    assert room.timed(events.Unanswered, -1)[0][0] == 5 * S


@pytest.mark.parametrize("order", CHECK_ORDERS)
@pytest.mark.parametrize("words", ["a LONG story", "an ENDLESS story"])
def test_words_beyond_a_limit_are_left_unanswered_and_the_session_goes_on(
    order: str, words: str
) -> None:
    room = Room(turn=TurnConfig(order=order))
    room.say(1, 2, words)
    room.say(6, 7, "what is this")
    room.run(9)
    assert room.outcome(0).reason == "too_long"
    assert room.outcome(1).kind == "answer_finished"


def test_words_beyond_the_context_are_left_unanswered_and_the_session_goes_on() -> None:
    room = Room(prompt_limit=200)
    room.ask(1, "what is this " * 50)
    room.ask(3, "what is this")
    room.run(4)
    assert room.outcome(-1).reason == "too_long"
    assert not room.events(events.EvidenceChosen, -1)
    assert room.outcome(-2).kind == "answer_finished"
