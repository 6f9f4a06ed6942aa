"""What the tests of the TensorRT builder share: graphs, tasks, and the builder with a fault."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import pytest

from export_checkpoints import micro_checkpoint
from omnilive_export.graphs.builder import PlannedGraph
from omnilive_export.graphs.weight_file import write_graph
from omnilive_export.plan import plan_pack
from omnilive_export.precision import pack_precision
from omnilive_export.reading.checkpoint import find_folders
from omnilive_export.tensorrt import engine_builder
from omnilive_export.tensorrt.dialect import tensorrt_dialect
from omnilive_export.tensorrt.engine_builder import BuildTask
from omnilive_export.tensorrt.profiles import Profile, decoder_profiles, encoder_profiles
from tensorrt_fake import FakeTensorrt, World

MEMORY = 2 << 30

Graphs: TypeAlias = "dict[str, tuple[Path, PlannedGraph]]"


def make_graphs(folder: Path) -> Graphs:
    """Model file and plan of every micro engine in the TensorRT dialect."""
    precision = pack_precision("int4", block=64)
    found = {}
    with ExitStack() as stack:
        folders = find_folders(micro_checkpoint())
        plan = plan_pack(folders, precision, stack, new_graph=tensorrt_dialect(precision))
        for engine in plan.engines:
            model, _ = write_graph(engine.graph, folder, advance=lambda cost: None)
            found[engine.graph.name] = (folder / model.path, engine.graph)
    return found


def profiles_of(graph: PlannedGraph) -> tuple[Profile, ...]:
    """The profiles the exporter builds a graph with."""
    if graph.kv is not None:
        return decoder_profiles(graph.inputs, graph.profile)
    return encoder_profiles(graph.inputs, graph.profile, {"samples": 321})


def use(monkeypatch: pytest.MonkeyPatch, version: str, world: World) -> FakeTensorrt:
    """Let ``import tensorrt`` give the fake of a version."""
    fake = FakeTensorrt(version, world)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    return fake


def task_of(graphs: Graphs, engine: str, folder: Path) -> BuildTask:
    """The task to build an engine into ``folder``."""
    model, graph = graphs[engine]
    return BuildTask(model, folder / "model.plan", profiles_of(graph))


def mutated(right: str, wrong: str) -> Any:
    """The builder with one place of its source changed."""
    source = Path(engine_builder.__file__).read_text()
    assert source.count(right) == 1, right
    module = ModuleType("faulty_builder")
    sys.modules[module.__name__] = module
    try:
        exec(compile(source.replace(right, wrong), "faulty_builder", "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
    return module
