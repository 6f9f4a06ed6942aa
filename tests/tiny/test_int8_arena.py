"""Keys and values in int8: near the float arena, a quarter of its bytes, truncated exactly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive.engine.pack import EnginePack, open_pack
from omnilive.versions import release
from omnilive_export.cli import main
from omnilive_export.kv_int8 import LARGEST_CODE, ROOM, KvRanges
from omnilive_export.precision import INT8
from omnilive_export.validity import ORT, TABLE

pytestmark = pytest.mark.tiny

RECIPE = """
backend = "ort"
tables = "fp32"
kv = "int8"
[decoder]
kind = "fp32"
[head]
kind = "fp32"
[plora]
kind = "fp32"
[encoder]
kind = "fp32"
"""
EXAMPLES = settings(max_examples=10, deadline=None)
CAPACITY = 96


@pytest.fixture(scope="module")
def int8_pack(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnginePack]:
    least = TABLE[ORT].kv[INT8]
    if release(ort.__version__) < release(least):
        pytest.skip(f"onnxruntime {ort.__version__} has no int8 arena; {least} has")
    folder = tmp_path_factory.mktemp("int8-arena")
    (folder / "kv.toml").write_text(RECIPE)
    out = str(folder / "pack")
    arguments = ["--checkpoint", str(checkpoint), "--out", out, "--no-accuracy"]
    assert main([*arguments, "--recipe", str(folder / "kv.toml")]) == 0
    pack = open_pack(Path(out), threads=1)
    yield pack
    pack.close()


def prompt(pack: EnginePack, seed: int, count: int) -> np.ndarray:
    ids = np.random.default_rng(seed).integers(0, 64, count)
    return pack.table("aud_embed").rows(ids)


def test_the_arena_takes_a_quarter_of_the_bytes(
    int8_pack: EnginePack, fp32_pack: EnginePack
) -> None:
    for name in ("mem_lm", "aud_lm", "vlm_lm"):
        small, large = (p.manifest.engines[name].kv for p in (int8_pack, fp32_pack))
        assert small is not None and large is not None
        assert (small.dtype, 4 * small.bytes_per_token()) == ("int8", large.bytes_per_token())
        assert int8_pack.manifest.engines[name].precision["kv"] == "int8"


@EXAMPLES
@given(seed=st.integers(0, 1 << 20), count=st.integers(2, 40))
def test_logits_stay_near_those_of_the_float_arena(
    int8_pack: EnginePack, fp32_pack: EnginePack, seed: int, count: int
) -> None:
    embeds = prompt(fp32_pack, seed, count)
    found = []
    for pack in (int8_pack, fp32_pack):
        decoder = pack.decoder("aud_lm")
        found.append(decoder.logits(decoder.new_arena(CAPACITY), embeds, rows=np.arange(count)))
    a, b = found[0].ravel(), found[1].ravel()
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.99
    assert not np.array_equal(a, b)


@EXAMPLES
@given(seed=st.integers(0, 1 << 20), kept=st.integers(1, 30), junk=st.integers(1, 30))
def test_a_prefix_is_kept_and_continued_as_if_nothing_had_followed(
    int8_pack: EnginePack, seed: int, kept: int, junk: int
) -> None:
    decoder = int8_pack.decoder("aud_lm")
    embeds = prompt(int8_pack, seed, kept + junk + 5)
    clean, truncated = decoder.new_arena(CAPACITY), decoder.new_arena(CAPACITY)
    for arena in (clean, truncated):
        decoder.logits(arena, embeds[:kept])
    decoder.logits(truncated, embeds[kept : kept + junk])
    truncated.truncate(kept)
    after = [decoder.logits(arena, embeds[-5:]) for arena in (clean, truncated)]
    np.testing.assert_array_equal(*after)


@EXAMPLES
@given(seed=st.integers(0, 1 << 20), angle=st.floats(0, 6.3))
def test_no_rotation_takes_a_recorded_key_out_of_its_range(seed: int, angle: float) -> None:
    rng = np.random.default_rng(seed)
    key = rng.standard_normal((1, 2, 7, 8)).astype(np.float32)
    ranges = KvRanges()
    ranges.add(0, key, key)
    low, high = key[..., :4], key[..., 4:]
    turned = np.concatenate(
        [
            np.cos(angle) * low - np.sin(angle) * high,
            np.cos(angle) * high + np.sin(angle) * low,
        ],
        axis=-1,
    )
    assert np.abs(turned).max() <= ranges.scale(0, "key") * LARGEST_CODE / ROOM * (1 + 1e-5)
    largest = ranges.scale(0, "value") * LARGEST_CODE / ROOM
    np.testing.assert_allclose(largest, np.abs(key).max(), rtol=1e-5)
