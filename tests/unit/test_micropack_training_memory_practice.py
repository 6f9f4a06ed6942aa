"""What the memory practises on: labels true to the story, questions true to the labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from omnilive_micropack import grammar  # noqa: E402
from omnilive_micropack.asking_events import CHANGES  # noqa: E402
from omnilive_micropack.facts import frame_facts  # noqa: E402
from omnilive_micropack.seeds import held_out  # noqa: E402
from omnilive_micropack.sightings import BROUGHT, MOVED, TOOK  # noqa: E402
from omnilive_micropack.story import make_world  # noqa: E402
from omnilive_micropack.templates import FORMS, SLOTS  # noqa: E402
from omnilive_micropack.training.memory_asks import draw_asked  # noqa: E402
from omnilive_micropack.training.memory_data import EncodedClip, EncodedWorld  # noqa: E402
from omnilive_micropack.training.memory_heads import MemoryHeads, start  # noqa: E402
from omnilive_micropack.training.memory_labels import patch_pairs, unpacked  # noqa: E402
from omnilive_micropack.training.memory_losses import told_apart  # noqa: E402
from omnilive_micropack.training.memory_practice import draw_visit  # noqa: E402
from omnilive_micropack.training.memory_rows import (  # noqa: E402
    IN_SIGHT,
    NEARLY,
    SORTS,
    RowFacts,
    RowQuestion,
    Rows,
)
from omnilive_micropack.training.memory_things import (  # noqa: E402
    ANY,
    ARRIVED,
    FOLLOWED,
    IN_HANDS,
    RIGHT,
    SEEN,
    UNCLEAR,
    WRONG,
    things_of,
)
from omnilive_micropack.vocabulary import COLOURS, OBJECTS, ROOMS  # noqa: E402
from omnilive_micropack.world import World  # noqa: E402

pytestmark = pytest.mark.unit

SIDE = 4
WIDTH = 32
SECONDS = 300.0


def _clip(world: World, start_s: int, end_s: int) -> EncodedClip:
    """A clip as far as labels need it: it has no features."""
    facts = [frame_facts(world, float(at_s)) for at_s in range(start_s, end_s)]
    return EncodedClip(
        start_s,
        end_s,
        torch.zeros(end_s - start_s, SIDE * SIDE, 1),
        np.zeros((end_s - start_s, 1, 1, 1), np.uint8),
        np.stack([patch_pairs(f, SIDE) for f in facts]),
        ROOMS.index(facts[0].room),
    )


def _scene_clips(world: World) -> list[EncodedClip]:
    return [_clip(world, int(s.start_s), int(s.end_s)) for s in world.scenes]


def test_a_clip_shows_the_pairs_that_are_in_its_pictures() -> None:
    world = make_world(11, SECONDS)
    for clip in _scene_clips(world):
        every = np.arange(clip.end_s - clip.start_s)
        shown = things_of(world, clip).shown(every).objects
        for kind, colour in np.argwhere(shown[SEEN, :, :ANY] == WRONG):
            assert not unpacked(clip.pairs)[..., kind * len(COLOURS) + colour].any()
        for kind, colour in np.argwhere(shown[SEEN, :, :ANY] == RIGHT):
            assert unpacked(clip.pairs)[..., kind * len(COLOURS) + colour].any()


def test_what_is_held_or_comes_later_is_told_from_what_is_only_there() -> None:
    world = make_world(11, SECONDS)
    every = [things_of(world, c).shown(np.arange(c.end_s - c.start_s)) for c in _scene_clips(world)]
    for shown, scene in zip(every, world.scenes, strict=True):
        objects = [t for t in scene.things if not t.is_figure]
        for thing in objects:
            at = shown.objects[:, OBJECTS.index(thing.kind), COLOURS.index(thing.colour)]
            alike = [t for t in objects if t.pair == thing.pair]
            assert (at[ARRIVED] == RIGHT) == any(t.start_s > scene.start_s for t in alike)
            held = any(stay.holder is not None for t in alike for stay in t.stays)
            assert (at[IN_HANDS] == RIGHT) == held
            followed = any(o.start_s > t.start_s for t in alike for o in objects)
            assert (at[FOLLOWED] == RIGHT) == followed


def test_what_is_glimpsed_is_neither_right_nor_wrong_to_find() -> None:
    world = make_world(11, SECONDS)
    scene = next(s for s in world.scenes if not all(t.start_s == s.start_s for t in s.things))
    thing = next(t for t in scene.things if t.start_s > scene.start_s and not t.is_figure)
    clip = _clip(world, int(scene.start_s), int(thing.start_s) + 1)
    shown = things_of(world, clip).shown(np.arange(clip.end_s - clip.start_s))
    kind, colour = OBJECTS.index(thing.kind), COLOURS.index(thing.colour)
    assert shown.objects[SEEN, kind, colour] in (UNCLEAR, RIGHT)


def test_questions_are_in_training_sentences_about_what_some_clip_shows() -> None:
    world = make_world(11, SECONDS)
    shown = [things_of(world, c).shown(np.arange(c.end_s - c.start_s)) for c in _scene_clips(world)]
    asked = draw_asked(shown, np.random.default_rng(0), 200)
    assert len(asked) > 100
    assert {len(a.right) for a in asked} == {len(shown)}
    for one in asked:
        assert (one.right == RIGHT).any()
        assert grammar.split(one.text) == grammar.TRAINING
        if one.subject is not None and one.colour is not None:
            kind, colour = OBJECTS[one.subject[1]], COLOURS[one.colour]
            assert {kind, colour} <= set(one.text.split())
            assert not held_out(kind, colour)


def _row(
    clip: int, scene: int, room: int, sight: Mapping[str, int], happened: tuple[str, ...] = ()
) -> RowFacts:
    """What a row shows: how much of each sort of change, and what happened in its scene so far."""
    counts = tuple(happened.count(sort) for sort in SORTS)
    return RowFacts(clip, scene, room, True, tuple(sight.get(s, 0) for s in SORTS), counts)


def _asked_of(facts: list[RowFacts], seed: int = 0) -> Iterator[tuple[RowQuestion, list[int]]]:
    """Many questions about rows, each with the rows before it."""
    rows = Rows(WIDTH)
    rows.add(torch.randn(len(facts), WIDTH), torch.randn(len(facts), WIDTH), facts)
    rng = np.random.default_rng(seed)
    for _ in range(60):
        drawn = rows.draw(rng, 16)
        yield from zip(drawn.asked, drawn.rows.tolist(), strict=True)


def _is_of(text: str, *forms: str) -> bool:
    return any(text.endswith(said) for form in forms for said in _said(FORMS[form].templates))


def test_a_question_about_the_present_means_the_newest_row() -> None:
    met = 0
    for question, before in _asked_of([_row(i, i // 2, 0, {}) for i in range(6)]):
        assert not _is_of(question.text, *CHANGES)
        assert (question.right == RIGHT).nonzero()[0].tolist() == before[-1:]
        met += 1
    assert met


def test_a_question_about_a_change_here_means_the_rows_of_the_newest_scene_that_show_it() -> None:
    facts = [
        _row(0, 0, 0, {TOOK: IN_SIGHT}, (TOOK,)),
        _row(1, 1, 0, {}),
        _row(2, 1, 0, {TOOK: IN_SIGHT}, (TOOK,)),
        _row(3, 1, 0, {TOOK: NEARLY}, (TOOK,)),
        _row(4, 1, 0, {}, (TOOK,)),
    ]
    met = 0
    for question, before in _asked_of(facts):
        if _is_of(question.text, "what_left", "what_changed") and before[-3:] == [2, 3, 4]:
            assert question.right.tolist() == [WRONG, WRONG, RIGHT, UNCLEAR, WRONG]
            met += 1
    assert met


def test_what_changed_twice_is_not_asked_about_as_one_change() -> None:
    both = {TOOK: IN_SIGHT, BROUGHT: IN_SIGHT}
    met = set()
    for question, _ in _asked_of([_row(i, 0, 0, both, (TOOK, BROUGHT, BROUGHT)) for i in range(4)]):
        assert not _is_of(question.text, "what_changed", "what_came")
        met.add(_is_of(question.text, "what_left"))
    assert met == {False, True}


def test_a_question_about_another_room_means_what_changed_there() -> None:
    facts = [
        _row(0, 0, 1, {MOVED: IN_SIGHT}, (MOVED,)),
        _row(1, 0, 1, {}, (MOVED,)),
        _row(2, 1, 2, {MOVED: IN_SIGHT}, (MOVED,)),
        _row(3, 2, 0, {}),
    ]
    met = set()
    for question, before in _asked_of(facts):
        if before[-1] == 3 and _is_of(question.text, *CHANGES):
            room = next(r for r in (1, 2) if ROOMS[r] in question.text)
            assert (question.right == RIGHT).nonzero()[0].tolist() == [0 if room == 1 else 2]
            met.add(room)
    assert met == {1, 2}


def test_a_clip_remembered_twice_is_right_both_times() -> None:
    facts = [_row(7, 0, 0, {}), _row(8, 1, 1, {}), _row(7, 0, 0, {})]
    for question, before in _asked_of(facts):
        if before[-1] != 1:
            assert question.right.tolist() == [RIGHT, WRONG, RIGHT]


def test_the_rows_near_a_change_are_those_that_a_question_about_it_is_answered_by() -> None:
    world = make_world(11, SECONDS)
    spans = [
        (start, min(start + 6, int(scene.end_s)))
        for scene in world.scenes
        for start in range(int(scene.start_s), int(scene.end_s), 6)
    ]
    encoded = EncodedWorld(world, tuple(_clip(world, *span) for span in spans))
    rng, met = np.random.default_rng(0), 0
    for _ in range(40):
        visit = draw_visit([encoded], rng)
        newest = visit.facts[-1]
        here = [facts.scene == newest.scene for facts in visit.facts]
        for text, shows in zip(visit.texts, visit.shows[:, -visit.window :], strict=True):
            form = next((form for form in CHANGES if _is_of(text, form)), None)
            elsewhere = any(r in text for i, r in enumerate(ROOMS) if i != newest.room)
            if form is None or elsewhere:
                continue
            sorts = [SORTS.index(sort) for sort in CHANGES[form]]
            near = [max(facts.sight[i] for i in sorts) > 0 for facts in visit.facts]
            assert np.array_equal(np.logical_and(near, here), shows)
            assert sum(newest.counts[i] for i in sorts) == 1
            met += 1
    assert met


def _said(templates: tuple[str, ...]) -> list[str]:
    return [t.replace("{room}", room) for t in templates for room in SLOTS["room"]]


def test_unclear_clips_are_neither_chosen_nor_refused() -> None:
    logits = torch.tensor([[3.0, 1.0, 9.0]])
    right = torch.tensor([[RIGHT, WRONG, UNCLEAR]], dtype=torch.int8)
    assert told_apart(logits, right) == pytest.approx(float(np.log1p(np.exp(-2))))
    nothing = torch.full((1, 3), UNCLEAR, dtype=torch.int8)
    assert told_apart(logits, nothing) == 0


def test_held_out_pairs_teach_the_heads_nothing() -> None:
    heads = MemoryHeads(WIDTH)
    start(heads)
    states = torch.randn(5, WIDTH)
    pairs = torch.zeros(5, len(OBJECTS) * len(COLOURS))
    before = heads.pairs.loss(states, pairs)
    kind, colour = next((k, c) for k in OBJECTS for c in COLOURS if held_out(k, c))
    pairs[:, OBJECTS.index(kind) * len(COLOURS) + COLOURS.index(colour)] = 1
    assert heads.pairs.loss(states, pairs) == before
