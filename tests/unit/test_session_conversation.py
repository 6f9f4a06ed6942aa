"""A turn: when it is checked and grounded, and which memory it sees."""

from __future__ import annotations

import pytest

from omnilive import events
from omnilive.memory.config import RetrievalConfig
from omnilive.session.config import EvidenceConfig, TurnConfig
from omnilive.session.costs import VirtualCostConfig
from session_room import Room

CHECK_US, GROUND_US = 20 * 1_000, 10 * 7_000
COSTS = VirtualCostConfig(prefill_token_us=1_000, memory_token_us=7_000)


@pytest.mark.parametrize(
    ("order", "checked_us", "grounded_us"),
    [
        ("parallel", CHECK_US, GROUND_US),
        ("check_first", CHECK_US, CHECK_US + GROUND_US),
        ("ground_first", GROUND_US + CHECK_US, GROUND_US),
    ],
)
def test_check_and_grounding_come_in_the_configured_order(
    order: str, checked_us: int, grounded_us: int
) -> None:
    room = Room(turn=TurnConfig(order=order), costs=COSTS)
    room.say(1, 2, "what is this")
    room.run(4)
    ((heard_us, _),) = room.timed(events.Transcribed)
    ((checked_at, _),) = room.timed(events.InstructionChecked)
    ((grounded_at, _),) = room.timed(events.Grounded)
    assert (checked_at - heard_us, grounded_at - heard_us) == (checked_us, grounded_us)


@pytest.mark.parametrize(
    ("order", "grounded"), [("parallel", 1), ("check_first", 0), ("ground_first", 1)]
)
def test_a_filler_is_grounded_only_where_grounding_does_not_wait_for_the_check(
    order: str, grounded: int
) -> None:
    room = Room(turn=TurnConfig(order=order))
    room.say(1, 2, "um")
    room.run(4)
    assert len(room.events(events.Grounded)) == grounded
    assert room.outcome(0).reason == "filler"
    assert not room.events(events.EvidenceChosen)


@pytest.mark.parametrize(
    ("snapshot", "speech_frames", "clips", "newest_s"),
    [
        ("speech_start", False, (0,), 2.0),
        ("speech_start", True, (0,), 6.0),
        ("speech_end", False, (0, 1), 6.0),
        ("speech_end", True, (0, 1), 6.0),
    ],
)
def test_a_question_sees_the_memory_of_the_configured_moment_and_what_came_while_it_was_asked(
    snapshot: str, speech_frames: bool, clips: tuple[int, ...], newest_s: float
) -> None:
    room = Room(
        turn=TurnConfig(snapshot=snapshot),
        evidence=EvidenceConfig(speech_frames=speech_frames),
    )
    for second in range(8):
        room.show(second, shade=100 if second < 4 else 30)
    room.say(2.5, 5.9, "what is this")
    room.run(9)
    assert room.only(events.Grounded).clips == clips
    assert max(room.shown(0)) == newest_s
    if speech_frames:
        assert {3.0, 4.0, 5.0, 6.0} <= set(room.shown(0))


@pytest.mark.parametrize("fallback", ["none", "best_clip", "last_frames", "all_frames"])
def test_the_log_names_what_stands_in_when_no_clip_passes_the_rule(fallback: str) -> None:
    names = []
    for least in (1.0, -1.0):
        room = Room(
            retrieval=RetrievalConfig(rule="best_above", min_cosine=least, fallback=fallback)
        )
        for second in range(4):
            room.show(second, shade=100)
        room.ask(3.5, "what is this")
        room.run(5)
        names.append(room.only(events.Grounded).fallback)
    assert names == [fallback, ""]


def test_a_typed_question_needs_no_check_and_sees_the_memory_of_its_moment() -> None:
    room = Room()
    for second in range(8):
        room.show(second, shade=100 if second < 4 else 30)
    room.ask(3.5, "um")
    room.run(9)
    assert not room.check.judged
    assert room.only(events.Grounded).clips == (0,)
    assert max(room.shown(-1)) == 3.0
    assert room.outcome(-1).kind == "answer_finished"


def test_the_answer_is_in_the_language_of_the_question() -> None:
    prompts = {}
    for words, language in (("what is this", "en"), ("这是什么", "zh")):
        room = Room()
        room.say(1, 2, words)
        room.run(4)
        assert room.outcome(0).language == language
        assert {spoken for _, spoken in room.mouth.said} == {language}
        prompts[language] = len(room.speaker.prompts[0].embeds)
    assert prompts["en"] != prompts["zh"]
