"""What the quality benchmark asks, of which worlds, and what it takes away."""

from __future__ import annotations

import numpy as np

from omnilive.config import load_config
from omnilive.memory.clip import Clip
from omnilive.sources.types import US_PER_SECOND
from omnilive_micropack.questions import KINDS
from omnilive_micropack.seeds import TEST_SEEDS
from omnilive_micropack.story import make_world
from scoring.asking import age_s, by_second, questions_of_ages, questions_of_kinds
from scoring.bars import CUTS, ITEMS
from scoring.columns import parse_ablations
from scoring.groups import Scale
from scoring.hearing import UTTERANCES
from scoring.instruction import SENTENCES
from scoring.registry import GROUPS, groups_of
from scoring.seeding import test_seed as seed_of
from scoring.seeing import missed_by_chance, overlaps
from scoring.variants import ablate

WORLD = make_world(TEST_SEEDS.start + 77, 600.0)


def test_every_seed_means_test_worlds_of_its_own() -> None:
    seeds = {seed_of(seed, name, part) for seed in range(5) for name in "ab" for part in range(5)}
    assert len(seeds) == 50
    assert all(seed in TEST_SEEDS for seed in seeds)


def test_each_kind_is_asked_as_often_as_wanted_where_the_world_allows() -> None:
    asked = questions_of_kinds(WORLD, 6)
    counts = {kind: sum(q.kind == kind for q in asked) for kind in KINDS}
    assert {kind for kind, count in counts.items() if count < 6} <= {"this", "changed"}
    assert max(counts.values()) == 6
    assert asked == questions_of_kinds(WORLD, 6)


def test_no_question_is_asked_twice_at_one_second() -> None:
    asked = questions_of_kinds(WORLD, 20)
    keys = [(int(q.asked_s), q.text) for q in asked if q.kind == "not_seen"]
    assert len(keys) == len(set(keys))


def test_questions_of_an_age_have_evidence_of_that_age() -> None:
    asked = questions_of_ages(WORLD, 4)
    ages = [age_s(q) for q in asked]
    assert len(ages) == 12
    assert all(age > 0 for age in ages)
    assert [sum(low < age <= high for age in ages) for low, high in ((0, 60), (60, 300))] == [4, 4]


def test_a_question_is_asked_after_the_frame_of_its_second() -> None:
    asked = questions_of_kinds(WORLD, 2)
    assert all(
        second <= q.asked_s < second + 1
        for second, questions in by_second(asked).items()
        for q in questions
    )


def test_a_full_run_covers_as_much_as_the_bars_ask_for() -> None:
    hearing, instruction, seeing, _ = groups_of(tuple(GROUPS), 0, Scale())
    assert hearing.parts * UTTERANCES >= ITEMS
    assert instruction.parts * SENTENCES >= ITEMS
    streams = range(seeing.parts - 3)
    cuts = sum(len(make_world(seed_of(0, "seeing", i), 1_800.0).cuts_s) for i in streams)
    assert 2 * cuts >= CUTS


def clip(start_s: int, end_s: int) -> Clip:
    row = np.zeros((1, 2), np.float32)
    return Clip(0, start_s * US_PER_SECOND, end_s * US_PER_SECOND, (), (), row, row[0])


def test_a_clip_shows_evidence_that_it_overlaps_not_one_that_it_only_touches() -> None:
    assert overlaps(clip(4, 9), [(8.5, 20.0)])
    assert overlaps(clip(4, 9), [(0.0, 1.0), (5.0, 6.0)])
    assert not overlaps(clip(4, 9), [(9.0, 20.0), (0.0, 4.0)])


def test_chance_counts_clips_drawn_without_putting_back() -> None:
    assert missed_by_chance(10, 2, 1) == 0.8
    assert missed_by_chance(4, 1, 4) == 0.0
    assert missed_by_chance(2, 0, 4) == 1.0
    assert missed_by_chance(2, 1, 4) == 0.0


def test_each_ablation_takes_one_thing_out_of_the_configuration() -> None:
    edge = load_config("edge")
    assert ablate(edge, frozenset({"frames"})).budget.max_frames == 0
    assert ablate(edge, frozenset({"memory"})).evidence.memory_tokens is False
    retrieval = ablate(load_config("demo-compat"), frozenset({"retrieval"})).retrieval
    assert (retrieval.min_probability, retrieval.fallback) == (1.0, "none")
    assert ablate(edge, frozenset({"audio"})) == edge


def test_ablations_are_one_after_the_other_unless_joined() -> None:
    assert parse_ablations(["frames,memory", "retrieval+frames", "frames"]) == (
        frozenset({"frames"}),
        frozenset({"memory"}),
        frozenset({"retrieval", "frames"}),
    )
