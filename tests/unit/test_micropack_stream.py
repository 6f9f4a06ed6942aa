"""Rendered files and their programmes: what the truth says is what the file holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from omnilive.events import (
    AnswerCancelled,
    AnswerFinished,
    SpeechEnded,
    Transcribed,
    Unanswered,
)
from omnilive_micropack import programme
from omnilive_micropack.outcomes import outcomes
from omnilive_micropack.painting import paint
from omnilive_micropack.question import Question
from omnilive_micropack.seeds import CALIBRATION_SEEDS, TEST_SEEDS
from omnilive_micropack.soundtrack import Piece, Soundtrack
from omnilive_micropack.speech import SpokenItem, SpokenTruth, say, voiced_span
from omnilive_micropack.story import make_world
from omnilive_micropack.truth import Asked, StreamTruth
from omnilive_micropack.voices import HELD_OUT_DIALECTS

SIZE = (320, 180)


def test_voiced_span_leaves_out_the_faint_ends() -> None:
    samples = np.zeros(100, np.float32)
    samples[10:90] = 0.01
    samples[20:80] = 1.0
    assert voiced_span(samples) == (20, 80)
    with pytest.raises(ValueError, match="no sound"):
        voiced_span(np.zeros(8, np.float32))


def test_speech_that_overlaps_is_refused() -> None:
    items = [SpokenItem("Where is the ball?", 0.0), SpokenItem("um, okay", 0.2)]
    with pytest.raises(ValueError, match="um, okay"):
        say(items, 10)


def test_speech_that_outlasts_the_track_is_refused() -> None:
    with pytest.raises(ValueError, match="Where is the ball"):
        say([SpokenItem("Where is the ball?", 1.0)], 1.5)


def test_a_sound_track_lays_its_pieces_over_the_noise_where_they_belong() -> None:
    quiet = np.concatenate(list(Soundtrack(1, 40_000, 0.01, ()).seconds()))
    ramp = np.linspace(0.1, 0.2, 20_000, dtype=np.float32)
    pieces = (Piece(30_000, ramp), Piece(10_000, ramp), Piece(15_900, ramp[:200]))
    heard = np.concatenate(list(Soundtrack(1, 40_000, 0.01, pieces).seconds()))
    expected = quiet.copy()
    expected[10_000:30_000] += ramp
    expected[15_900:16_100] += ramp[:200]
    expected[30_000:] += ramp[:10_000]
    np.testing.assert_allclose(heard, expected, atol=1e-6)
    assert 0.009 < quiet.std() < 0.011


def test_two_seconds_of_noise_are_never_the_same() -> None:
    first, second = Soundtrack(1, 32_000, 1.0, ()).seconds()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("av")
    from omnilive_micropack.render import render_stream

    folder = tmp_path_factory.mktemp("stream")
    items = [
        SpokenItem("Where is the red ball?", 2.0),
        SpokenItem("现在桌子上有什么？", 6.0, language="zh"),
    ]
    render_stream(folder / "stream.mp4", make_world(3, 16), items, size=SIZE, fps=5)
    return folder


def _rows(folder: Path, kind: str) -> list[dict[str, object]]:
    lines = (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["type"] == kind]


def test_the_file_sounds_exactly_when_the_truth_says(rendered: Path) -> None:
    import av

    with av.open(str(rendered / "stream.mp4")) as container:
        frames = list(container.decode(audio=0))
    assert frames[0].pts == 0
    sound = np.concatenate([f.to_ndarray()[0] for f in frames])
    loud = np.flatnonzero(np.abs(sound) > 0.02)
    spoken = _rows(rendered, "spoken")
    assert [row["language"] for row in spoken] == ["en", "zh"]
    assert abs(loud[0] / 16_000 - spoken[0]["start_us"] / 1e6) < 0.01  # type: ignore[operator]
    assert abs(loud[-1] / 16_000 - spoken[1]["end_us"] / 1e6) < 0.02  # type: ignore[operator]
    for row in spoken:
        begin, end = (round(row[k] * 16e-3) for k in ("start_us", "end_us"))  # type: ignore[operator]
        assert np.sqrt(np.mean(sound[begin:end] ** 2)) > 0.03
    assert abs(len(sound) / 16_000 - 16) < 0.1


def test_the_truth_names_every_cut_and_thing(rendered: Path) -> None:
    world = make_world(3, 16)
    assert [row["cut_us"] for row in _rows(rendered, "cut")] == [
        round(cut * 1e6) for cut in world.cuts_s
    ]
    assert len(_rows(rendered, "scene")) == len(world.scenes)
    assert len(_rows(rendered, "thing")) == sum(len(scene.things) for scene in world.scenes)
    assert _rows(rendered, "stream")[0]["seed"] == 3


def test_the_file_shows_the_world(rendered: Path) -> None:
    import av

    world = make_world(3, 16)
    with av.open(str(rendered / "stream.mp4")) as container:
        assert container.streams.video[0].codec_context.name in ("h264", "mpeg4")
        shown = {f.time: f.to_ndarray(format="rgb24") for f in container.decode(video=0)}
    assert len(shown) == 80
    for at_s in (0.0, 5.0, 12.0, 15.0):
        difference = np.abs(shown[at_s].astype(float) - paint(world, at_s, SIZE)).mean()
        assert difference < 6


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_file_is_upright_after_its_display_matrix(tmp_path: Path, rotation: int) -> None:
    av = pytest.importorskip("av")
    from omnilive_micropack.render import render_stream

    world = make_world(3, 7)
    path = tmp_path / "turned.mp4"
    render_stream(path, world, size=SIZE, fps=2, rotation=rotation)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert (frame.rotation + rotation) % 360 == 0
        upright = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
    assert np.abs(upright.astype(float) - paint(world, 0.0, SIZE)).mean() < 6


def test_rendering_twice_gives_the_same_bytes(rendered: Path, tmp_path: Path) -> None:
    from omnilive_micropack.render import render_stream

    items = [
        SpokenItem("Where is the red ball?", 2.0),
        SpokenItem("现在桌子上有什么？", 6.0, language="zh"),
    ]
    render_stream(tmp_path / "stream.mp4", make_world(3, 16), items, size=SIZE, fps=5)
    for name in ("stream.mp4", "truth.jsonl"):
        assert (tmp_path / name).read_bytes() == (rendered / name).read_bytes()


def test_a_folder_that_does_not_exist_is_one_clear_error(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from omnilive.errors import OutputError
    from omnilive_micropack.render import render_stream

    with pytest.raises(OutputError, match="cannot be written"):
        render_stream(tmp_path / "no" / "stream.mp4", make_world(3, 7), size=SIZE)


def test_a_file_without_sound_has_no_audio_track_and_takes_no_speech(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    from omnilive_micropack.render import render_stream

    path = tmp_path / "mute.mp4"
    render_stream(path, make_world(3, 7), size=SIZE, fps=2, sound=False)
    with av.open(str(path)) as container:
        assert [s.type for s in container.streams] == ["video"]
    with pytest.raises(ValueError, match="without sound"):
        render_stream(path, make_world(3, 7), [SpokenItem("hello", 1)], size=SIZE, sound=False)


@pytest.mark.parametrize("seed", [3, TEST_SEEDS.start + 5])
def test_a_programme_asks_in_turn_and_leaves_time_for_each_answer(seed: int) -> None:
    world = make_world(seed, 240)
    planned = programme.plan(world, spoken=True)
    ends = [said.end_us / 1e6 for said in say(planned.spoken, world.duration_s)[1]]
    starts = [item.at_s for item in planned.spoken]
    assert all(b - a >= 5.5 for a, b in zip(ends, starts[1:], strict=False))
    assert world.duration_s - ends[-1] >= 1
    assert len({one.question.kind for one in planned.asked}) >= 8
    kinds = [item.kind for item in planned.spoken]
    assert kinds.count("question") == len(planned.asked) >= 12
    for one in planned.asked:
        assert one.item in planned.spoken
        assert one.item is not None and one.item.text == one.question.text


def test_nothing_is_said_for_longer_than_a_question_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(programme, "LISTEN_S", 1.2)
    items = programme.plan(make_world(4, 120), spoken=True).spoken
    pieces, _ = say(items, 120)
    assert len(items) >= 3
    assert all(len(piece.samples) / 16_000 <= 1.2 for piece in pieces)


def test_background_sounds_end_before_somebody_speaks() -> None:
    programmes = [programme.plan(make_world(seed, 120), spoken=True) for seed in range(4)]
    assert any(planned.sounds for planned in programmes)
    for planned in programmes:
        spoken, _ = say(planned.spoken, 120)
        spans = [(p.start / 16_000, (p.start + len(p.samples)) / 16_000) for p in spoken]
        for sound in planned.sounds:
            assert all(b <= sound.start_s or sound.end_s <= a - 0.5 for a, b in spans)


def test_only_test_worlds_are_asked_in_voices_that_training_never_hears() -> None:
    def dialects(seed: int) -> set[str]:
        said = programme.plan(make_world(seed, 90), spoken=True).spoken
        return {item.speaker.english.split("+")[0] for item in said}

    assert dialects(TEST_SEEDS.start) <= set(HELD_OUT_DIALECTS)
    assert not dialects(CALIBRATION_SEEDS.start) & set(HELD_OUT_DIALECTS)


def test_typed_questions_are_silent() -> None:
    planned = programme.plan(make_world(4, 120), spoken=False)
    assert len(planned.asked) >= 8
    assert all(one.item is None for one in planned.asked)
    assert not planned.spoken and not planned.sounds


def test_the_command_writes_a_stream_whose_truth_holds_its_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("av")
    from omnilive_micropack.render import main

    seed = TEST_SEEDS.start + 9
    arguments = ["--seed", str(seed), "--minutes", "1", "--questions", "typed"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    rows = _rows(tmp_path, "question")
    asked = programme.plan(make_world(seed, 60), spoken=False).asked
    assert f"--ask '{asked[0].question.text}@" in capsys.readouterr().out
    assert [row["text"] for row in rows] == [one.question.text for one in asked]
    for row, one in zip(rows, asked, strict=True):
        assert row["asked_us"] == row["end_us"] == round(one.question.asked_s * 1e6)
        assert row["accepted"] == list(one.question.accepted)
        assert row["answer"] == one.question.answer
        assert row["evidence_us"] == [[a * 1e6, b * 1e6] for a, b in one.question.evidence]


@pytest.mark.parametrize("arguments", [("1", "0.5"), ("1", "500"), ("-1", "2")])
def test_the_command_refuses_other_lengths_and_seeds(
    tmp_path: Path, arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("av")
    from omnilive_micropack.render import main

    seed, minutes = arguments
    assert main(["--seed", seed, "--minutes", minutes, "--out", str(tmp_path)]) != 0
    assert "Choose from" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def _spoken_truth(text: str, at_s: float, end_s: float, kind: str = "question") -> SpokenTruth:
    return SpokenTruth(SpokenItem(text, at_s, kind=kind), round(at_s * 1e6), round(end_s * 1e6))


def _question(text: str, at_s: float, *accepted: str) -> Question:
    return Question("now", "now", text, at_s, (), accepted[0], accepted)


def test_outcomes_tell_answers_from_silence_and_right_from_wrong() -> None:
    said = [
        _spoken_truth("what is this", 5.0, 6.0),
        _spoken_truth("um okay", 10.0, 10.5, kind="filler"),
        _spoken_truth("where is the ball", 15.0, 16.0),
        _spoken_truth("what color is the ball", 20.0, 21.0),
    ]
    forms = {0: ("the mug",), 2: ("on the table",), 3: ("red",)}
    asked = [
        Asked(
            Question("now", "now", said[i].item.text, 0.0, (), forms[i][0], forms[i]), said[i].item
        )
        for i in forms
    ]
    asked.append(Asked(Question("now", "now", "what moved", 30.0, (), "x", ("x",)), None))
    truth = StreamTruth("a.mp4", make_world(1, 40), 40_000_000, (), tuple(said), tuple(asked))
    events = [
        *(SpeechEnded(i, i, s, e, 1, False) for i, (s, e) in enumerate(SPANS_US)),
        Transcribed(0, 0, "what is this", "en", False, 3),
        AnswerFinished(0, 0, "The mug.", "en", 3, "stop"),
        Transcribed(1, 1, "um okay", "en", False, 3),
        Unanswered(1, 1, "filler"),
        Transcribed(2, 2, "where is the doll", "en", False, 3),
        AnswerCancelled(2, 2, 3, "on the", 2, 0),
        Transcribed(-1, 4, "what moved", "en", True, 0),
        AnswerFinished(-1, 4, "y", "en", 1, "stop"),
    ]
    found = outcomes(truth, events)
    assert [o.said for o in found] == [*(s.item.text for s in said), "what moved"]
    assert [o.answer for o in found] == ["The mug.", None, "on the", None, "y"]
    assert [o.ending for o in found] == [
        "finished",
        "filler",
        "cancelled",
        "not heard",
        "finished",
    ]
    assert [o.right for o in found] == [True, True, False, False, False]
    assert found[2].heard == "where is the doll"


SPANS_US = ((4_900_000, 6_100_000), (9_900_000, 10_600_000), (14_800_000, 16_200_000))
"""When the utterances of that log were heard; the last question was not."""
