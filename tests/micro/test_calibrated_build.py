"""Statistics collected from a run of the trained miniature, and a pack calibrated with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from omnilive.engine.manifest import MANIFEST_NAME, from_json
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.errors import ConfigError
from omnilive_export.cli import main as build_engines
from omnilive_export.quantizing.moments import read_calibration
from omnilive_micropack.activations import main as collect
from omnilive_micropack.activations import run_stream
from quantizer_measures import compared
from replaying import RecordingPack, replay

SECONDS = 60.0
SEED, OTHER_SEED = 1_000_100, 1_000_120


@pytest.fixture(scope="module")
def statistics(micro_fp32_pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("statistics") / "micro.npz"
    options = ["--out", str(path), "--seeds", str(SEED), "--seconds", str(SECONDS)]
    assert collect(["--pack", str(micro_fp32_pack), *options]) == 0
    return path


@pytest.fixture(scope="module")
def calibrated_pack(
    micro_checkpoint: Path, statistics: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EnginePack]:
    out = tmp_path_factory.mktemp("packs") / "micro-calibrated"
    options = ["--quantizer", "calibrated", "--calibration", str(statistics)]
    assert build_engines(["--checkpoint", str(micro_checkpoint), "--out", str(out), *options]) == 0
    with closing(open_pack(out, threads=1)) as pack:
        yield pack


def test_statistics_cover_every_linear_of_the_decoders_and_say_where_they_are_from(
    statistics: Path, micro_fp32_pack: Path
) -> None:
    calibration = read_calibration(statistics)
    manifest = from_json((micro_fp32_pack / MANIFEST_NAME).read_text(), pack=micro_fp32_pack)
    layers = {name: e.size.layers for name, e in manifest.engines.items() if e.kv and e.size}
    assert set(calibration.weights) == {
        f"{engine}/layers.{i}.{part}.weight"
        for engine, count in layers.items()
        for i in range(count)
        for part in ("qkv", "attention_out", "gate", "up", "down")
    }
    assert calibration.provenance["seeds"] == [SEED]
    assert calibration.provenance["source"] == manifest.source
    assert min(calibration.provenance["rows"].values()) > 100


def test_a_calibrated_pack_answers_more_like_fp32_than_one_rounded_to_nearest(
    calibrated_pack: EnginePack, micro_pack: Path, micro_fp32_pack: Path, tmp_path: Path
) -> None:
    with closing(open_pack(micro_fp32_pack, threads=1)) as fp32:
        with closing(RecordingPack(fp32)) as recording:
            run_stream(recording, OTHER_SEED, tmp_path, SECONDS)
        expected = {name: replay(fp32.decoder(name), c) for name, c in recording.calls.items()}
        again = {name: replay(fp32.decoder(name), c) for name, c in recording.calls.items()}
    with closing(open_pack(micro_pack, threads=1)) as rounded:
        for engine, calls in recording.calls.items():
            assert compared(expected[engine], again[engine], False)["output_error"] < 1e-5
            nearest = replay(rounded.decoder(engine), calls)
            calibrated = replay(calibrated_pack.decoder(engine), calls)
            errors = [
                compared(expected[engine], actual, False)["output_error"]
                for actual in (nearest, calibrated)
            ]
            assert errors[1] < errors[0], engine
    lm = calibrated_pack.manifest.engines["vlm_lm"]
    assert lm.quantizers == {"blocks": "calibrated"}


def test_statistics_are_collected_on_calibration_seeds_only(
    micro_fp32_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--out", str(tmp_path / "s.npz"), "--seeds", "5"]
    assert collect(["--pack", str(micro_fp32_pack), *options]) == ConfigError.exit_code
    assert "Use seeds from" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
