"""A fast slice of the quality measures: the trained pack is far from guessing at every one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import quality
from omnilive.engine.manifest import MANIFEST_NAME, from_json

Scores = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def scores(micro_pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Scores:
    """Each measure of a quick run."""
    manifest = from_json((micro_pack / MANIFEST_NAME).read_text(encoding="utf-8"), pack=micro_pack)
    if not manifest.trained:
        pytest.skip("the micro pack is not trained: its answers are noise")
    path = tmp_path_factory.mktemp("quality") / "out.json"
    assert quality.main(["--pack", str(micro_pack), "--quick", "--json", str(path)]) == 0
    measures = json.loads(path.read_text(encoding="utf-8"))["measures"]
    return {name: measure["scores"]["int4"] for name, measure in measures.items()}


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("wer_seen_voices", 0.15),
        ("wer_held_out_voices", 0.2),
        ("wer_noise_10db", 0.3),
        ("wer_stream_20db", 0.25),
    ],
)
def test_few_words_are_heard_wrongly(scores: Scores, name: str, most: float) -> None:
    assert scores[name]["value"] <= most


@pytest.mark.parametrize(
    "name", ["sound_class", "cut_f1", "fillers_unanswered", "questions_answered"]
)
def test_decisions_are_mostly_right(scores: Scores, name: str) -> None:
    assert scores[name]["value"] >= 0.8


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("recall1_explicit", 0.75),
        ("recall1_implicit", 0.8),
        ("answers_explicit", 0.65),
        ("answers_implicit", 0.85),
        ("answers_looked_up", 0.65),
        ("text_not_seen", 0.8),
        ("aloud", 0.6),
    ],
)
def test_what_is_remembered_and_answered_is_mostly_right(
    scores: Scores, name: str, least: float
) -> None:
    assert scores[name]["value"] >= least


@pytest.mark.parametrize(
    "name",
    [
        "recall1_explicit",
        "recall1_implicit",
        "answers_explicit",
        "answers_implicit",
        "answers_looked_up",
        "aloud",
    ],
)
def test_what_was_seen_decides_answers_and_clips(scores: Scores, name: str) -> None:
    assert scores[name]["low"] > scores[name]["baseline"]["value"]


def test_what_was_never_shown_is_told_from_what_was(scores: Scores) -> None:
    assert scores["text_not_seen"]["value"] > 2 * scores["text_wrongly_not_seen"]["value"]
