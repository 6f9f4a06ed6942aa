"""The demo's stream, its comparison and the calibration's videos hold what they promise."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from omnilive.errors import ConfigError
from omnilive.events import AnswerFinished, SpeechEnded, Unanswered, to_json
from omnilive_micropack.seeds import CALIBRATION_SEEDS, TEST_SEEDS
from omnilive_micropack.world import SHOWN, Thing, World

pytest.importorskip("av")


def demo_world(seed: int) -> World:
    from omnilive_micropack import demo
    from omnilive_micropack.story import make_world

    return make_world(seed, demo.DEMO_SECONDS, scene_seconds=demo.SCENE_SECONDS)


def test_the_demo_asks_what_a_newcomer_should_see_answered() -> None:
    from omnilive_micropack import demo
    from omnilive_micropack.demo_programme import FILLER, demo_programme
    from omnilive_micropack.speech import say

    world = demo_world(demo.DEMO_SEED)
    assert demo.DEMO_SEED in TEST_SEEDS
    programme = demo_programme(world)
    questions = [one.question for one in programme.asked]
    assert [item.text for item in programme.spoken if item.kind == "filler"] == [FILLER]
    ages = [q.asked_s - max((end for _, end in q.evidence), default=q.asked_s) for q in questions]
    assert max(ages) > 60
    implicit = [q for q in questions if q.implicit]
    assert any({"weather", "heat", "warm"} & set(q.text.split()) for q in implicit)
    (this,) = [q for q in questions if q.kind == "this"]
    shown = [t for t in world.scene_at(this.asked_s).visible(this.asked_s) if _is_shown(t)]
    assert [f"the {thing.kind}" for thing in shown] == [this.answer]
    assert [one for one in programme.asked if one.item is None] == [programme.asked[-1]]
    _, spoken = say(programme.spoken, world.duration_s)
    gaps = [b.start_us - a.end_us for a, b in itertools.pairwise(spoken)]
    assert sum(1_000_000 < gap < 2_500_000 for gap in gaps) == 1
    assert sum(gap < 5_000_000 for gap in gaps) == 1
    assert spoken[-1].end_us / 1e6 + 5 < questions[-1].asked_s < world.duration_s - 5


def _is_shown(thing: Thing) -> bool:
    return any(stay.place == SHOWN for stay in thing.stays)


@pytest.mark.parametrize("seed", [0, 2, 3, 7])
def test_any_seed_gives_a_demo_that_fits(seed: int) -> None:
    from omnilive_micropack.demo_programme import demo_programme
    from omnilive_micropack.speech import say

    world = demo_world(TEST_SEEDS.start + seed)
    programme = demo_programme(world)
    assert len(programme.asked) >= 5
    assert len(say(programme.spoken, world.duration_s)[1]) == len(programme.spoken)


def test_the_demo_tells_afterwards_which_answers_are_accepted(tmp_path: Path) -> None:
    from omnilive_micropack import demo
    from omnilive_micropack.demo_programme import demo_programme
    from omnilive_micropack.speech import say
    from omnilive_micropack.truth import StreamTruth

    world = demo_world(demo.DEMO_SEED)
    programme = demo_programme(world)
    _, spoken = say(programme.spoken, world.duration_s)
    truth = StreamTruth("stream.mp4", world, 0, (), tuple(spoken), programme.asked)
    answers = {one.question.text: one.question.answer for one in programme.asked}
    wrong = programme.asked[0].question
    answers[wrong.text] = "seventy teapots"
    lines = []
    for i, said in enumerate(spoken):
        answer = answers.get(said.item.text)
        lines.append(to_json(i, 0, SpeechEnded(i, i, said.start_us, said.end_us, 1, False)))
        ending = (
            Unanswered(i, i, "filler")
            if answer is None
            else AnswerFinished(i, i, answer, "en", 1, "stop")
        )
        lines.append(to_json(i, 0, ending))
    (tmp_path / demo.EVENTS_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = demo.comparison(truth, tmp_path)
    rows = table.splitlines()
    assert len(rows) == len(spoken) + 1 + 2
    (row,) = [r for r in rows if wrong.text in r]
    assert "wrong" in row and "seventy teapots" in row and wrong.answer in row
    assert "right  um okay → (no answer: filler)" in table
    questions = len(programme.asked)
    assert rows[-1].startswith(f"{questions - 2} of {questions} questions")


def test_a_calibration_video_is_cut_where_its_world_is() -> None:
    from omnilive_micropack import calibrate
    from omnilive_micropack.story import make_world

    seed = CALIBRATION_SEEDS.start
    frames, cuts = calibrate.labelled_video(seed)
    world = make_world(seed, calibrate.VIDEO_SECONDS, scene_seconds=calibrate.SCENE_SECONDS)
    assert len(frames) == round(world.duration_s)
    assert cuts == [round(cut) for cut in world.cuts_s]
    assert frames[0].shape == (360, 640, 3)


@pytest.mark.parametrize("seed", [0, TEST_SEEDS.start])
def test_calibration_never_uses_a_seed_of_another_range(seed: int) -> None:
    from omnilive_micropack import calibrate

    with pytest.raises(ConfigError, match="Use seeds from"):
        calibrate.labelled_video(seed)
