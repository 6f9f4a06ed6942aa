"""Scripts, pictures and rendered files: what the truth says is what the file holds."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive_micropack.painting import paint
from omnilive_micropack.rooms import PLACE_ANCHORS, ROOM_LOOKS
from omnilive_micropack.scenes import Scene, Script, make_script
from omnilive_micropack.seeds import CALIBRATION_SEEDS, TEST_SEEDS, TRAINING_SEEDS
from omnilive_micropack.shapes import COLOUR_RGB, SHAPES
from omnilive_micropack.speech import SpokenItem, mix_speech, voiced_span
from omnilive_micropack.vocabulary import COLOURS, FIGURES, OBJECTS, PLACES, ROOMS

SIZE = (320, 180)


def test_every_word_can_be_drawn_and_every_drawing_has_a_word() -> None:
    assert set(SHAPES) == {*OBJECTS, *FIGURES}
    assert set(COLOUR_RGB) == set(COLOURS)
    assert set(ROOM_LOOKS) == set(ROOMS)
    assert set(PLACE_ANCHORS) == set(PLACES)
    assert len(OBJECTS) >= 16
    assert len(COLOURS) >= 6


def test_seed_ranges_never_meet() -> None:
    for a, b in (
        (TRAINING_SEEDS, CALIBRATION_SEEDS),
        (CALIBRATION_SEEDS, TEST_SEEDS),
        (TRAINING_SEEDS, TEST_SEEDS),
    ):
        assert a.stop <= b.start


@settings(max_examples=60)
@given(st.integers(0, 2**31 - 1), st.floats(15, 600))
def test_scenes_follow_without_a_gap_and_hold_their_things(seed: int, seconds: float) -> None:
    script = make_script(seed, seconds)
    assert script.scenes[0].start_s == 0
    assert script.duration_s >= seconds
    for before, after in itertools.pairwise(script.scenes):
        assert before.end_s == after.start_s
        assert before.room != after.room
    for scene in script.scenes:
        assert scene.end_s - scene.start_s >= 7
        for thing in scene.things:
            assert scene.start_s <= thing.start_s < thing.end_s <= scene.end_s
        _no_two_things_share_a_place(scene)


def _no_two_things_share_a_place(scene: Scene) -> None:
    places = [{stay.place for stay in thing.stays} for thing in scene.things]
    assert sum(map(len, places)) == len(set().union(*places))


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others() -> None:
    first, again, other = (
        np.stack([paint(make_script(seed, 20), t, SIZE) for t in (1, 9, 17)]) for seed in (5, 5, 6)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_picture_changes_most_at_a_cut() -> None:
    script = make_script(7, 60)
    pictures = [paint(script, float(t), SIZE).astype(np.int16) for t in range(60)]
    change = [float(np.abs(b - a).mean()) for a, b in itertools.pairwise(pictures)]
    cuts = {round(cut) - 1 for cut in script.cuts_s}
    assert min(change[i] for i in cuts) > max(change[i] for i in range(59) if i not in cuts)


def test_a_thing_is_in_the_picture_while_it_is_visible_and_not_before() -> None:
    scripts = (make_script(seed, 20) for seed in range(50))
    scene, thing = next(
        (s, t) for x in scripts for s in x.scenes for t in s.things if t.start_s > s.start_s
    )
    alone = Script(0, (Scene(scene.room, 0.0, scene.end_s, 1.0, (thing,)),))
    empty = Script(0, (Scene(scene.room, 0.0, scene.end_s, 1.0, ()),))
    before, after = thing.start_s - 1, thing.start_s
    assert np.array_equal(paint(alone, before, SIZE), paint(empty, before, SIZE))
    assert not np.array_equal(paint(alone, after, SIZE), paint(empty, after, SIZE))


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
        mix_speech(items, 10, np.zeros(160_000, np.float32))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("av")
    from omnilive_micropack.render import render_stream

    folder = tmp_path_factory.mktemp("stream")
    items = [
        SpokenItem("Where is the red ball?", 2.0),
        SpokenItem("现在桌子上有什么？", 6.0, language="zh"),
    ]
    render_stream(folder / "stream.mp4", make_script(3, 16), items, size=SIZE, fps=5)
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
    script = make_script(3, 16)
    assert [row["cut_us"] for row in _rows(rendered, "cut")] == [
        round(cut * 1e6) for cut in script.cuts_s
    ]
    assert len(_rows(rendered, "scene")) == len(script.scenes)
    assert len(_rows(rendered, "thing")) == sum(len(scene.things) for scene in script.scenes)
    assert _rows(rendered, "stream")[0]["seed"] == 3


def test_the_file_shows_the_script(rendered: Path) -> None:
    import av

    script = make_script(3, 16)
    with av.open(str(rendered / "stream.mp4")) as container:
        assert container.streams.video[0].codec_context.name in ("h264", "mpeg4")
        shown = {f.time: f.to_ndarray(format="rgb24") for f in container.decode(video=0)}
    assert len(shown) == 80
    for at_s in (0.0, 5.0, 12.0, 15.0):
        difference = np.abs(shown[at_s].astype(float) - paint(script, at_s, SIZE)).mean()
        assert difference < 6


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_file_is_upright_after_its_display_matrix(tmp_path: Path, rotation: int) -> None:
    av = pytest.importorskip("av")
    from omnilive_micropack.render import render_stream

    script = make_script(3, 7)
    path = tmp_path / "turned.mp4"
    render_stream(path, script, size=SIZE, fps=2, rotation=rotation)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert (frame.rotation + rotation) % 360 == 0
        upright = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
    assert np.abs(upright.astype(float) - paint(script, 0.0, SIZE)).mean() < 6


def test_rendering_twice_gives_the_same_bytes(rendered: Path, tmp_path: Path) -> None:
    from omnilive_micropack.render import render_stream

    items = [
        SpokenItem("Where is the red ball?", 2.0),
        SpokenItem("现在桌子上有什么？", 6.0, language="zh"),
    ]
    render_stream(tmp_path / "stream.mp4", make_script(3, 16), items, size=SIZE, fps=5)
    for name in ("stream.mp4", "truth.jsonl"):
        assert (tmp_path / name).read_bytes() == (rendered / name).read_bytes()


def test_a_folder_that_does_not_exist_is_one_clear_error(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from omnilive.errors import OutputError
    from omnilive_micropack.render import render_stream

    with pytest.raises(OutputError, match="cannot be written"):
        render_stream(tmp_path / "no" / "stream.mp4", make_script(3, 7), size=SIZE)


def test_a_file_without_sound_has_no_audio_track_and_takes_no_speech(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    from omnilive_micropack.render import render_stream

    path = tmp_path / "mute.mp4"
    render_stream(path, make_script(3, 7), size=SIZE, fps=2, sound=False)
    with av.open(str(path)) as container:
        assert [s.type for s in container.streams] == ["video"]
    with pytest.raises(ValueError, match="without sound"):
        render_stream(path, make_script(3, 7), [SpokenItem("hello", 1)], size=SIZE, sound=False)
