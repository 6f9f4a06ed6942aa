"""Presets and TOML files become one validated configuration."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from omnilive.config import PRESETS, RuntimeConfig, load_config
from omnilive.errors import ConfigError
from omnilive.reasoning.budget import MemoryCounts, choose_evidence
from omnilive.reasoning.image_tokens import TileGeometry


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_default_preset_is_the_defaults() -> None:
    assert load_config("edge") == RuntimeConfig()


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_is_valid_and_differs_only_where_it_says(preset: str) -> None:
    config, default = load_config(preset), RuntimeConfig()
    changed = {
        f"{section.name}.{key.name}"
        for section in dataclasses.fields(config)
        for key in dataclasses.fields(getattr(config, section.name))
        if getattr(getattr(config, section.name), key.name)
        != getattr(getattr(default, section.name), key.name)
    }
    stated = {f"{section}.{key}" for section, keys in PRESETS[preset].items() for key in keys}
    assert changed == stated


def test_paper_is_the_offline_example_with_the_order_of_the_paper() -> None:
    """Spec §2.6 (row 1), §2.7 (offline example), paper §3.4."""
    config = load_config("paper")
    assert (config.turn.order, config.turn.snapshot) == ("check_first", "speech_start")
    retrieval = config.retrieval
    assert (retrieval.rule, retrieval.temperature, retrieval.min_probability) == (
        *("softmax_threshold", 0.1, 0.2),
    )
    assert retrieval.fallback == "all_frames"
    evidence = config.evidence
    assert (evidence.frame_rule, evidence.current_frames) == ("selected", 0)
    assert evidence.memory_tokens
    assert (config.budget.transform, config.budget.max_frames) == ("video", 32)
    assert prompted(config, "What?", frames=True) == (
        "",
        "Question: Here are some frames of a video. What?",
        "The answer is",
    )
    assert config.prompt.overview_label == "This is video overview memory:"
    assert config.prompt.related_label == "This is question related video memory:"
    assert (config.sampling.temperature, config.sampling.repetition_penalty) == (0.0, 1.0)


def test_demo_compat_is_the_released_online_demo() -> None:
    """Spec §2.6 (row 3), §2.7 (online demo), §3.1, §4, §5.6, §10."""
    config = load_config("demo-compat")
    assert (config.turn.order, config.turn.snapshot) == ("ground_first", "speech_end")
    retrieval = config.retrieval
    assert (retrieval.rule, retrieval.min_cosine) == ("earliest_above", 0.3)
    assert (retrieval.fallback, retrieval.fallback_frames) == ("last_frames", 3)
    evidence = config.evidence
    assert (evidence.frame_rule, evidence.current_frames) == ("demo_pair", 0)
    assert not evidence.memory_tokens
    budget = config.budget
    assert (budget.transform, budget.hd_num, budget.max_frames) == ("image", 24, 2)
    for frames in (True, False):
        assert prompted(config, "What?", frames=frames)[1:] == ("What?", "")
    assert config.instruction.template == 'Is the following string an instruction? "{question}"'
    sampling = config.sampling
    assert (sampling.top_k, sampling.top_p, sampling.temperature) == (50, 0.8, 0.1)
    assert (config.vad.pre_roll_ms, config.vad.background_ms) == (128, 3_840)
    assert config.sentences.first_break_chars == 0


def prompted(config: RuntimeConfig, question: str, *, frames: bool) -> tuple[str, str, str]:
    """System turn, user's words and beginning of the answer, in English."""
    prompt = config.prompt
    template = prompt.question_template if frames else prompt.question_template_without_frames
    return (
        prompt.system_prompt_en,
        template.replace("{question}", question),
        prompt.answer_prefix,
    )


@pytest.mark.parametrize("preset", ["paper", "demo-compat"])
def test_the_references_presets_end_speech_as_it_does(preset: str) -> None:
    vad = load_config(preset).vad
    assert (vad.endpoint_silence_ms, vad.reopen_grace_ms) == (800, 0)


REFERENCE = TileGeometry(pixels=560, grid=20)


@pytest.mark.parametrize(
    ("preset", "size", "frames", "tokens"),
    [
        ("paper", (1280, 720), 32, 8_821),
        ("paper", (640, 480), 32, 11_341),
        ("demo-compat", (1280, 720), 2, 4_081),
        ("demo-compat", (640, 480), 2, 5_301),
        ("demo-compat", (512, 910), 2, 4_081),
    ],
)
def test_no_budget_thins_what_the_reference_shows_at_full_size(
    preset: str, size: tuple[int, int], frames: int, tokens: int
) -> None:
    """Spec §1.4's table, with all of a clip's memory beside it and a slow device."""
    memory = MemoryCounts(40, (64,) * 4, 6, (0, 1, 2, 3))
    budget = dataclasses.replace(load_config(preset).budget, tile_us=1e6, prefill_us_per_token=1e6)
    chosen = choose_evidence(
        [size] * frames, memory, 100, budget, geometry=REFERENCE, context_tokens=24_576 - 1_024
    )
    assert (len(chosen.frames), chosen.visual_tokens) == (frames, tokens)
    assert (chosen.clips, chosen.limited_by) == ((0, 1, 2, 3), "")


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    file = toml(tmp_path, "[vad]\nendpoint_silence_ms = 700\n[source]\nfps = 2\n")
    config = load_config("edge", file)
    assert config.vad.endpoint_silence_ms == 700
    assert config.source.fps == 2.0 and isinstance(config.source.fps, float)
    assert config.segmentation == RuntimeConfig().segmentation


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[nonsense]\nx = 1\n", "nonsense"),
        ("[vad]\nnonsense = 1\n", "nonsense"),
        ("[vad]\nthreshold = 'high'\n", "threshold"),
        ("[vad]\nthreshold = 7.0\n", "vad.threshold"),
        ("[segmentation]\ncut_cosine = 'high'\n", "cut_cosine"),
        ("[turn]\norder = 'backwards'\n", "turn.order"),
        ("[turn]\nmax_words = 0\n", "turn.max_words"),
        ("[evidence]\nframe_rule = 'some'\n", "evidence.frame_rule"),
        ("[evidence]\ncurrent_frames = -1\n", "evidence.current_frames"),
        ("[evidence]\nframes_per_step = 0\n", "evidence.frames_per_step"),
        ("[retrieval]\nfallback = 'rule'\n", "retrieval.fallback"),
        ("[virtual_cost]\nkeyframe_us = -1\n", "virtual_cost.keyframe_us"),
        ("vad = 3\n", "vad"),
        ("[vad\n", "TOML"),
        ("[store]\nmax_short_term_clips = 2\n", "max_short_term_clips"),
    ],
)
def test_what_cannot_be_used_is_named_with_the_mend(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        load_config("edge", toml(tmp_path, text))
    assert caught.value.mend


def test_an_unknown_preset_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="demo-compat"):
        load_config("fast")
    with pytest.raises(ConfigError, match="absent"):
        load_config("edge", tmp_path / "absent.toml")
