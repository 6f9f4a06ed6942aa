"""The accuracy record of a build, without PyTorch: what it says, and what a miss does for ever."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnilive.cli.doctor import doctor
from omnilive.cli.plan import plan
from omnilive.engine.manifest import ENGINE_NAMES
from omnilive.engine.manifest_file import read_manifest
from omnilive.engine.pack import open_pack
from omnilive.errors import BuildError, PackError, SetupError
from omnilive_export.accuracy.cases import arena_feeds, language_feeds
from omnilive_export.accuracy.graph_sources import planned_graph, written_graph
from omnilive_export.accuracy.segments import SegmentedModel
from omnilive_export.cli import main
from omnilive_export.plan import plan_pack
from omnilive_export.precision import pack_precision
from omnilive_export.reading.checkpoint import find_folders

pytestmark = pytest.mark.tiny

FLOATS = """
backend = "ort"
tables = "fp32"
[decoder]
kind = "{decoder}"
[head]
kind = "fp32"
[plora]
kind = "fp32"
[encoder]
kind = "fp32"
[tolerance.default]
relative_error = {limit}
"""


def build(checkpoint: Path, folder: Path, text: str, *flags: str) -> tuple[int, Path]:
    """Exit code and place of a pack built by a recipe."""
    file, out = folder / "mine.toml", folder / "pack"
    file.write_text(text)
    arguments = ["--checkpoint", str(checkpoint), "--out", str(out), "--recipe", str(file)]
    return main([*arguments, *flags]), out


@pytest.fixture(scope="module")
def floats(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    text = FLOATS.format(decoder="fp32", limit=1e-4)
    code, out = build(checkpoint, tmp_path_factory.mktemp("floats"), text)
    assert code == 0
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return manifest


@pytest.fixture(scope="module")
def missing(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack that misses its tolerance and was allowed to."""
    text = FLOATS.format(decoder="int4", limit=1e-4)
    folder = tmp_path_factory.mktemp("missing")
    assert build(checkpoint, folder, text)[0] == BuildError.exit_code
    assert not (folder / "pack").exists()
    code, out = build(checkpoint, folder, text, "--allow-inaccurate")
    assert code == 0
    return out


def test_float_engines_are_measured_and_found_equal_to_their_source(
    floats: dict[str, Any],
) -> None:
    assert floats["build"]["accuracy"]["measured"] is True
    assert floats["build"]["accuracy"]["unmeasured"] == []
    for name in ENGINE_NAMES:
        record = floats["engines"][name]["accuracy"]
        assert record["passed"] and record["relative_error"] < 1e-4
        gives_logits = name in ("aud_lm", "vlm_lm")
        assert (record["kl"] is not None) == (record["top1"] is not None) == gives_logits
    for name in ("aud_lm", "vlm_lm"):
        assert floats["engines"][name]["accuracy"]["kl"] < 1e-6
        assert floats["engines"][name]["accuracy"]["top1"] == 1.0


def test_the_record_tells_rounded_engines_from_those_that_are_not(missing: Path) -> None:
    engines = read_manifest(missing).engines
    for name, engine in engines.items():
        assert engine.accuracy is not None
        assert engine.accuracy["passed"] == (not name.endswith("_lm"))
    assert engines["vlm_lm"].accuracy["kl"] > 1e-5  # type: ignore[index]


def test_a_pack_that_misses_its_tolerance_says_so_for_ever(
    missing: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    clause = "missed its accuracy tolerance: relative_error"
    with pytest.raises(PackError, match=f"engine aud_lm: {clause}"):
        open_pack(missing)
    with caplog.at_level(logging.WARNING):
        open_pack(missing, allow_inaccurate=True).close()
    assert f"engine aud_lm {clause}" in caplog.text
    with pytest.raises(SetupError, match="lacks pack"):
        doctor(str(missing))
    arguments = {"config_file": None, "budget": None, "device_budget": None, "frame": "640x360"}
    plan(str(missing), preset="edge", as_json=False, **arguments)  # type: ignore[arg-type]
    told = " ".join(capsys.readouterr().out.split())
    assert f"engine aud_lm: {clause}" in told and f"engine aud_lm {clause}" in told


@pytest.fixture(scope="module")
def decoder_graphs(checkpoint: Path, missing: Path) -> Iterator[list[Any]]:
    with ExitStack() as stack:
        planned = plan_pack(find_folders(checkpoint), pack_precision("fp32", block=32), stack)
        graph = next(e.graph for e in planned.engines if e.graph.name == "vlm_lm")
        written = written_graph(missing, read_manifest(missing).engines["vlm_lm"])
        yield [planned_graph(graph), written]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(limit=st.integers(1 << 14, 1 << 21), tokens=st.integers(2, 20), which=st.integers(0, 1))
def test_segments_of_any_size_compute_what_the_whole_graph_does(
    decoder_graphs: list[Any], limit: int, tokens: int, which: int
) -> None:
    graph = decoder_graphs[which]
    width = next(t.shape[-1] for t in graph.inputs if t.name == "inputs_embeds")
    rng = np.random.default_rng(tokens)
    cases = [
        arena_feeds(graph, language_feeds(embeds, np.arange(n), np.arange(n // 2)))
        for n in (tokens, 3)
        for embeds in (rng.standard_normal((n, width)).astype(np.float32),)
    ]
    whole = SegmentedModel(graph, threads=1).run(cases, ["logits"])
    parts = SegmentedModel(graph, limit_bytes=limit, threads=1).run(cases, ["logits"])
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a["logits"], b["logits"], rtol=1e-4, atol=1e-5)
