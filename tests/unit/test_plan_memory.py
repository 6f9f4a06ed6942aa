"""The memory plan: it follows the settings, agrees with the stages, and names what is cheaper."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes_pack import with_engine, write_pack
from omnilive.config import RuntimeConfig, load_config
from omnilive.engine.config import EngineConfig
from omnilive.engine.manifest import ENGINE_NAMES, EngineSize, Manifest
from omnilive.engine.pack import open_pack
from omnilive.errors import ConfigError, FitError
from omnilive.memory.prefill import arena_for
from omnilive.perception.audio_model import AudioModel
from omnilive.plan.answer import forecast_answer
from omnilive.plan.cost import live_values, operations
from omnilive.plan.demand import lane_demands
from omnilive.plan.machine import MachineMemory, machine_memory, measured_gflops
from omnilive.plan.memory_plan import MemoryPlan, plan_memory
from omnilive.plan.size import size_of
from omnilive.plan.verdict import Verdict, judge, refuse_over_budget

ROOMY = MachineMemory(host_total=2**36, host_free=2**35, process=2**26)
WITH_GPU = dataclasses.replace(ROOMY, device_total=2**33, device_free=2**33)
CONFIG = load_config("edge")
FRAME = (640, 360)


def changed(config: RuntimeConfig, section: str, **values: Any) -> RuntimeConfig:
    return dataclasses.replace(
        config, **{section: dataclasses.replace(getattr(config, section), **values)}
    )


# As wide as the real ones: small context, so that the arenas do not hide everything else.
REAL = changed(CONFIG, "reasoning", context_tokens=48, max_new_tokens=8)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    write_pack(folder)
    return folder


@pytest.fixture(scope="module")
def manifest(pack: Path) -> Manifest:
    opened = open_pack(pack, config=EngineConfig(threads=1))
    opened.close()
    return opened.manifest


def planned(
    manifest: Manifest, config: RuntimeConfig = CONFIG, machine: MachineMemory = ROOMY, **rest: Any
) -> MemoryPlan:
    versions = rest.pop("backend_versions", {"ort": "1.31.1"})
    return plan_memory(
        manifest, config, machine, frame_size=FRAME, backend_versions=versions, **rest
    )


def of(plan: MemoryPlan, engine: str) -> Any:
    return next(row for row in plan.engines if row.engine == engine)


def test_every_engine_has_a_lane_and_its_files_as_weights(manifest: Manifest) -> None:
    plan = planned(manifest)
    assert sorted(row.engine for row in plan.engines) == sorted(ENGINE_NAMES)
    demands = {d.engine: d for d in lane_demands(manifest, CONFIG)}
    for row in plan.engines:
        info = manifest.engines[row.engine]
        assert row.bytes.weights == sum(f.bytes for f in info.files)
        per_token = info.kv.bytes_per_token() if info.kv else 0
        assert row.bytes.kv == sum(demands[row.engine].arenas) * per_token
        assert (row.bytes.kv > 0) == (info.kv is not None)
    assert {row.lane for row in plan.engines} == {"see", "remember", "listen", "reason"}
    parts = sum(r.bytes.total for r in plan.engines) + sum(s.bytes for s in plan.stores)
    assert plan.host == parts + ROOMY.process
    assert plan.device == 0


def test_arenas_are_those_that_the_stages_make(pack: Path, manifest: Manifest) -> None:
    demands = {d.engine: d for d in lane_demands(manifest, CONFIG)}
    opened = open_pack(pack, config=EngineConfig(threads=1))
    spec = manifest.memory
    for tokens in demands["mem_lm"].arenas:
        made = arena_for(opened.decoder("mem_lm"), tokens, spec.max_positions)
        assert made.capacity == tokens
    audio = AudioModel(opened, CONFIG.recognition)
    assert demands["aud_lm"].arenas == (audio._capacity(),)
    # One for the answer and one for the instruction check.
    assert demands["vlm_lm"].arenas == (manifest.reasoner.max_positions,) * 2
    opened.close()


@given(
    st.sampled_from(
        [
            ("reasoning", "context_tokens", 24, 60),
            ("compression", "max_concurrent", 1, 3),
            ("store", "max_short_term_clips", 64, 512),
            ("store", "max_clips", 300, 900),
            ("prompt", "tiles_per_step", 1, 4),
            ("budget", "max_frames", 1, 12),
            ("lanes", "see", 1, 9),
        ]
    )
)
def test_a_richer_setting_never_needs_less(
    manifest: Manifest, setting: tuple[str, str, int, int]
) -> None:
    section, key, low, high = setting
    lesser = planned(manifest, changed(REAL, section, **{key: low}))
    richer = planned(manifest, changed(REAL, section, **{key: high}))
    assert richer.host > lesser.host


def test_an_engine_of_a_device_backend_lies_on_the_device_that_has_memory(
    manifest: Manifest,
) -> None:
    mixed = with_engine(manifest, "vlm_lm", backend="tensorrt")
    apart, shared = planned(mixed, machine=WITH_GPU), planned(mixed)
    assert apart.device == of(apart, "vlm_lm").bytes.total > 0
    assert shared.device == 0
    assert shared.host == apart.host + apart.device


def test_scores_are_counted_for_an_onnxruntime_that_holds_them(manifest: Manifest) -> None:
    sized = EngineSize({"rows": 100}, layers=1, width=32, widest=64, attention_width=32)
    recorded = with_engine(manifest, "mem_lm", size=sized)
    demand = next(d for d in lane_demands(manifest, CONFIG) if d.engine == "mem_lm")
    held, tiled, unknown = (
        of(planned(recorded, backend_versions={"ort": v}), "mem_lm").bytes.workspace
        for v in ("1.23.2", "1.28.0", "")
    )
    heads = 2
    assert held - tiled == heads * demand.rows * max(demand.arenas) * 4
    assert unknown == tiled


def test_a_recorded_size_takes_the_place_of_the_estimate(manifest: Manifest) -> None:
    sized = EngineSize({"rows": 7}, layers=1, width=32, widest=4096, attention_width=32)
    recorded = with_engine(manifest, "vlm_vit", size=sized)
    assert of(planned(manifest), "vlm_vit").estimated
    row = of(planned(recorded), "vlm_vit")
    assert not row.estimated
    demand = next(d for d in lane_demands(manifest, CONFIG) if d.engine == "vlm_vit")
    info = recorded.engines["vlm_vit"]
    assert row.bytes.activations == demand.rows * live_values(info, sized) * 4
    assert row.bytes.activations > 4096 * demand.rows * 4


def test_every_estimate_is_a_size_that_an_engine_can_have(manifest: Manifest) -> None:
    for info in manifest.engines.values():
        size = size_of(info, manifest)
        assert min(size.width, size.widest) > 0
        assert all(count >= 0 for count in size.parameters.values())


def test_operations_count_two_per_weight_and_row() -> None:
    size = EngineSize({"rows": 10, "head": 100, "plora": 1000}, 3, 8, 16, 8)
    assert operations(size, 5, context=0) == 2 * 10 * 5
    assert operations(size, 5, context=0, heads=2, plora=1) == 2 * (10 * 5 + 100 * 2 + 1000)
    assert operations(size, 5, context=7) - operations(size, 5, context=0) == 4 * 3 * 8 * 5 * 7


def test_seconds_are_operations_over_the_rate(manifest: Manifest) -> None:
    wide = dataclasses.replace(manifest.reasoner, max_positions=4096)
    roomy = dataclasses.replace(manifest, reasoner=wide)
    slow, fast = (
        forecast_answer(roomy, CONFIG, frame_size=FRAME, gflops=rate) for rate in (1.0, 4.0)
    )
    assert slow.tiles > 0 and slow.memory_tokens > 0
    assert slow.seconds == pytest.approx(4 * fast.seconds)
    parts = slow.tiles * slow.tile_us + slow.prompt_tokens * slow.prefill_us_per_token
    assert slow.seconds == pytest.approx(parts / 1e6)
    assert slow.prompt_tokens == slow.text_tokens + slow.memory_tokens + slow.visual_tokens


def with_budget(size: int) -> RuntimeConfig:
    return changed(REAL, "memory_budget", host=f"{size}B")


def test_the_budget_decides_and_without_one_the_free_memory(manifest: Manifest) -> None:
    needed = planned(manifest, REAL).host
    assert judge(manifest, with_budget(needed), frame_size=FRAME, machine=ROOMY).fits
    assert not judge(manifest, with_budget(needed - 1), frame_size=FRAME, machine=ROOMY).fits
    tight = dataclasses.replace(ROOMY, host_free=needed - ROOMY.process - 1)
    assert not judge(manifest, REAL, frame_size=FRAME, machine=tight).fits
    # A budget is the user's word: what is free does not matter beside it.
    assert judge(manifest, with_budget(needed), frame_size=FRAME, machine=tight).fits


def applied(config: RuntimeConfig, verdict: Verdict) -> RuntimeConfig:
    for entry in verdict.cheaper:
        section, _, key = entry.setting.partition(".")
        if key:
            config = changed(config, section, **{key: entry.value})
    return config


@given(st.floats(0.1, 0.999))
def test_the_cheaper_settings_need_what_they_promise_and_fit_where_they_say_so(
    manifest: Manifest, share: float
) -> None:
    # Pictures of real size, and no recipe left to propose.
    pictures = dataclasses.replace(manifest.reasoner, pixels=560)
    smallest = dataclasses.replace(manifest, precision="int4", reasoner=pictures)
    needed = planned(smallest, REAL)
    config = with_budget(int(needed.process + (needed.host - needed.process) * share))
    verdict = judge(smallest, config, frame_size=FRAME, machine=ROOMY)
    assert not verdict.fits
    costs = [needed.host, *(c.host for c in verdict.cheaper)]
    assert costs == sorted(costs, reverse=True)
    if share < 0.2:
        assert len(verdict.cheaper) > 1
    after = applied(config, verdict)
    after.validate()
    again = judge(smallest, after, frame_size=FRAME, machine=ROOMY)
    assert again.plan.host == verdict.cheaper[-1].host
    assert again.fits == verdict.cheaper[-1].fits


def test_a_lower_precision_is_proposed_last_and_saves_weights_alone(manifest: Manifest) -> None:
    verdict = judge(manifest, with_budget(2**20), frame_size=FRAME, machine=ROOMY)
    assert manifest.precision == "fp32"
    before, last = verdict.cheaper[-2:]
    assert (last.setting, last.value) == ("--precision", "int4")
    weights = sum(row.bytes.weights for row in verdict.plan.engines)
    assert before.host - last.host == pytest.approx(weights * 7 / 8, abs=1)


def test_where_it_fits_one_next_cheaper_setting_is_named(manifest: Manifest) -> None:
    verdict = judge(manifest, REAL, frame_size=FRAME, machine=ROOMY)
    assert verdict.fits
    assert len(verdict.cheaper) == 1
    assert verdict.cheaper[0].host < verdict.plan.host


def test_a_run_past_its_budget_is_refused_with_the_settings_that_mend_it(
    manifest: Manifest,
) -> None:
    with pytest.raises(FitError, match=r"needs .* of host memory of 1\.0 MiB \(budget\)") as caught:
        refuse_over_budget(manifest, with_budget(2**20), frame_size=FRAME)
    assert "store.max_short_term_clips = " in caught.value.mend
    refuse_over_budget(manifest, with_budget(2**40), frame_size=FRAME)


@pytest.mark.parametrize("value", ["much", "-1GiB", "8 gigs"])
def test_a_budget_that_is_no_size_is_named(tmp_path: Path, value: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'[memory_budget]\nhost = "{value}"\n')
    with pytest.raises(ConfigError, match=r"memory_budget\.host"):
        load_config("edge", file)


def test_this_machine_has_memory_and_multiplies() -> None:
    memory = machine_memory()
    assert 0 < memory.host_free <= memory.host_total
    assert 0 < memory.process < memory.host_total
    ticks = iter(range(1000))
    # Each look at the clock takes a second: 16 products of 64³ in one.
    rate = measured_gflops(2, seconds=5, now_s=lambda: float(next(ticks)))
    assert rate == pytest.approx(2 * 16 * 2 * 64**3 / 1e9)
