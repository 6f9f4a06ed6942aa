"""The demo's stream and the calibration's videos hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from omnilive.errors import ConfigError
from omnilive_micropack.seeds import CALIBRATION_SEEDS, TEST_SEEDS

pytest.importorskip("av")


def test_the_demo_asks_in_two_languages_interrupts_and_says_a_filler() -> None:
    from omnilive_micropack import demo
    from omnilive_micropack.scenes import make_script
    from omnilive_micropack.speech import mix_speech

    script = make_script(demo.DEMO_SEED, demo.DEMO_SECONDS, scene_seconds=demo.SCENE_SECONDS)
    assert demo.DEMO_SEED in TEST_SEEDS
    assert len(script.scenes) >= 5
    items = demo.spoken_items(script)
    _, truths = mix_speech(
        items, script.duration_s, np.zeros(round(script.duration_s * 16_000), np.float32)
    )
    assert {t.item.language for t in truths} == {"en", "zh"}
    assert [t.item.text for t in truths if t.item.kind == "filler"] == ["um, okay"]
    remembered, barge_in = (
        next(t for t in truths if t.item.at_s == at) for at in (demo.REMEMBERED_S, demo.BARGE_IN_S)
    )
    assert 2_000_000 < barge_in.start_us - remembered.end_us < 6_000_000
    assert truths[-1].end_us < demo.TYPED_S * 1e6 < script.duration_s * 1e6


@pytest.mark.parametrize("seed", [0, 2, 3, 7])
def test_any_seed_gives_a_demo_that_fits(seed: int) -> None:
    from omnilive_micropack import demo
    from omnilive_micropack.scenes import make_script
    from omnilive_micropack.speech import mix_speech

    script = make_script(
        TEST_SEEDS.start + seed, demo.DEMO_SECONDS, scene_seconds=demo.SCENE_SECONDS
    )
    noise = np.zeros(round(script.duration_s * 16_000), np.float32)
    _, truths = mix_speech(demo.spoken_items(script), script.duration_s, noise)
    assert len(truths) == 6


def test_a_calibration_video_is_cut_where_its_script_is() -> None:
    from omnilive_micropack import calibrate
    from omnilive_micropack.scenes import make_script

    seed = CALIBRATION_SEEDS.start
    frames, cuts = calibrate.labelled_video(seed)
    script = make_script(seed, calibrate.VIDEO_SECONDS)
    assert len(frames) == round(script.duration_s)
    assert cuts == [round(cut) for cut in script.cuts_s]
    assert frames[0].shape == (360, 640, 3)


@pytest.mark.parametrize("seed", [0, TEST_SEEDS.start])
def test_calibration_never_uses_a_seed_of_another_range(seed: int) -> None:
    from omnilive_micropack import calibrate

    with pytest.raises(ConfigError, match="Use seeds from"):
        calibrate.labelled_video(seed)
