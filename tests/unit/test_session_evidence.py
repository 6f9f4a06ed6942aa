"""Which frames and memory an answer is shown: the rules, what is gone, and what reading costs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from omnilive import events
from omnilive.config import PRESETS
from omnilive.memory.config import RetrievalConfig
from omnilive.memory.keyframes import keyframe_id
from omnilive.reasoning.budget import thinned
from omnilive.reasoning.config import BudgetConfig
from omnilive.session.config import EvidenceConfig
from omnilive.session.costs import VirtualCostConfig
from session_room import Room, S

RICH = BudgetConfig(max_visual_tokens=10**6, max_prefill_ms=0)
SCENES = (5, 4, 6)
"""Frames of the three clips that ``watched`` makes: 0-4 s, 5-8 s and 9-14 s."""
PAPER = RetrievalConfig(min_probability=0.9, fallback="all_frames")


def watched(scores: tuple[float, ...] = (), ask_s: float = 15.5, **configs: Any) -> Room:
    """A room in which three scenes were watched and a question was answered."""
    room = Room(**configs)
    room.finder.scores = scores
    second = 0
    for index, frames in enumerate(SCENES):
        for _ in range(frames):
            room.show(second, shade=(100, 30, 201)[index])
            second += 1
    room.ask(ask_s, "what is this")
    return room


def seconds(*numbers: int) -> list[float]:
    return [float(n) for n in numbers]


def preset(name: str, section: str, kind: type[Any]) -> Any:
    return kind(**PRESETS[name].get(section, {}))


def test_the_selected_clips_and_the_newest_frames_are_shown_in_time_order_and_once() -> None:
    room = watched((0.9, 0.1, 0.8), retrieval=RetrievalConfig(rule="best_above"))
    room.run(16)
    assert room.shown(-1) == seconds(0, 1, 2, 3, 4, 12, 13, 14)
    room = watched((0.1, 0.1, 0.8), retrieval=RetrievalConfig(rule="best_above"))
    room.run(16)
    assert room.shown(-1) == seconds(*range(9, 15))


def test_without_a_selection_only_the_newest_frames_are_shown() -> None:
    room = watched(retrieval=RetrievalConfig(rule="best_above", fallback="none"))
    room.run(16)
    assert room.shown(-1) == seconds(12, 13, 14)
    assert room.only(events.EvidenceChosen).clips == ()


@pytest.mark.parametrize(
    ("scores", "shown"), [((0.9, 0.95, 0.1), (2, 4)), ((0.1, 0.1, 0.1), (12, 14))]
)
def test_demo_compat_shows_a_pair_of_the_earliest_clip_or_of_the_newest_frames(
    scores: tuple[float, ...], shown: tuple[int, ...]
) -> None:
    room = watched(
        scores,
        evidence=preset("demo-compat", "evidence", EvidenceConfig),
        retrieval=preset("demo-compat", "retrieval", RetrievalConfig),
        budget=RICH,  # the rule alone makes it two
    )
    room.run(16)
    assert room.shown(-1) == seconds(*shown)
    assert room.only(events.EvidenceChosen).memory_tokens == 0


def test_paper_shows_all_frames_and_no_short_term_memory_when_nothing_is_selected() -> None:
    room = watched(
        evidence=preset("paper", "evidence", EvidenceConfig),
        retrieval=PAPER,
        budget=preset("paper", "budget", BudgetConfig),
    )
    room.run(16)
    chosen = room.only(events.EvidenceChosen)
    assert room.shown(-1) == seconds(*range(15))
    assert chosen.clips == () and chosen.limited_by == ""
    # Only the overview: three clips behind its label.
    assert 3 < chosen.memory_tokens < 3 + 40


def test_all_frames_are_thinned_uniformly_to_the_most_that_may_be_shown() -> None:
    room = watched(
        evidence=EvidenceConfig(current_frames=0),
        retrieval=PAPER,
        budget=BudgetConfig(max_visual_tokens=10**6, max_prefill_ms=0, max_frames=4),
    )
    room.run(16)
    assert room.shown(-1) == seconds(*thinned(15, 4))
    assert room.only(events.EvidenceChosen).limited_by == "frames"


def test_the_memory_clips_kept_are_told_by_their_numbers_and_with_the_estimate() -> None:
    budget = BudgetConfig(max_visual_tokens=10**6, max_prefill_ms=0, tile_us=7_000)
    room = watched((0.9, 0.1, 0.9), budget=budget)
    room.run(16)
    chosen = room.only(events.EvidenceChosen)
    assert chosen.clips == room.only(events.Grounded).selected == (0, 2)
    assert chosen.estimated_ms == pytest.approx(
        chosen.tiles * 7 + chosen.prompt_tokens * budget.prefill_us_per_token / 1000
    )


@pytest.mark.parametrize(("scores", "kept"), [((0.9, 0.1, 0.8), 0), ((0.8, 0.1, 0.9), 2)])
def test_where_only_one_clip_fits_the_most_related_is_kept_and_told(
    scores: tuple[float, ...], kept: int
) -> None:
    room = watched(scores, retrieval=RetrievalConfig(rule="top_k", top_k=2), prompt_limit=250)
    room.run(16)
    chosen = room.only(events.EvidenceChosen)
    assert room.only(events.Grounded).selected == (0, 2)
    assert (chosen.clips, chosen.limited_by) == ((kept,), "context")


def test_keyframes_that_are_gone_are_left_out_and_counted() -> None:
    room = watched((0.9, 0.1, 0.1), retrieval=RetrievalConfig(rule="best_above"))
    room.album.gone = {keyframe_id(1 * S), keyframe_id(3 * S), keyframe_id(7 * S)}
    room.run(16)
    assert room.shown(-1) == seconds(0, 2, 4, 12, 13, 14)
    assert room.only(events.EvidenceChosen).evicted == 2
    assert not room.album.gone.intersection(room.album.read)


@pytest.mark.parametrize("how", ["evicted", "another size"])
def test_a_keyframe_lost_while_the_others_are_read_is_left_out_of_the_answer(how: str) -> None:
    room = watched((0.9, 0.1, 0.1), retrieval=RetrievalConfig(rule="best_above"))
    lost = keyframe_id(13 * S)

    def lose(key: str) -> None:
        if key == keyframe_id(4 * S):
            room.album.gone |= {lost} if how == "evicted" else set()
            room.album.frames[lost] = np.zeros((9, 9, 3), np.uint8)

    room.album.before_read = lose
    room.run(16)
    assert room.shown(-1) == seconds(0, 1, 2, 3, 4, 12, 14)
    assert room.only(events.EvidenceChosen).evicted == 1
    assert room.outcome(-1).kind == "answer_finished"


def test_only_the_frames_that_the_budget_keeps_are_read() -> None:
    room = watched(
        (0.9, 0.9, 0.9),
        evidence=EvidenceConfig(current_frames=0),
        budget=BudgetConfig(max_visual_tokens=10**6, max_prefill_ms=0, max_frames=3),
    )
    room.run(16)
    assert room.album.read == [keyframe_id(i * S) for i in thinned(15, 3)]
    assert list(room.only(events.EvidenceChosen).frames) == room.album.read


@pytest.mark.parametrize("per_step", [1, 2, 4])
def test_frames_are_read_a_few_at_a_time_and_each_takes_its_time(per_step: int) -> None:
    room = watched(
        (0.9, 0.1, 0.1),
        retrieval=RetrievalConfig(rule="best_above"),
        evidence=EvidenceConfig(frames_per_step=per_step),
        costs=VirtualCostConfig(keyframe_us=100_000),
    )
    at: Counter[int] = Counter()
    room.album.before_read = lambda key: at.update([room.lanes.now_us()])
    room.run(16)
    assert sum(at.values()) == 8 and max(at.values()) == per_step
    ((grounded_us, _),) = room.timed(events.Grounded)
    ((chosen_us, _),) = room.timed(events.EvidenceChosen)
    assert chosen_us - grounded_us == 8 * 100_000


def test_a_new_question_stops_the_reading_of_frames_for_the_old_one() -> None:
    room = watched((0.9, 0.9, 0.9), costs=VirtualCostConfig(keyframe_us=200_000))
    room.ask(16, "and that")
    room.run(17)
    assert not room.events(events.EvidenceChosen, -1)
    assert room.outcome(-1).kind == "answer_cancelled"
    reads = Counter(room.album.read)
    assert 0 < sum(n - 1 for n in reads.values()) < 8


def test_frames_of_changing_sizes_are_planned_as_they_are_kept() -> None:
    room = Room()
    for second, size in enumerate([(64, 36), (36, 64), (61, 45), (99, 13)]):
        room.show(second, size=size)
    room.ask(4, "what is this")
    room.run(5)
    assert len(room.shown(-1)) == 4
    assert room.outcome(-1).kind == "answer_finished"
