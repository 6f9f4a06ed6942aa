"""Quantizers in a build: what is refused, what is recorded, and how a killed build goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export_checkpoints import micro_checkpoint
from omnilive.engine.manifest import MANIFEST_NAME, Manifest, from_json
from omnilive.errors import CheckpointError, ConfigError
from omnilive_export import build as building
from omnilive_export.cli import main
from omnilive_export.precision import LinearFormat
from omnilive_export.quantize import dequantize_rows
from omnilive_export.quantizing.kept import KeptTensors, kept_folder, tensor_bytes
from omnilive_export.quantizing.methods import block_format
from omnilive_export.quantizing.moments import (
    GROUP,
    MomentSum,
    read_calibration,
    write_calibration,
)
from omnilive_export.quantizing.quantizer import BlockQuantizer
from omnilive_export.reading.row_source import ArrayRows

ROOT = Path(__file__).resolve().parents[2]
HQQ = LinearFormat("int4", 32, symmetric=False, method="hqq")


def command(out: Path, *options: str) -> list[str]:
    return ["--checkpoint", str(micro_checkpoint()), "--out", str(out), *options]


def manifest_of(pack: Path) -> Manifest:
    return from_json((pack / MANIFEST_NAME).read_text(), pack=pack)


@pytest.mark.parametrize(
    ("options", "code", "what"),
    [
        (["--quantizer", "hqq", "--precision", "int8"], 2, "goes with --precision int4"),
        (["--quantizer", "calibrated"], None, "Give a file of them with --calibration"),
        (["--calibration", "x.npz"], None, "nothing is calibrated"),
        (["--quantizer", "calibrated", "--calibration", "x.npz"], None, "cannot be read"),
        (
            ["--quantizer", "hqq", "--backend", "tensorrt", "--onnx-only"],
            None,
            "Leave --quantizer out",
        ),
    ],
)
def test_what_cannot_be_quantized_so_is_refused_before_anything_is_read(
    options: list[str],
    code: int | None,
    what: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = ConfigError.exit_code if code is None else code
    assert main(command(tmp_path / "packs" / "micro", *options)) == expected
    assert what in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys
from omnilive_export.quantizing import quantizer

calls, limit, quantize_with = 0, int(os.environ["KILLED_AT"]), quantizer.quantize_with

def counted(rows, fmt, factors):
    global calls
    if fmt.method != "rtn":
        calls += 1
        if calls == limit:
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        print("one more is quantized", file=sys.stderr, flush=True)
    return quantize_with(rows, fmt, factors)

quantizer.quantize_with = counted
if __name__ == "__main__":
    from omnilive_export.cli import main
    sys.exit(main())
"""


