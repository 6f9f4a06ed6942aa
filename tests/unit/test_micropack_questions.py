"""Questions: each has one right answer, which can be read off the pictures' facts alone.

The expected answers are worked out anew from what every frame shows and from the question's own
words, never from the code that asks.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

import numpy as np
import pytest

from omnilive_micropack import grammar
from omnilive_micropack.facts import FrameFacts, Seen, frame_facts
from omnilive_micropack.question import Question
from omnilive_micropack.questions import KINDS, ask
from omnilive_micropack.seeds import TEST_SEEDS, held_out
from omnilive_micropack.story import make_world
from omnilive_micropack.vocabulary import COLOURS, FIGURES, NUMBERS, OBJECTS, PLACES, PLURALS, ROOMS
from omnilive_micropack.wording import is_accepted
from omnilive_micropack.world import SHOWN, Scene, Stay, Thing, World

SECONDS = 180
SEEDS = (*range(9), *(TEST_SEEDS.start + i for i in range(9)))


@functools.cache
def film(seed: int) -> tuple[World, tuple[FrameFacts, ...]]:
    """A world and what it shows at one frame a second."""
    world = make_world(seed, SECONDS)
    return world, tuple(frame_facts(world, float(t)) for t in range(SECONDS))


@functools.cache
def questions(kind: str) -> tuple[tuple[int, Question], ...]:
    """Questions of a kind with the seeds of their worlds."""
    found = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        for at_s in range(8, SECONDS - 8, 4):
            question = ask(film(seed)[0], float(at_s), rng, kind)
            if question is not None:
                found.append((seed, question))
    return tuple(found)


def cases(kind: str, *forms: str) -> Iterator[tuple[Question, list[FrameFacts]]]:
    """Questions with the frames seen until they are asked."""
    chosen = [(s, q) for s, q in questions(kind) if not forms or q.form in forms]
    assert len(chosen) >= 15, f"only {len(chosen)} questions {kind} {forms}"
    for seed, question in chosen:
        yield question, list(film(seed)[1][: round(question.asked_s) + 1])


def named(text: str, words: tuple[str, ...]) -> list[str]:
    return [word for word in re.findall(r"\w+", text) if word in words]


def objects(facts: FrameFacts, text: str) -> list[Seen]:
    """What a question's kind and colour mean in one frame."""
    (kind,), colours = named(text, OBJECTS), named(text, COLOURS)
    return [s for s in facts.things if s.kind == kind and (not colours or s.colour in colours)]


def place_in(text: str, places: tuple[str, ...]) -> str:
    return next(place for place in places if place in text)


@pytest.mark.parametrize("kind", KINDS)
def test_evidence_is_in_the_past_and_shows_what_is_asked_about(kind: str) -> None:
    for seed, question in questions(kind):
        world, _ = film(seed)
        assert question.kind == kind
        assert is_accepted(question.answer, question.accepted)
        for start_s, end_s in question.evidence:
            assert 0 <= start_s < end_s <= question.asked_s
            times = (start_s, (start_s + end_s) / 2, end_s - 1e-3)
            visible = {s.id for t in times for s in frame_facts(world, t).things}
            assert visible & set(question.referents)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_generator_asks_the_same_question(kind: str) -> None:
    world = film(SEEDS[0])[0]
    times = [float(t) for t in range(8, SECONDS - 8, 4)]
    first, again = (
        [ask(world, t, rng, kind) for t in times]
        for rng in (np.random.default_rng(7), np.random.default_rng(7))
    )
    assert first == again


def test_colour_has_a_single_answer_over_everything_seen() -> None:
    for question, seen in cases("colour"):
        colours = {s.colour for facts in seen for s in objects(facts, question.text)}
        assert colours == {question.answer}


def test_what_is_at_a_place_is_there_now_and_long_enough_to_be_seen() -> None:
    for question, seen in cases("now"):
        place = place_in(question.text, PLACES)
        for facts in seen[-3:]:
            (thing,) = [s for s in facts.things if s.place == place]
            assert question.answer == f"the {thing.kind}"


