"""Every group of quality measures, a little of each, through the engines of the micro pack."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

import quality
from omnilive.config import load_config
from omnilive.engine.pack import open_pack
from omnilive_micropack.questions import KINDS
from scoring.groups import Scale
from scoring.registry import GROUPS
from scoring.result import baseline_of
from scoring.variants import PACK, Variant, ablate

LITTLE = Scale(items=2, stream_s=30.0, long_stream_s=0.0, aloud_s=25.0)
NEEDED = {
    "hearing": {"wer_seen_voices", "wer_stream_20db", "sound_class", baseline_of("sound_class")},
    "instruction": {"fillers_unanswered", "questions_answered"},
    "seeing": {"cut_f1", "text_colour", baseline_of("text_colour"), "text_wrongly_not_seen"},
    "aloud": set(),
}


@pytest.mark.parametrize("name", GROUPS)
def test_a_part_gives_items_for_the_measures_it_names(
    micro_pack: Path, tmp_path: Path, name: str
) -> None:
    config = load_config("edge")
    deaf = frozenset({"audio"})
    with closing(open_pack(micro_pack, threads=1)) as pack:
        variants = [
            Variant("int4", PACK, pack, "edge", config),
            Variant("int4 without audio", PACK, pack, "edge", ablate(config, deaf), deaf),
        ]
        group = GROUPS[name](3, LITTLE)
        scored = {v.label: tallies for v, tallies in group.score(0, variants, tmp_path)}
    for tallies in scored.values():
        names = {key for key, items in tallies.items() if items}
        assert names >= NEEDED[name]
        assert names <= {m for own in group.measures() for m in (own, baseline_of(own))}
    keys = [{n: [i.key for i in items] for n, items in found.items()} for found in scored.values()]
    assert keys[0] == keys[1]


def test_deaf_sessions_answer_nothing_that_is_said(micro_pack: Path, tmp_path: Path) -> None:
    deaf = frozenset({"audio"})
    with closing(open_pack(micro_pack, threads=1)) as pack:
        config = ablate(load_config("edge"), deaf)
        variant = Variant("deaf", PACK, pack, "edge", config, deaf)
        ((_, tallies),) = GROUPS["aloud"](3, LITTLE).score(0, [variant], tmp_path)
    answers = [
        item.num
        for name, items in tallies.items()
        if name in (f"aloud_{kind}" for kind in KINDS)
        for item in items
    ]
    assert answers
    assert not any(answers)


def test_processes_side_by_side_measure_the_same_as_one(micro_pack: Path, tmp_path: Path) -> None:
    found = []
    for jobs in ("1", "2"):
        path = tmp_path / jobs / "out.json"
        arguments = ["--pack", str(micro_pack), "--measures", "instruction", "--items", "4"]
        assert quality.main([*arguments, "--json", str(path), "--jobs", jobs]) == 0
        found.append(json.loads(path.read_text(encoding="utf-8"))["measures"])
    assert found[0] == found[1]
    assert found[0]["questions_answered"]["scores"]["int4"]["items"] == 4
