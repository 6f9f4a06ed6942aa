"""The builder against a recording fake of each supported TensorRT."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnilive.errors import BuildError, ConfigError, OmniLiveError, SetupError
from omnilive.reasoning.config import MOST_TILES_PER_STEP, PromptConfig
from omnilive_export.tensorrt.engine_builder import build_engine
from omnilive_export.tensorrt.options import BuildOptions
from omnilive_export.tensorrt.versions import version_facts
from tensorrt_bindings import PACKAGES
from tensorrt_builds import MEMORY, Graphs, make_graphs, profiles_of, task_of, use
from tensorrt_fake import World

VERSIONS = tuple(PACKAGES)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Graphs:
    return make_graphs(tmp_path_factory.mktemp("graphs"))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "engine", ["mem_vit", "mem_proj", "mem_lm", "aud_enc", "aud_lm", "vlm_vit", "vlm_lm"]
)
def test_every_engine_is_built_by_every_version(
    graphs: Graphs,
    engine: str,
    version: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    use(monkeypatch, version, world)
    task = task_of(graphs, engine, tmp_path)
    build_engine(task, BuildOptions(), lambda line: None)
    count = 2 if engine.endswith("_lm") else 1
    assert task.plan.read_bytes() == f"plan of {count} profiles".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["model.plan"]


def test_a_build_goes_through_these_steps_in_this_order(
    graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    use(monkeypatch, "10.3.0", world)
    cache = tmp_path / "cache"
    options = BuildOptions(memory_bytes=MEMORY, timing_cache=cache, version_compatible=True)
    build_engine(task_of(graphs, "mem_to_vlm", tmp_path), options, lambda line: None)
    assert [name for name, _ in world.calls] == [
        "ILogger.__init__",
        "Builder.__init__",
        "Builder.create_network",
        "OnnxParser.__init__",
        "OnnxParser.parse_from_file",
        "Builder.create_builder_config",
        "IBuilderConfig.set_memory_pool_limit",
        "IBuilderConfig.set_memory_pool_limit",
        "IBuilderConfig.set_flag",
        "Builder.create_optimization_profile",
        "IOptimizationProfile.set_shape",
        "IBuilderConfig.add_optimization_profile",
        "IBuilderConfig.create_timing_cache",
        "IBuilderConfig.set_timing_cache",
        "Builder.build_serialized_network",
        "ITimingCache.serialize",
    ]
    limits = world.named("IBuilderConfig.set_memory_pool_limit")
    assert [(one["pool"].name, one["pool_size"]) for one in limits] == [
        ("WORKSPACE", MEMORY),
        ("TACTIC_DRAM", MEMORY),
    ]
    assert cache.read_bytes() == b"+measured"


def test_decode_is_a_profile_of_one_token_without_partial_lora(
    graphs: Graphs,
) -> None:
    prefill, decode = profiles_of(graphs["vlm_lm"][1])
    assert decode.shapes["inputs_embeds"].least == decode.shapes["inputs_embeds"].most
    assert decode.shapes["inputs_embeds"].most[1] == 1
    assert decode.shapes["plora_rows"].most == (0,)
    assert prefill.shapes["inputs_embeds"].most[1] == prefill.shapes["plora_rows"].most[0] == 512
    keys = "past_key_values.0.key"
    assert prefill.shapes[keys] == decode.shapes[keys]
    assert decode.shapes[keys].most[2] == graphs["vlm_lm"][1].profile["capacity"]


def test_the_reasoners_tower_is_built_for_what_it_is_given_at_once(graphs: Graphs) -> None:
    (whole,) = profiles_of(graphs["vlm_vit"][1])
    assert whole.shapes["tiles"].most[0] == MOST_TILES_PER_STEP
    PromptConfig(tiles_per_step=MOST_TILES_PER_STEP).validate()


def test_the_timing_cache_of_another_machine_is_replaced(
    graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, "10.13.3.9", World(foreign_caches=(b"foreign",)))
    cache = tmp_path / "cache"
    for before, after in ((b"foreign", b"+measured"), (b"own", b"own+measured")):
        cache.write_bytes(before)
        options = BuildOptions(timing_cache=cache)
        build_engine(task_of(graphs, "mem_to_vlm", tmp_path), options, lambda line: None)
        assert cache.read_bytes() == after


def test_warnings_and_errors_are_handed_on_and_the_rest_is_not(
    graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    severities = ("VERBOSE", "INFO", "WARNING", "ERROR", "INTERNAL_ERROR")
    use(monkeypatch, "10.3.0", World(messages=severities))
    heard: list[str] = []
    build_engine(task_of(graphs, "mem_to_vlm", tmp_path), BuildOptions(), heard.append)
    assert heard == ["of WARNING", "of ERROR", "of INTERNAL_ERROR"]


@pytest.mark.parametrize(
    ("version", "options", "error", "reason"),
    [
        ("10.3.0", BuildOptions(hardware="SAME_COMPUTE_CAPABILITY"), ConfigError, "no compat"),
        ("11.4.0.106", BuildOptions(hardware="SAME_COMPUTE_CAPABILITY"), None, ""),
        ("10.3.0", BuildOptions(hardware="AMPERE_PLUS"), None, ""),
    ],
)
def test_a_hardware_level_is_set_where_the_version_has_it(
    graphs: Graphs,
    version: str,
    options: BuildOptions,
    error: type[OmniLiveError] | None,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, version, World())
    task = task_of(graphs, "mem_to_vlm", tmp_path)
    if error is None:
        build_engine(task, options, lambda line: None)
        return
    with pytest.raises(error, match=reason):
        build_engine(task, options, lambda line: None)


@pytest.mark.parametrize(
    ("world", "reason"),
    [
        (World(parser_errors=("no such operator",)), "Add 'node': no such operator"),
        (World(build_fails=True), "could not build"),
    ],
)
def test_a_failed_build_says_why_and_leaves_the_old_plan(
    graphs: Graphs,
    world: World,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, "10.13.3.9", world)
    task = task_of(graphs, "mem_to_vlm", tmp_path)
    task.plan.write_bytes(b"old")
    with pytest.raises(BuildError, match=reason):
        build_engine(task, BuildOptions(), lambda line: None)
    assert task.plan.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["model.plan"]


@pytest.mark.parametrize("name", ["8.6.1", "10.2.0", "unknown"])
def test_a_version_that_is_too_old_is_refused(name: str) -> None:
    with pytest.raises(SetupError, match="not supported"):
        version_facts(name)