def test_what_is_held_up_is_what_this_means() -> None:
    for question, seen in cases("this"):
        for facts in seen[-3:]:
            (thing,) = [s for s in facts.things if s.place == SHOWN]
            assert question.answer == f"the {thing.kind}"


def test_counts_are_of_what_is_in_the_picture_now_and_balanced() -> None:
    answers = []
    for question, seen in cases("count"):
        (kind,) = [k for k in OBJECTS if PLURALS[k] in question.text.split()]
        for facts in seen[-3:]:
            assert NUMBERS[sum(s.kind == kind for s in facts.things)] == question.answer
        answers.append(question.answer)
    shares = [answers.count(number) / len(answers) for number in ("one", "two", "three", "four")]
    assert 0.08 < min(shares) and max(shares) < 0.55


def test_where_something_was_follows_from_every_frame_that_shows_it() -> None:
    for question, seen in cases("where", "where"):
        places = {
            s.place for facts in seen for s in objects(facts, question.text) if s.place != "held"
        }
        rooms = {facts.room for facts in seen if objects(facts, question.text)}
        accepted = {p for p in PLACES if is_accepted(p, question.accepted)}
        if accepted != places:
            # of two places only the present one is asked for
            assert "was" not in question.text and "did" not in question.text
            (thing,) = objects(seen[-1], question.text)
            assert accepted == {thing.place}
        assert {r for r in ROOMS if is_accepted(r, question.accepted)} <= rooms


def test_a_room_is_the_only_one_something_was_seen_in() -> None:
    for question, seen in cases("where", "where_room"):
        rooms = {facts.room for facts in seen if objects(facts, question.text)}
        assert {f"the {room}" for room in rooms} == {question.answer}


def test_how_long_ago_is_told_by_the_last_frame_that_shows_it() -> None:
    for question, seen in cases("when_order", "when"):
        ages = [
            question.asked_s - t for t, facts in enumerate(seen) if objects(facts, question.text)
        ]
        if question.answer == "now":
            assert min(ages) < 1
        elif question.answer == "a moment ago":
            assert 1 < min(ages) <= 46
        else:
            assert question.answer == "minutes ago" and min(ages) >= 75


def test_the_order_of_two_things_is_that_of_their_first_frames() -> None:
    answers = set()
    for question, seen in cases("when_order", "order_before", "order_after"):
        one, other = named(question.text, OBJECTS)
        first = {
            kind: min(t for t, f in enumerate(seen) if any(s.kind == kind for s in f.things))
            for kind in (one, other)
        }
        is_before = first[one] < first[other]
        assert question.answer == ("yes" if is_before == ("before" in question.text) else "no")
        answers.add(question.answer)
    assert answers == {"yes", "no"}


def test_what_came_before_was_there_when_something_first_came() -> None:
    for question, seen in cases("when_order", "what_before"):
        first = min(t for t, facts in enumerate(seen) if objects(facts, question.text))
        there = {s.kind for s in seen[first - 1].things if s.kind in OBJECTS}
        accepted = {kind for kind in OBJECTS if is_accepted(f"the {kind}", question.accepted)}
        assert accepted == there and len(accepted) <= 2


def test_what_came_after_is_the_next_to_come() -> None:
    for question, seen in cases("when_order", "what_after"):
        first = min(t for t, facts in enumerate(seen) if objects(facts, question.text))
        known = {s.id for facts in seen[: first + 1] for s in facts.things}
        later = [s for facts in seen[first + 1 :] for s in facts.things if s.kind in OBJECTS]
        following = next(s for s in later if s.id not in known)
        assert is_accepted(f"the {following.colour} {following.kind}", question.accepted)


def test_a_change_shows_between_the_first_and_the_last_frame_of_its_evidence() -> None:
    for seed, question in questions("changed"):
        world, _ = film(seed)
        ((start_s, end_s),) = question.evidence
        before, after = (
            {s.id: s for s in frame_facts(world, t).things} for t in (start_s, end_s - 1e-3)
        )
        (thing,) = question.referents
        came = thing not in before and thing in after
        left = thing in before and thing not in after
        changed = before.get(thing, after.get(thing))
        assert changed is not None
        expected = "came" if came else "left" if left else "moved"
        if expected == "moved":
            assert before[thing].place != after[thing].place
        assert is_accepted(
            f"the {changed.kind} {expected}" if question.form == "what_changed" else changed.kind,
            question.accepted,
        )
        if question.form in ("what_moved", "what_left", "what_came"):
            assert {"what_moved": "moved", "what_left": "left", "what_came": "came"}[
                question.form
            ] == expected


