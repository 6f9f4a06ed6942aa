"""Recipes: those that ship, what a file may say, and what a backend refuses, at the CLI's door."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export_checkpoints import micro_checkpoint
from omnilive.errors import ConfigError
from omnilive_export.cli import main
from omnilive_export.graphs.layer_formats import LayerFormats
from omnilive_export.precision import BLOCK_SIZES, FP32, INT4, INT8, KV_KINDS, METHODS, LinearFormat
from omnilive_export.recipe import GROUPS, KINDS, Recipe
from omnilive_export.recipe_file import load_recipe, parse_recipe, recipe_names
from omnilive_export.validity import TABLE, check_recipe, refusals, resolved

VERSIONS = {"onnxruntime": "1.31.1", "tensorrt": "10.3.0"}

MINIMAL = """
backend = "ort"
[decoder]
kind = "int4"
block = 64
[head]
kind = "int8"
[plora]
kind = "fp32"
[encoder]
kind = "int8-dynamic"
"""


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_that_ships_is_one_its_backend_can_do(name: str) -> None:
    for versions in (VERSIONS, {**VERSIONS, "onnxruntime": "1.23.2"}):
        recipe = resolved(load_recipe(name), versions)
        check_recipe(recipe, versions)
    assert recipe.about
    assert json.loads(json.dumps(recipe.as_json()))["name"] == name


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ("colour = 1\n" + MINIMAL, "colour"),
        (MINIMAL.replace("block = 64", "blok = 64"), "decoder.blok"),
        (MINIMAL.replace("block = 64", "block = 48"), "decoder.block"),
        (MINIMAL.replace("block = 64", 'block = "64"'), "decoder.block"),
        (MINIMAL.replace('"int4"', '"int5"'), "decoder.kind"),
        (MINIMAL.replace("[head]", "[hat]"), "hat"),
        (MINIMAL + "block = 32\n", "encoder"),
        (MINIMAL + "[keep]\nmem_vit = 'fp32'\n", "mem_vit"),
        (MINIMAL + "[limits]\nvision = 3\n", "limits.vision"),
        (MINIMAL + "[limits]\naudio = -3\n", "limits.audio"),
        (MINIMAL + "[tolerance.mem_vit]\nkl = 0.1\n", "tolerance.mem_vit.kl"),
        (MINIMAL + "[tolerance.mem_vit]\ncosine = 'high'\n", "tolerance.mem_vit.cosine"),
        (MINIMAL + "[tolerance.moon]\ncosine = 0.9\n", "tolerance.moon"),
        (MINIMAL + "[tolerance.mem_vit]\nrms = 0.9\n", "tolerance.mem_vit.rms"),
        (MINIMAL + "[unfinished", "TOML"),
    ],
)
def test_a_file_with_an_odd_key_or_value_is_refused_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: str, says: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(changed)
    assert main(_build(tmp_path, "--recipe", str(file))) == ConfigError.exit_code
    told = capsys.readouterr().err
    assert says in told and str(file) in told
    assert "Traceback" not in told


def test_an_unknown_recipe_is_refused_with_those_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_build(tmp_path, "--recipe", "moon")) == ConfigError.exit_code
    told = capsys.readouterr().err
    assert all(name in told for name in recipe_names())


@pytest.mark.parametrize(
    "flags", [("--precision", "int8"), ("--block-size", "32"), ("--asymmetric",)]
)
def test_flags_that_a_recipe_takes_the_place_of_are_refused_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]
) -> None:
    assert main(_build(tmp_path, "--recipe", "edge", *flags)) == 2
    assert flags[0] in capsys.readouterr().err


def test_a_pair_the_backend_cannot_do_is_refused_before_the_checkpoint_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MINIMAL.replace('"ort"', '"tensorrt"'))
    absent = str(tmp_path / "no-checkpoint")
    arguments = ["--checkpoint", absent, "--out", str(tmp_path / "out"), "--recipe", str(file)]
    assert main(arguments) == ConfigError.exit_code
    told = capsys.readouterr().err
    assert "head.kind" in told and "TensorRT" in told and absent not in told


def test_an_int8_arena_is_refused_where_onnxruntime_is_too_old_for_it() -> None:
    recipe = dataclasses.replace(parse_recipe(MINIMAL, "m", where="m"), kv=INT8)
    assert not list(refusals(recipe, {"onnxruntime": "1.27.0"}))
    for version in ("1.26.0", "1.23.2", ""):
        (refused,) = refusals(recipe, {"onnxruntime": version})
        assert "1.27.0" in refused[1]


def test_auto_is_an_int8_arena_where_the_backend_has_one() -> None:
    recipe = parse_recipe('kv = "auto"' + MINIMAL, "m", where="m")
    assert resolved(recipe, {"onnxruntime": "1.31.1"}).kv == INT8
    assert resolved(recipe, {"onnxruntime": "1.23.2"}).kv == "float"
    assert resolved(dataclasses.replace(recipe, backend="tensorrt"), VERSIONS).kv == "float"


def test_a_pack_for_cuda_has_no_int8_arena() -> None:
    versions = {"onnxruntime": "1.31.1"}
    recipe = parse_recipe('kv = "auto"' + MINIMAL, "m", where="m")
    assert resolved(recipe, versions, "cuda").kv == "float"
    (refused,) = refusals(dataclasses.replace(recipe, kv=INT8), versions, "cuda")
    assert refused[0] == "kv" and "float16" in refused[1]


_FORMATS = st.builds(
    LinearFormat,
    kind=st.sampled_from(KINDS),
    block=st.sampled_from(BLOCK_SIZES),
    symmetric=st.booleans(),
    method=st.sampled_from(METHODS),
)


@given(
    st.builds(
        Recipe,
        name=st.just("any"),
        about=st.just(""),
        backend=st.sampled_from([*TABLE, "moon"]),
        **{group: _FORMATS for group in GROUPS},
        kv=st.sampled_from(KV_KINDS),
        keep=st.dictionaries(
            st.sampled_from(["mem_vit.layers.0.fc1", "*_lm.layers.1.*"]), st.sampled_from(KINDS)
        ),
    )
)
def test_every_refusal_of_the_table_has_a_reason_and_a_remedy(recipe: Recipe) -> None:
    for key, reason, mend in refusals(recipe, VERSIONS):
        assert key and reason and mend


def test_a_kept_layer_has_its_own_format_and_a_pattern_that_fits_none_is_told() -> None:
    group, own = LinearFormat(INT4, 32), LinearFormat(FP32, 32)
    formats = LayerFormats([("*_vit.layers.3.fc2", own), ("mem_vit.layers.9.*", own)])
    assert formats.of("mem_vit", "layers.3.fc2.weight", group) == own
    assert formats.of("mem_vit", "layers.3.fc1.weight", group) == group
    assert formats.of("aud_enc", "layers.3.fc2.weight", group) == group
    assert formats.unused() == ("mem_vit.layers.9.*",)


def test_a_recipe_that_names_a_layer_which_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MINIMAL + '[keep]\n"mem_vit.layers.99.fc2" = "fp32"\n')
    assert main(_build(tmp_path, "--recipe", str(file))) == ConfigError.exit_code
    assert "mem_vit.layers.99.fc2" in capsys.readouterr().err


def test_formats_kept_layers_and_limits_of_a_recipe_are_in_the_pack_and_its_key(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MINIMAL + '[keep]\n"mem_vit.layers.0.fc2" = "fp32"\n[limits]\nreasoner = 96\n')
    arguments = _build(tmp_path, "--recipe", str(file), "--no-accuracy")
    assert main(arguments) == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["build"]["recipe"]["keep"] == {"mem_vit.layers.0.fc2": "fp32"}
    assert manifest["fingerprint"]["key"]["recipe"]["recipe"]["limits"]["reasoner"] == 96
    assert manifest["reasoner"]["max_positions"] == 96
    assert manifest["engines"]["vlm_lm"]["kv"]["max_positions"] == 96
    assert manifest["engines"]["mem_vit"]["precision"] == {"encoder": "int8-dynamic"}
    assert manifest["build"]["accuracy"] == {"measured": False, "reason": "left out at the build"}
    first = (tmp_path / "out" / "manifest.json").read_bytes()
    assert main(arguments) == 0
    assert (tmp_path / "out" / "manifest.json").read_bytes() == first
    file.write_text(file.read_text().replace("96", "128"))
    assert main(arguments) == 0
    assert (tmp_path / "out" / "manifest.json").read_bytes() != first


def _build(folder: Path, *flags: str) -> list[str]:
    return ["--checkpoint", str(micro_checkpoint()), "--out", str(folder / "out"), *flags]
