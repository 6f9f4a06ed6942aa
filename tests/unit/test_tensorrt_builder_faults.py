"""Faults planted in the builder's source, each caught by the fake."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnilive.errors import BuildError
from omnilive_export.tensorrt.options import BuildOptions
from tensorrt_builds import MEMORY, Graphs, make_graphs, mutated, task_of, use
from tensorrt_fake import ContractError, World


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Graphs:
    return make_graphs(tmp_path_factory.mktemp("graphs"))


FAULTS: dict[str, tuple[str, str, type[BaseException], str]] = {
    "a misspelled method": (
        "parser.parse_from_file(",
        "parser.parse_from_fil(",
        AttributeError,
        "parse_from_fil",
    ),
    "a wrong keyword": ("opt=shapes.best", "best=shapes.best", TypeError, "'opt'"),
    "a misspelled enum member": (
        "MemoryPoolType.TACTIC_DRAM",
        "MemoryPoolType.TACTIC_MEMORY",
        AttributeError,
        "TACTIC_MEMORY",
    ),
    "a misspelled property": (
        "profile.extra_memory_target",
        "profile.extra_memory",
        AttributeError,
        "extra_memory",
    ),
    "a weakly typed network": (
        "create_network(_network_flags(facts))",
        "create_network()",
        ContractError,
        "weakly typed",
    ),
    "a flag's number in place of its bit": (
        "1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)",
        "int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)",
        ContractError,
        "weakly typed",
    ),
    "a precision flag": (
        "BuilderFlag.VERSION_COMPATIBLE",
        "BuilderFlag.FP16",
        ContractError,
        "asks a strongly typed network",
    ),
    "least and most exchanged": (
        "min=shapes.least, opt=shapes.best, max=shapes.most",
        "min=shapes.most, opt=shapes.best, max=shapes.least",
        BuildError,
        "refuses the profile",
    ),
    "no profile": (
        "in enumerate(task.profiles)",
        "in enumerate(task.profiles[:0])",
        ContractError,
        "no profile",
    ),
    "an input left out of a profile": (
        "in wanted.shapes.items()",
        "in list(wanted.shapes.items())[1:]",
        ContractError,
        "no shapes in a profile",
    ),
    "a second copy of the weights": (
        "if index:",
        "if index > 1:",
        ContractError,
        "second copy",
    ),
    "a parser that is gone too early": (
        "    plan = builder.build_serialized_network(",
        "    del parser\n    plan = builder.build_serialized_network(",
        ContractError,
        "parser is gone",
    ),
    "a timing cache that is not attached": (
        "if config.set_timing_cache(cache, ignore_mismatch=False):",
        "if cache is not None:",
        ContractError,
        "no build has used",
    ),
    "memory limits of nothing": (
        "trt.MemoryPoolType.WORKSPACE, options.memory_bytes",
        "trt.MemoryPoolType.WORKSPACE, options.memory_bytes >> 40",
        ContractError,
        "no memory is left",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(
    graphs: Graphs,
    fault: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right, wrong, error, reason = FAULTS[fault]
    use(monkeypatch, "10.13.3.9", World())
    faulty = mutated(right, wrong)
    options = BuildOptions(MEMORY, tmp_path / "cache", version_compatible=True)
    with pytest.raises(error, match=reason):
        faulty.build_engine(task_of(graphs, "vlm_lm", tmp_path), options, lambda line: None)


@pytest.mark.parametrize(
    ("right", "wrong", "world", "error"),
    [
        (
            "if not parser.parse_from_file(str(task.model)):",
            "if parser.parse_from_file(str(task.model)) is None:",
            World(parser_errors=("odd",)),
            ContractError,
        ),
        ("if plan is None:", "if plan is False:", World(build_fails=True), TypeError),
    ],
)
def test_a_failure_that_is_not_looked_at_is_caught(
    graphs: Graphs,
    right: str,
    wrong: str,
    world: World,
    error: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, "10.13.3.9", world)
    task = task_of(graphs, "mem_to_vlm", tmp_path)
    with pytest.raises(error):
        mutated(right, wrong).build_engine(task, BuildOptions(), lambda line: None)