def test_who_did_something_is_the_only_one_with_it_in_their_hands() -> None:
    for question, seen in cases("who", "who_did"):
        action = next(a for a in ("took", "moved", "brought") if a in question.text)
        holders: dict[int, str] = {}
        for t, facts in enumerate(seen):
            for thing in objects(facts, question.text):
                if thing.holder is not None and action == _deed(seen, t, thing):
                    holders[thing.id] = thing.holder
        assert [f"the {holder}" for holder in holders.values()] == [question.answer]


def _deed(seen: list[FrameFacts], at: int, thing: Seen) -> str:
    held = [t for t, f in enumerate(seen) if any(s.id == thing.id and s.holder for s in f.things)]
    there = [t for t, f in enumerate(seen) if any(s.id == thing.id for s in f.things)]
    assert at in held
    return "brought" if there[0] == held[0] else "took" if there[-1] == held[-1] else "moved"


def test_who_is_in_a_room_is_the_only_kind_of_person_seen_there() -> None:
    for question, seen in cases("who", "who_there"):
        now = "was" not in question.text and "did" not in question.text
        rooms = named(question.text, ROOMS) or [seen[-1].room]
        shown = [seen[-1]] if now else [facts for facts in seen if facts.room in rooms]
        people = {s.kind for facts in shown for s in facts.things if s.kind in FIGURES}
        assert {f"the {kind}" for kind in people} == {question.answer} - {"nobody"}


def test_what_exists_was_seen_and_what_does_not_never_was() -> None:
    answers = []
    for question, seen in cases("exists"):
        found = any(objects(facts, question.text) for facts in seen)
        assert question.answer == ("yes" if found else "no")
        answers.append(question.answer)
    assert 0.35 < answers.count("yes") / len(answers) < 0.65


def test_what_was_never_shown_is_in_no_frame() -> None:
    forms = set()
    for question, seen in cases("not_seen"):
        forms.add(question.form)
        assert question.answer == "not seen" and not question.evidence
        if not question.implicit:
            assert not any(objects(facts, question.text) for facts in seen)
    assert forms == {"colour", "where", "where_room", "when", "who_did", "implicit"}


def test_what_is_meant_by_its_use_was_seen_and_is_not_named() -> None:
    meant = set()
    for question, seen in cases("implicit"):
        assert question.implicit and not named(question.text, OBJECTS)
        ids = set(question.referents)
        kinds = {s.kind for facts in seen for s in facts.things if s.id in ids}
        (kind,) = kinds
        weather = "weather" in question.text
        assert question.answer == ("it is raining" if weather else f"the {kind}")
        meant.add("weather" if weather else kind)
    assert {"weather", "microwave"} <= meant and len(meant) >= 12


def test_worlds_for_fitting_are_asked_no_held_out_sentence_or_pair() -> None:
    asked = [q for kind in KINDS for seed, q in questions(kind) if seed not in TEST_SEEDS]
    for question in asked:
        assert grammar.split(question.text) == grammar.TRAINING
        kinds, colours = named(question.text, OBJECTS), named(question.text, COLOURS)
        assert not any(held_out(kind, colour) for kind in kinds for colour in colours)


def test_test_worlds_are_asked_held_out_sentences_and_pairs_too() -> None:
    asked = [q for kind in KINDS for seed, q in questions(kind) if seed in TEST_SEEDS]
    assert any(grammar.split(q.text) == grammar.TEST for q in asked)
    named_pairs = [(named(q.text, OBJECTS), named(q.text, COLOURS)) for q in asked]
    assert any(held_out(k[0], c[0]) for k, c in named_pairs if k and c)


