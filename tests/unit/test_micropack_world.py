"""Worlds and their pictures: what is in them, where, and what is kept out of training."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive_micropack.facts import FrameFacts, Seen, frame_facts
from omnilive_micropack.painting import paint, paint_labels
from omnilive_micropack.rooms import PLACE_ANCHORS, ROOM_LOOKS
from omnilive_micropack.seeds import (
    CALIBRATION_SEEDS,
    TEST_SEEDS,
    TRAINING_SEEDS,
    held_out,
)
from omnilive_micropack.shapes import COLOUR_RGB, SHAPES
from omnilive_micropack.sightings import BROUGHT, MOVED, TOOK, scene_events
from omnilive_micropack.story import make_world
from omnilive_micropack.vocabulary import COLOURS, FIGURES, OBJECTS, PLACES, ROOMS
from omnilive_micropack.world import HELD, SHOWN, STANDING, Scene, World

SIZE = (320, 180)
SEEDS = st.integers(0, 2**31 - 1)


def pairs(world: World) -> set[tuple[str, str]]:
    return {thing.pair for scene in world.scenes for thing in scene.things if not thing.is_figure}


def frames(world: World) -> list[FrameFacts]:
    """What is seen at one frame a second."""
    return [frame_facts(world, float(t)) for t in range(round(world.duration_s))]


def test_every_word_can_be_drawn_and_every_drawing_has_a_word() -> None:
    assert set(SHAPES) == {*OBJECTS, *FIGURES}
    assert set(COLOUR_RGB) == set(COLOURS)
    assert set(ROOM_LOOKS) == set(ROOMS)
    assert set(PLACE_ANCHORS) == set(PLACES)
    assert len(OBJECTS) >= 16
    assert len(COLOURS) >= 6


def test_seed_ranges_never_meet() -> None:
    for a, b in itertools.pairwise((TRAINING_SEEDS, CALIBRATION_SEEDS, TEST_SEEDS)):
        assert a.stop <= b.start


@settings(max_examples=60)
@given(SEEDS, st.floats(4, 600))
def test_scenes_follow_without_a_gap_and_hold_their_things(seed: int, seconds: float) -> None:
    world = make_world(seed, seconds)
    assert world.scenes[0].start_s == 0
    assert world.duration_s == np.ceil(seconds)
    ids = [thing.id for scene in world.scenes for thing in scene.things]
    assert len(ids) == len(set(ids))
    for before, after in itertools.pairwise(world.scenes):
        assert before.end_s == after.start_s
        assert before.room != after.room
    for scene in world.scenes:
        assert scene.end_s - scene.start_s >= min(8, seconds)
        assert 1 <= sum(not thing.is_figure for thing in scene.things) <= 6
        for thing in scene.things:
            times = [stay.start_s for stay in thing.stays]
            assert times == sorted(set(times))
            assert scene.start_s <= times[0] and times[-1] < thing.end_s <= scene.end_s


@settings(max_examples=20)
@given(SEEDS)
def test_things_are_large_and_cover_neither_each_other_nor_people(seed: int) -> None:
    for facts in frames(make_world(seed, 60)):
        for seen in facts.things:
            left, top, right, bottom = seen.box
            assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
            assert bottom - top >= 0.36
        for a, b in itertools.combinations(facts.things, 2):
            held = a.id if a.holder else b.id if b.holder else None
            if held is None:
                assert _apart(a, b), (a, b)
            elif _carrier(a, b):
                assert not _apart(a, b)
            else:
                assert _apart(a, b)


def _apart(a: Seen, b: Seen) -> bool:
    return (
        a.box[2] <= b.box[0] or b.box[2] <= a.box[0] or a.box[3] <= b.box[1] or b.box[3] <= a.box[1]
    )


def _carrier(a: Seen, b: Seen) -> bool:
    return (a.holder, b.held) == (b.kind, a.kind) or (b.holder, a.held) == (a.kind, b.kind)


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    assert make_world(5, 300) == make_world(5, 300)
    assert make_world(5, 300) != make_world(6, 300)
    first, again, other = (
        np.stack([paint(make_world(seed, 20), t, SIZE) for t in (1, 9, 17)]) for seed in (5, 5, 6)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_held_out_pairs_are_a_small_share_that_leaves_every_kind_and_colour() -> None:
    kept = {(k, c) for k in OBJECTS for c in COLOURS if not held_out(k, c)}
    assert 0.08 <= 1 - len(kept) / (len(OBJECTS) * len(COLOURS)) <= 0.16
    assert {kind for kind, _ in kept} == set(OBJECTS)
    assert {colour for _, colour in kept} == set(COLOURS)


@settings(max_examples=40)
@given(st.one_of(st.sampled_from(TRAINING_SEEDS), st.sampled_from(CALIBRATION_SEEDS)))
def test_held_out_pairs_never_stand_in_a_world_that_something_is_fitted_on(seed: int) -> None:
    assert not any(held_out(*pair) for pair in pairs(make_world(seed, 900)))


def test_held_out_pairs_stand_in_test_worlds_and_where_they_are_asked_for() -> None:
    tested = set().union(*(pairs(make_world(TEST_SEEDS[i], 900)) for i in range(10)))
    wanted = set().union(*(pairs(make_world(i, 900, holdout=True)) for i in range(10)))
    for found in (tested, wanted):
        assert sum(held_out(*pair) for pair in found) >= 10


def test_hours_still_hold_things_that_are_seen_in_a_single_scene() -> None:
    world = make_world(3, 7200)
    scenes = [
        {t.pair for t in scene.things if not t.is_figure and t.stays[0].place != SHOWN}
        for scene in world.scenes
    ]
    once = [pair for pair in pairs(world) if sum(pair in there for there in scenes) == 1]
    assert len(once) >= 20
    half = [scene for scene in world.scenes if scene.start_s < 3600]
    assert any(pair in {t.pair for s in half for t in s.things} for pair in once)


def test_several_of_a_kind_stand_together_up_to_four_and_more() -> None:
    facts = [f for seed in range(30) for f in frames(make_world(seed, 60))]
    counts = {seen.count for f in facts for seen in f.things}
    assert {1, 2, 3, 4} <= counts
    for f in facts:
        for seen in f.things:
            assert seen.count == sum(other.kind == seen.kind for other in f.things)


def test_most_scenes_have_one_person_or_none_and_few_have_two() -> None:
    scenes = [scene for seed in range(5) for scene in make_world(seed, 1800).scenes]
    people = [sum(thing.is_figure for thing in scene.things) for scene in scenes]
    shares = [people.count(number) / len(people) for number in range(3)]
    assert sum(shares) == 1
    assert 0.3 < shares[0] < 0.7 and 0.3 < shares[1] < 0.6 and 0 < shares[2] < 0.15


def test_people_take_bring_and_move_things_with_their_hands() -> None:
    deeds = [
        (scene, event)
        for seed in range(25)
        for scene in make_world(seed, 400, scene_seconds=(8.0 + seed, 40.0)).scenes
        for event in scene_events(scene)
        if event.person is not None
    ]
    assert {event.kind for _, event in deeds} == {TOOK, BROUGHT, MOVED}
    for scene, event in deeds:
        alone = World(0, False, (scene,))
        during = frame_facts(alone, event.start_s)
        held = next(s for s in during.things if s.id == event.thing.id)
        person = next(s for s in during.things if event.person and s.id == event.person.id)
        assert held.place == HELD and held.holder == person.kind and person.held == held.kind
        assert person.place == STANDING
        before = {s.id for s in frame_facts(alone, event.start_s - 1).things}
        after = {s.id for s in frame_facts(alone, event.end_s).things if scene.end_s > event.end_s}
        if event.kind == TOOK:
            assert {held.id, person.id} <= before and not {held.id, person.id} & after
        elif event.kind == BROUGHT:
            assert not {held.id, person.id} & before and {held.id, person.id} <= after
        else:
            assert held.id in before & after


def test_what_is_shown_fills_the_side_where_nothing_else_is() -> None:
    shown = [
        (facts, seen)
        for seed in range(30)
        for facts in frames(make_world(seed, 60))
        for seen in facts.things
        if seen.place == SHOWN
    ]
    assert shown
    for facts, seen in shown:
        assert seen.box[3] - seen.box[1] >= 0.7
        assert not [s for s in facts.things if s.place in (STANDING, "by the door")]


def test_a_picture_changes_most_at_a_cut() -> None:
    world = make_world(7, 60)
    pictures = [paint(world, float(t), SIZE).astype(np.int16) for t in range(60)]
    change = [float(np.abs(b - a).mean()) for a, b in itertools.pairwise(pictures)]
    cuts = {round(cut) - 1 for cut in world.cuts_s}
    assert min(change[i] for i in cuts) > max(change[i] for i in range(59) if i not in cuts)


def test_a_picture_shows_each_thing_in_its_box_and_nowhere_else() -> None:
    world = next(
        w
        for w in (make_world(seed, 20) for seed in range(99))
        if len(w.scenes[0].visible(1.0)) >= 3 and not w.scenes[0].visible(1.0)[0].is_figure
    )
    scene = world.scenes[0]
    thing = scene.visible(1.0)[0]
    others = tuple(t for t in scene.things if t.id != thing.id)
    without = World(0, False, (Scene(scene.room, 0.0, scene.end_s, scene.brightness, others),))
    changed = np.any(paint(world, 1.0, SIZE) != paint(without, 1.0, SIZE), axis=2)
    box = dict(paint_labels(world, 1.0, SIZE))[thing.id]
    left, top, right, bottom = (round(value) for value in box)
    inside = changed[top : bottom + 1, left : right + 1]
    assert inside.mean() > 0.25
    assert changed.sum() == inside.sum()


def test_a_thing_is_in_the_picture_while_it_is_visible_and_not_before() -> None:
    worlds = (make_world(seed, 20) for seed in range(50))
    scene, thing = next(
        (s, t)
        for w in worlds
        for s in w.scenes
        for t in s.things
        if t.start_s > s.start_s and t.stays[0].holder is None
    )
    alone = World(0, False, (Scene(scene.room, 0.0, scene.end_s, 1.0, (thing,)),))
    empty = World(0, False, (Scene(scene.room, 0.0, scene.end_s, 1.0, ()),))
    before, after = thing.start_s - 1, thing.start_s
    assert np.array_equal(paint(alone, before, SIZE), paint(empty, before, SIZE))
    assert not np.array_equal(paint(alone, after, SIZE), paint(empty, after, SIZE))


@pytest.mark.parametrize(
    ("seconds", "scene_seconds"), [(3.0, (8.0, 40.0)), (60.0, (3.0, 9.0)), (60.0, (9.0, 8.0))]
)
def test_a_world_without_time_for_anything_is_refused(
    seconds: float, scene_seconds: tuple[float, float]
) -> None:
    with pytest.raises(ValueError, match="no scenes"):
        make_world(1, seconds, scene_seconds=scene_seconds)