def test_a_killed_build_goes_on_and_makes_what_an_undisturbed_one_makes(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    paths = os.pathsep.join((str(ROOT / "runtime"), str(ROOT / "export")))

    def run(out: Path, limit: int) -> tuple[int, int]:
        done = subprocess.run(
            [sys.executable, str(script), *command(out, "--quantizer", "hqq")],
            env={**os.environ, "PYTHONPATH": paths, "KILLED_AT": str(limit)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr.count("one more is quantized")

    whole, out = tmp_path / "whole" / "micro", tmp_path / "packs" / "micro"
    code, tensors = run(whole, 0)
    assert code == 0
    at = tensors // 2
    assert run(out, at) == (-signal.SIGKILL, at - 1)
    assert kept_folder(out).is_dir()
    assert run(out, 0) == (0, tensors - at + 1)
    assert manifest_of(out).all_files() == manifest_of(whole).all_files()
    assert [path.name for path in out.parent.iterdir()] == ["micro"]
    assert [path.name for path in whole.parent.iterdir()] == ["micro"]
    lm = manifest_of(out).engines["vlm_lm"]
    assert lm.quantizers == {"blocks": "hqq"}
    assert manifest_of(out).engines["vlm_vit"].quantizers == {}


def test_a_build_that_is_stopped_says_where_what_it_made_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(folder: Path, out: Path) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "packs" / "micro"
    with monkeypatch.context() as patch:
        patch.setattr(building, "publish", stopped)
        assert main(command(out, "--quantizer", "hqq")) == 130
    assert f"{kept_folder(out)}: keeps what was quantized" in capsys.readouterr().err
    assert list(out.parent.iterdir()) == [kept_folder(out)]
    assert main(command(out)) == 0
    assert [path.name for path in out.parent.iterdir()] == ["micro"]


def weight(seed: int = 0) -> ArrayRows:
    return ArrayRows(np.random.default_rng(seed).standard_normal((40, 96)).astype(np.float32))


def keep(kept: KeptTensors, source: ArrayRows) -> list[np.ndarray]:
    return list(BlockQuantizer(kept=kept).plan(source, HQQ, "lm/w").packed())


def test_a_kept_tensor_is_found_again_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "pack"
    made = keep(KeptTensors(out, "key"), weight())
    again = KeptTensors(out, "key")
    found = again.find("lm/w", weight(), block_format(HQQ))
    assert found is not None
    (rows,) = found
    np.testing.assert_array_equal(rows.packed, made[0])
    change = dequantize_rows(rows, block_format(HQQ), 96) - weight().rows(0, 40)
    assert np.abs(change).max() < 0.5


def test_what_is_kept_takes_the_disk_that_was_planned_for_it(tmp_path: Path) -> None:
    kept = KeptTensors(tmp_path / "pack", "key")
    quantizer = BlockQuantizer(kept=kept)
    planned = quantizer.plan(weight(), HQQ, "lm/w")
    assert quantizer.bytes_to_keep() == tensor_bytes((40, 96), block_format(HQQ))
    list(planned.packed())
    assert quantizer.bytes_to_keep() == 0
    assert (
        0 <= kept.nbytes - tensor_bytes((40, 96), block_format(HQQ)) <= 100
    )  # digests and the key


@pytest.mark.parametrize("how", ["other values", "another name", "torn", "cut short", "other key"])
def test_a_kept_tensor_that_is_not_this_one_is_not_taken(how: str, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    keep(KeptTensors(out, "key"), weight())
    (path,) = (p for p in kept_folder(out).iterdir() if p.name != "key")
    data = path.read_bytes()
    if how == "torn":
        path.write_bytes(data[:100] + b"\x00\x01" + data[102:])
    elif how == "cut short":
        path.write_bytes(data[:-1])
    kept = KeptTensors(out, "another" if how == "other key" else "key")
    source = weight(seed=int(how == "other values"))
    name = "lm/v" if how == "another name" else "lm/w"
    assert kept.find(name, source, block_format(HQQ)) is None


def test_a_build_that_keeps_nothing_removes_what_another_left(tmp_path: Path) -> None:
    out = tmp_path / "packs" / "micro"
    out.parent.mkdir()
    keep(KeptTensors(out, "of another recipe"), weight())
    assert main(command(out)) == 0
    assert [path.name for path in out.parent.iterdir()] == ["micro"]


def test_a_weight_that_is_not_finite_is_an_error_that_names_it() -> None:
    values = np.ones((8, 64), np.float32)
    values[3, 3] = np.nan
    planned = BlockQuantizer().plan(ArrayRows(values), HQQ, "lm/layers.0.qkv.weight")
    with pytest.raises(CheckpointError, match=r"lm/layers\.0\.qkv\.weight.*not finite"):
        list(planned.packed())


def moments(width: int, seed: int = 0) -> np.ndarray:
    total = MomentSum(width)
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((width, width)).astype(np.float32)
    for _ in range(3):
        total.add(rng.standard_normal((100, width)).astype(np.float32) @ mixing)
    return total.mean()


def test_moments_are_the_mean_outer_products_within_groups() -> None:
    rows = np.random.default_rng(0).standard_normal((50, 200)).astype(np.float32)
    total = MomentSum(200)
    total.add(rows[:20])
    total.add(rows[20:])
    expected = rows.T.astype(np.float64) @ rows / 50
    found = total.mean()
    assert found.shape == (2, GROUP, GROUP)
    np.testing.assert_allclose(found[0], expected[:128, :128], atol=1e-5)
    np.testing.assert_allclose(found[1, :72, :72], expected[128:, 128:], atol=1e-5)
    assert not found[1, 72:].any()


def written(path: Path) -> Path:
    write_calibration(path, {"lm/x": moments(200)}, {"lm/w": "lm/x"}, {"seeds": [1]})
    return path


def test_factors_are_those_of_the_inverse_damped_moments(tmp_path: Path) -> None:
    calibration = read_calibration(written(tmp_path / "s.npz"))
    assert calibration.provenance == {"seeds": [1]}
    for found, factor in zip(moments(200), calibration.factors("lm/w"), strict=True):
        damped = found.astype(np.float64) + 0.01 * np.diagonal(found).mean() * np.eye(GROUP)
        assert not np.tril(factor, -1).any()
        product = damped @ (factor.T.astype(np.float64) @ factor)
        np.testing.assert_allclose(product, np.eye(GROUP), atol=1e-3)


def test_equal_statistics_are_equal_bytes_and_others_are_not(tmp_path: Path) -> None:
    one, same = (read_calibration(written(tmp_path / name)) for name in ("1.npz", "2.npz"))
    assert one.sha256 == same.sha256
    write_calibration(tmp_path / "3.npz", {"lm/x": moments(200, 1)}, {"lm/w": "lm/x"}, {})
    assert read_calibration(tmp_path / "3.npz").sha256 != one.sha256


@pytest.mark.parametrize(("name", "width"), [("lm/v", 200), ("lm/w", 400)])
def test_statistics_of_other_weights_are_refused(name: str, width: int, tmp_path: Path) -> None:
    calibration = read_calibration(written(tmp_path / "s.npz"))
    planned = LinearFormat("int4", 32, method="calibrated")
    with pytest.raises(ConfigError, match="of this checkpoint"):
        BlockQuantizer(calibration).plan(ArrayRows(np.ones((4, width))), planned, name)


@pytest.mark.parametrize("content", [b"", b"PK no archive", None])
def test_a_file_that_holds_no_statistics_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    if content is None:
        np.savez(path, header=np.zeros(3, np.uint8))
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="is no file of activation statistics"):
        read_calibration(path)