def test_evidence_reaches_from_now_to_minutes_back() -> None:
    ages = [
        question.asked_s - max(end for _, end in question.evidence)
        for kind in ("colour", "where", "who", "implicit", "when_order")
        for _, question in questions(kind)
        if question.evidence
    ]
    assert min(ages) == 0
    assert sum(age > 60 for age in ages) > 50


def room_with(*things: Thing) -> World:
    """Half a minute of one room, then half a minute of an empty one."""
    return World(
        0,
        True,
        (Scene("kitchen", 0.0, 30.0, 1.0, things), Scene("hall", 30.0, 60.0, 1.0, ())),
    )


def asked_texts(world: World, at_s: float, kind: str) -> set[str]:
    rng = np.random.default_rng(0)
    asked = (ask(world, at_s, rng, kind) for _ in range(200))
    return {question.text for question in asked if question is not None}


def thing(number: int, kind: str, colour: str, *stays: Stay, end_s: float = 30.0) -> Thing:
    return Thing(number, kind, colour, stays, end_s)


RED_BALL = thing(1, "ball", "red", Stay(0.0, "on the floor"))
BLUE_BALL = thing(2, "ball", "blue", Stay(0.0, "on the shelf"))


@pytest.mark.parametrize("at_s", [15.0, 45.0])
def test_nobody_asks_for_the_colour_of_one_of_two_balls(at_s: float) -> None:
    assert asked_texts(room_with(RED_BALL), at_s, "colour")
    assert not asked_texts(room_with(RED_BALL, BLUE_BALL), at_s, "colour")


def test_one_of_two_balls_is_asked_for_by_its_colour() -> None:
    texts = asked_texts(room_with(RED_BALL, BLUE_BALL), 45.0, "where")
    places = {t for t in texts if "room" not in t}
    assert places
    assert all("red ball" in t or "blue ball" in t or "did" in t or "was" in t for t in places)


def test_a_ball_that_comes_while_a_question_is_asked_makes_it_ambiguous() -> None:
    late = thing(2, "ball", "blue", Stay(17.0, "on the shelf"))
    assert asked_texts(room_with(RED_BALL, late), 8.0, "colour")
    assert not asked_texts(room_with(RED_BALL, late), 15.0, "colour")


def test_nobody_asks_what_is_at_a_place_while_it_changes() -> None:
    moving = thing(1, "ball", "red", Stay(0.0, "on the floor"), Stay(15.0, "on the shelf"))
    assert asked_texts(room_with(moving), 8.0, "now")
    for at_s in (11.0, 14.0, 16.0):
        assert not asked_texts(room_with(moving), at_s, "now")
    assert asked_texts(room_with(moving), 18.0, "now")


def test_what_two_things_did_is_not_asked_for_as_if_it_were_one() -> None:
    first = thing(1, "ball", "red", Stay(0.0, "on the floor"), end_s=10.0)
    second = thing(2, "mug", "red", Stay(0.0, "on the table"), end_s=14.0)
    assert asked_texts(room_with(first), 20.0, "changed")
    assert not asked_texts(room_with(first, second), 20.0, "changed")


def test_what_a_person_took_is_asked_for_in_the_past_tense_only() -> None:
    man = Thing(1, "man", "red", (Stay(0.0, "standing"),), 13.0)
    ball = thing(2, "ball", "red", Stay(0.0, "on the floor"), Stay(10.0, "held", 1), end_s=13.0)
    texts = {t for t in asked_texts(room_with(man, ball), 20.0, "where") if "room" not in t}
    assert texts
    assert all("did you see" in t or "was" in t for t in texts)


@pytest.mark.parametrize(
    ("answer", "accepted", "right"),
    [
        ("The mug.", ("the mug",), True),
        ("not  seen", ("not seen",), True),
        ("the mugs", ("the mug",), False),
        ("", ("the mug",), False),
        ("red", ("the red mug", "red"), True),
    ],
)
def test_answers_are_compared_without_case_and_punctuation(
    answer: str, accepted: tuple[str, ...], right: bool
) -> None:
    assert is_accepted(answer, accepted) is right
