"""At the end of a sentence an answer goes on with what is to be seen then, if that is new."""

from __future__ import annotations

import pytest

from omnilive import events
from omnilive.session.config import TurnConfig
from omnilive.session.costs import VirtualCostConfig
from session_room import Room

TALE = "There is a blue box. It stands there still. Nobody took it."
SLOW = VirtualCostConfig(decode_step_us=300_000)
"""A word takes 0.3 s: the answer to a question at 3 s has its first sentence at 5 s."""


def watched(
    changes_at_s: int, *, turn: TurnConfig | None = None, costs: VirtualCostConfig = SLOW
) -> Room:
    """A question at 3 s; the scene is another one from ``changes_at_s`` on."""
    room = Room(answer=TALE, costs=costs, turn=turn)
    for second in range(12):
        room.show(second, shade=100 if second < changes_at_s else 30)
    room.ask(3.1, "what is this")
    room.run(12)
    return room


def test_a_new_scene_is_shown_from_the_next_sentence_on_and_the_words_go_on() -> None:
    room = watched(4)
    refreshed = room.only(events.SceneRefreshed)
    chosen = room.only(events.EvidenceChosen)
    newest = max(int(f.removeprefix("kf-")) for f in refreshed.frames)
    assert newest >= 4_000_000 > max(int(f.removeprefix("kf-")) for f in chosen.frames)
    assert refreshed.cosine <= 0.9
    spoken = [s.text for s in room.events(events.SentenceSpoken)]
    assert " ".join(spoken) == TALE == room.outcome(-1).text
    # It happens at the end of a sentence.
    said = "".join(t.text for t in room.events(events.TokenDecoded)[: refreshed.tokens])
    assert said.rstrip().endswith(".") or said.split()[-1] in ("It", "Nobody")
    assert len(room.speaker.prompts) == 1 and len(room.speaker.replies) == 1


@pytest.mark.parametrize(
    ("changes_at_s", "turn"),
    [(12, TurnConfig()), (2, TurnConfig()), (4, TurnConfig(refresh=False))],
)
def test_the_same_scene_or_no_wish_to_look_again_leaves_the_answer_alone(
    changes_at_s: int, turn: TurnConfig
) -> None:
    room = watched(changes_at_s, turn=turn)
    assert not room.events(events.SceneRefreshed)
    assert room.outcome(-1).text == TALE


def test_an_interruption_while_it_looks_again_loses_no_word() -> None:
    slow = VirtualCostConfig(decode_step_us=300_000, prefill_token_us=10_000)
    undisturbed = watched(4, costs=slow)
    at_us = undisturbed.timed(events.SceneRefreshed)[0][0]
    room = Room(answer=TALE, costs=slow)
    for second in range(12):
        room.show(second, shade=100 if second < 4 else 30)
    room.ask(3.1, "what is this")
    room.at(at_us / 1e6 - 0.2, lambda: room.interruptions.interrupt())
    room.at(at_us / 1e6 + 1, lambda: room.interruptions.resume())
    room.run(14)
    assert room.events(events.AnswerResumed)
    assert room.outcome(-1).text == TALE
