"""Presets and TOML files become one validated configuration."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from omnilive.config import PRESETS, RuntimeConfig, load_config
from omnilive.errors import ConfigError


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
