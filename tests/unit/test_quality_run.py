"""A quality run as a user meets it: exit codes, the table, the files, and going on where it was."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import quality
from quality_fakes import Sounds, variant
from scoring.columns import Wanted
from scoring.journal import Journal, journal_path
from scoring.result import Item
from scoring.running import expected_s, found_in, in_turn, keep, work_of
from scoring.variants import PRESET, Variant

Start = Callable[..., int]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Run the command with fake packs and one fake group of measures."""

    def run(sounds: Sounds, variants: list[Variant], *arguments: str) -> int:
        @contextlib.contextmanager
        def opened(wanted: Wanted) -> Iterator[list[Variant]]:
            yield variants

        monkeypatch.setattr(quality, "opened", opened)
        monkeypatch.setattr(quality, "groups_of", lambda names, seed, scale: [sounds])
        return quality.main(["--pack", "ignored", "--jobs", "1", *arguments])

    return run


def ignore(parts: int) -> None:
    pass


def stop_at(part: int) -> Callable[[int, Variant], None]:
    def stop(at: int, one: Variant) -> None:
        if at == part:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize(("hits", "code", "word"), [(950, 0, "reached"), (949, 1, "MISSED")])
def test_check_ends_with_1_when_a_bar_is_missed_and_shows_value_and_bar(
    start: Start, capsys: pytest.CaptureFixture[str], hits: int, code: int, word: str
) -> None:
    assert start(Sounds({"int4": hits}), [variant("int4")], "--check") == code
    (line,) = [row for row in capsys.readouterr().out.splitlines() if row.startswith(word)]
    assert f"{hits / 10:.2f}" in line
    assert "≥ 95.0" in line


def test_without_check_a_missed_bar_is_no_failure(start: Start) -> None:
    assert start(Sounds({"int4": 1}), [variant("int4")]) == 0


def test_check_compares_the_int4_pack_with_the_fp32_one_item_by_item(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    packs = [variant("int4"), variant("fp32")]
    assert start(Sounds({"int4": 960, "fp32": 980}), packs, "--check") == 1
    (line,) = [row for row in capsys.readouterr().out.splitlines() if row.startswith("MISSED")]
    assert "2.00" in line
    assert "int4 worse than fp32" in line
    assert start(Sounds({"int4": 965, "fp32": 980}), packs, "--check") == 0


def test_the_table_shows_value_interval_baseline_bar_and_paired_difference(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    start(Sounds({"int4": 960, "fp32": 970}), [variant("int4"), variant("fp32")])
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "sound class" in line]
    assert row.split()[2:] == [
        *("1000", "96.0", "[94.6,", "97.0]", "10.0", "≥", "95.0"),
        *("97.0", "+1.0", "[+0.5,", "+1.7]"),
    ]


def test_the_json_holds_every_score_and_reads_back(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.json"
    start(
        Sounds({"int4": 960, "fp32": 970}),
        [variant("int4"), variant("fp32")],
        *("--json", str(path), "--html", str(tmp_path / "out.html"), "--seed", "7"),
    )
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert (found["benchmark"], found["seed"], found["complete"]) == ("quality", 7, True)
    assert found["variants"]["fp32"]["precision"] == "fp32"
    score = found["measures"]["sound_class"]["scores"]
    assert score["int4"]["value"] == 0.96
    assert score["int4"]["low"] < 0.96 < score["int4"]["high"]
    assert score["int4"]["baseline"]["value"] == pytest.approx(0.1)
    assert score["fp32"]["difference_from_first"]["value"] == pytest.approx(0.01)
    assert [bar["passed"] for bar in found["bars"]] == [True, True]
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert page.count('class="bar"') == 2
    assert "http" not in page


def test_a_stopped_run_shows_what_it_has_and_goes_on_there(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.json"
    stopped = Sounds({"int4": 1_000}, before=stop_at(1))
    assert start(stopped, [variant("int4")], "--json", str(path), "--check") == 130
    assert " 500 " in capsys.readouterr().out
    assert json.loads(path.read_text(encoding="utf-8"))["complete"] is False
    again = Sounds({"int4": 1_000})
    assert start(again, [variant("int4")], "--json", str(path), "--check") == 0
    assert again.measured == [(1, "int4")]
    assert " 1000 " in capsys.readouterr().out


def test_a_pack_that_is_added_later_is_measured_alone(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    start(Sounds({"int4": 950}), [variant("int4")], "--json", str(path))
    more = Sounds({"int4": 950, "fp32": 950})
    start(more, [variant("int4"), variant("fp32")], "--json", str(path))
    assert more.measured == [(0, "fp32"), (1, "fp32")]


@pytest.mark.parametrize(
    ("pack", "identity"), [(variant("int4", sha256="rebuilt"), "sounds 0"), (None, "sounds 1")]
)
def test_what_another_pack_or_seed_scored_is_not_taken_over(
    start: Start, tmp_path: Path, pack: Variant | None, identity: str
) -> None:
    path = tmp_path / "out.json"
    start(Sounds({"int4": 950}), [variant("int4")], "--json", str(path))
    again = Sounds({"int4": 950}, identity=identity)
    start(again, [pack or variant("int4")], "--json", str(path))
    assert again.measured == [(0, "int4"), (1, "int4")]


def test_a_line_that_was_cut_off_is_measured_again_and_spoils_no_other(tmp_path: Path) -> None:
    path = journal_path(tmp_path / "out.json")
    Journal(path).put("whole", {"cut_f1": [Item("0", 3.0, 4.0)]})
    with path.open("a", encoding="utf-8") as file:
        file.write('{"id": "torn", "tallies": {"cut')
    journal = Journal(path)
    assert journal.get("torn") is None
    journal.put("torn", {"cut_f1": [Item("1", 1.0, 2.0)]})
    read = Journal(path)
    assert read.get("whole") == {"cut_f1": [Item("0", 3.0, 4.0)]}
    assert read.get("torn") == {"cut_f1": [Item("1", 1.0, 2.0)]}


def test_only_variants_that_can_differ_are_measured_and_the_time_is_told_for_them() -> None:
    sounds = Sounds({"int4": 950})
    variants = [variant("int4"), variant("int4", role=PRESET, preset="paper")]
    journal = Journal(None)
    work = work_of([sounds], variants, journal)
    assert expected_s(work) == 2.0
    keep(in_turn(work), journal, ignore)
    assert {label for _, label in sounds.measured} == {"int4"}
    assert work_of([sounds], variants, journal) == []
    assert found_in(journal, [sounds], variants)["int4 paper"] == {"hearing": {}}


@pytest.mark.parametrize(
    "arguments",
    [["--measures", "smelling"], ["--ablate", "nose"], ["--preset", "none"]],
)
def test_an_unknown_name_is_told_with_those_that_are_known(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert quality.main(["--pack", "none", *arguments]) == 2
    assert "Use " in capsys.readouterr().err


def test_a_run_without_a_pack_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert quality.main([]) == 2
    assert "--pack" in capsys.readouterr().err
