"""The memory plan of engines compiled by TensorRT, against what its runtime allocates."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes_pack import with_engine, write_pack
from omnilive.config import load_config
from omnilive.engine.kv_layout import LEAST_BUCKET, bucket_of
from omnilive.engine.manifest import EngineInfo, EngineSize, KvInfo, Manifest
from omnilive.engine.manifest_file import read_manifest
from omnilive.plan.compiled import compiled_bytes
from omnilive.plan.cost import engine_bytes
from omnilive.plan.demand import EngineDemand, lane_demands
from omnilive.plan.machine import MachineMemory
from omnilive.plan.memory_plan import plan_memory

KV = KvInfo(layers=32, kv_heads=8, head_dim=128, dtype="float16", max_positions=24_576)
LM = EngineSize({"rows": 7_000_000_000}, 32, 4096, 14_336, 4096)
TOWER = EngineSize({"rows": 300_000_000}, 24, 1024, 4096, 1024)
GIB = 2**30


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("pack")
    write_pack(folder)
    return read_manifest(folder)


def decoder(manifest: Manifest) -> EngineInfo:
    """A record as wide as the real reasoner."""
    info = with_engine(manifest, "vlm_lm", backend="tensorrt", kv=KV, profile={}).engines["vlm_lm"]
    return dataclasses.replace(info, profile={"capacity": 24_576, "sequence": 24_576})


def demand(*arenas: int, rows: int = 64) -> EngineDemand:
    return EngineDemand("vlm_lm", rows, arenas, 0, 92_544)


@given(arenas=st.lists(st.integers(1, 24_576), min_size=1, max_size=3))
def test_arenas_take_whole_buckets(manifest: Manifest, arenas: list[int]) -> None:
    found = compiled_bytes(decoder(manifest), LM, demand(*arenas))
    assert found.kv == sum(bucket_of(a, 24_576) for a in arenas) * KV.bytes_per_token()
    assert found.kv >= sum(arenas) * KV.bytes_per_token()


def test_the_smallest_arena_is_a_bucket_and_the_largest_every_position() -> None:
    assert bucket_of(1, 24_576) == LEAST_BUCKET
    assert bucket_of(LEAST_BUCKET + 1, 24_576) == 2 * LEAST_BUCKET
    assert bucket_of(20_000, 24_576) == 24_576
    assert bucket_of(5, 100) == 100


def test_scores_of_the_longest_block_over_every_position_are_counted_however_little_is_asked(
    manifest: Manifest,
) -> None:
    info = decoder(manifest)
    found = compiled_bytes(info, LM, demand(512))
    assert found.workspace > 2 * 32 * 512 * 24_576 * 2
    assert compiled_bytes(info, LM, demand(512, rows=512)).workspace == found.workspace
    as_if_tiled = engine_bytes(dataclasses.replace(info, backend="ort"), LM, demand(512), "1.31.1")
    assert found.total > as_if_tiled.total + GIB


def test_a_tower_takes_what_its_profile_holds_and_not_what_one_run_asks(
    manifest: Manifest,
) -> None:
    info = manifest.engines["vlm_vit"]
    axis = info.inputs[0].shape[0]
    one = EngineDemand("vlm_vit", 1601, (), 0, 0, units=1, apart=True)
    few, many = (
        compiled_bytes(
            dataclasses.replace(info, precision={"blocks": kind}, profile={axis: most}), TOWER, one
        )
        for most, kind in ((2, "fp16"), (26, "fp16"))
    )
    assert many.activations == 13 * few.activations
    assert many.workspace == 13 * few.workspace == 26 * 2 * 16 * 1601**2 * 2
    # What is asked at a time does not matter within the profile.
    three = dataclasses.replace(one, rows=3 * 1601, units=3)
    assert (
        compiled_bytes(
            dataclasses.replace(info, precision={"blocks": "fp16"}, profile={axis: 26}),
            TOWER,
            three,
        )
        == many
    )


def test_every_demand_says_how_many_units_its_rows_are_of(manifest: Manifest) -> None:
    config = load_config("edge")
    for found in lane_demands(manifest, config):
        info = manifest.engines[found.engine]
        if info.kv is None:
            assert found.units >= 1
            if found.apart:
                assert found.rows % found.units == 0
            for axis in (a for a in info.inputs[0].shape if isinstance(a, str)):
                assert found.units <= info.profile.get(axis, found.units)


def test_the_plan_of_a_compiled_pack_counts_its_engines_so(manifest: Manifest) -> None:
    mixed = with_engine(manifest, "mem_lm", backend="tensorrt")
    machine = MachineMemory(2**36, 2**35, 2**26, device_total=2**33, device_free=2**33)
    plan = plan_memory(
        mixed, load_config("edge"), machine, frame_size=(640, 360), backend_versions={}
    )
    (row,) = [row for row in plan.engines if row.place == "device"]
    asked = next(d for d in lane_demands(mixed, load_config("edge")) if d.engine == "mem_lm")
    info = mixed.engines["mem_lm"]
    assert info.kv is not None
    most = info.kv.max_positions
    buckets = sum(bucket_of(tokens, most) for tokens in asked.arenas)
    assert row.bytes.kv == buckets * info.kv.bytes_per_token()


def test_engines_of_onnxruntime_lie_where_they_are_told_to_run(manifest: Manifest) -> None:
    machine = MachineMemory(2**36, 2**35, 2**26, device_total=2**33, device_free=2**33)
    config = load_config("edge")
    on_cuda = dataclasses.replace(config, engine=dataclasses.replace(config.engine, device="cuda"))
    places = [
        {
            row.place
            for row in plan_memory(
                manifest, chosen, machine, frame_size=(640, 360), backend_versions={}
            ).engines
        }
        for chosen in (config, on_cuda)
    ]
    assert places == [{"host"}, {"device"}]
