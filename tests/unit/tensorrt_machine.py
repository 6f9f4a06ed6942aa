"""The TensorRT backend loaded on a fake device, with engines built for it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from export_checkpoints import micro_checkpoint
from omnilive.engine.config import EngineConfig
from omnilive.engine.kv_layout import is_of_arena
from omnilive.engine.manifest import EngineInfo
from omnilive_export.graphs.weight_file import write_graph
from omnilive_export.plan import plan_pack
from omnilive_export.precision import pack_precision
from omnilive_export.reading.checkpoint import find_folders
from omnilive_export.tensorrt.dialect import tensorrt_dialect
from omnilive_export.tensorrt.engine_builder import BuildTask, build_engine
from omnilive_export.tensorrt.options import BuildOptions
from omnilive_export.tensorrt.profiles import decoder_profiles, encoder_profiles
from tensorrt_bindings import PACKAGES
from tensorrt_fake import World
from tensorrt_fake_cuda import FakeCuda
from tensorrt_fake_device import FakeDevice, modules

VERSIONS = tuple(PACKAGES)
ENGINES = ("mem_proj", "mem_to_vlm", "mem_lm", "vlm_lm")
BACKEND = "omnilive.backends"
Plans = tuple[Path, dict[str, EngineInfo]]
PARTS = (
    *("cuda", "device_ticket", "device_array", "staging", "keep_alive", "cuda_lanes"),
    *("output_memory", "tensorrt_runtime", "tensorrt_arena", "tensorrt_engine"),
    *("tensorrt_decoder", "tensorrt_backend"),
)
TOLERANCE = 1e-2
"""Of float16 between a prompt in one block and in several, relative to its size."""


def make_plans(folder: Path) -> Plans:
    """Plans in ``folder``, each naming its graph, and their records."""
    precision = pack_precision("int4", block=64)
    records = {}
    with ExitStack() as stack, pytest.MonkeyPatch.context() as monkeypatch:
        stack.enter_context(modules(monkeypatch, FakeDevice(VERSIONS[0], World(), FakeCuda())))
        folders = find_folders(micro_checkpoint())
        plan = plan_pack(folders, precision, stack, new_graph=tensorrt_dialect(precision))
        for graph in (e.graph for e in plan.engines if e.graph.name in ENGINES):
            model, _ = write_graph(graph, folder, advance=lambda cost: None)
            limits = graph.profile if graph.kv else {**graph.profile, "tokens": 40, "frames": 4}
            profiles = (
                decoder_profiles(graph.inputs, limits)
                if graph.kv
                else encoder_profiles(graph.inputs, limits, {})
            )
            target = folder / graph.name / "model.plan"
            build_engine(
                BuildTask(folder / model.path, target, profiles), BuildOptions(), lambda line: None
            )
            records[graph.name] = record_of(graph, f"{graph.name}/model.plan")
    return folder, records


def record_of(graph: Any, model: str) -> EngineInfo:
    """The record of a graph whose plan is ``model``."""

    def described(tensors: Any) -> Any:
        return tuple(t for t in tensors if not is_of_arena(t.name))

    return EngineInfo(
        graph.name,
        "tensorrt",
        model,
        (),
        {},
        described(graph.inputs),
        described(graph.outputs),
        graph.kv,
        graph.profile,
        0.0,
    )


@dataclass
class Machine:
    """A loaded backend, its device, and what it can load."""

    backend: ModuleType
    lanes: Any
    device: FakeDevice
    folder: Path
    records: dict[str, EngineInfo]

    def engine(self, name: str) -> Any:
        """A loaded stateless engine."""
        return self.backend.load_engine(self.records[name], self.folder, EngineConfig(), self.lanes)

    def decoder(self, name: str) -> Any:
        """A loaded decoder."""
        return self.backend.load_decoder(
            self.records[name], self.folder, EngineConfig(), self.lanes
        )

    def session(self, name: str) -> ort.InferenceSession:
        """The graph of an engine on the CPU."""
        return ort.InferenceSession(str(self.folder / name / "model.onnx"), off())


def off() -> ort.SessionOptions:
    """Options that run every operator as it is written."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return options


def machine_of(version: str, plans: Plans, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """The backend of this repository on a fresh fake device of a version."""
    device = FakeDevice(version, World(), FakeCuda())
    with modules(monkeypatch, device):
        for part in PARTS:
            monkeypatch.delitem(sys.modules, f"{BACKEND}.{part}", raising=False)
        backend = importlib.import_module(f"{BACKEND}.tensorrt_backend")
        lanes = fresh_lanes()
        yield Machine(backend, lanes, device, *plans)
        lanes.close()
        for part in PARTS:
            sys.modules.pop(f"{BACKEND}.{part}", None)


def fresh_lanes() -> Any:
    """Device lanes of the backend that is loaded now."""
    return importlib.import_module(f"{BACKEND}.cuda_lanes").DeviceLanes()


def embeddings(width: int, tokens: int) -> np.ndarray:
    """Seeded rows."""
    rng = np.random.default_rng(2)
    return (rng.standard_normal((tokens, width)) * 0.05).astype(np.float32)


def whole(machine: Machine, name: str, x: np.ndarray, **rows: list[int]) -> np.ndarray:
    """The output of one run of the graph on an empty arena."""
    session = machine.session(name)
    kv = machine.records[name].kv
    shape = (1, kv.kv_heads, 1, kv.head_dim)
    feeds = {"inputs_embeds": x[None], "write_position": np.zeros(1, np.int64)}
    feeds |= {key: np.array(value, np.int64) for key, value in rows.items()}
    for value in session.get_inputs():
        feeds.setdefault(value.name, np.zeros(shape, kv.dtype))
    return session.run(None, feeds)[0][0]


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether two outputs agree within what float16 allows."""
    limit = TOLERANCE * np.sqrt(np.square(expected, dtype=np.float64).mean())
    with np.errstate(invalid="ignore", over="ignore"):  # what was never copied may be anything
        return found.shape == expected.shape and bool(np.abs(found - expected).max() <= limit)


def with_fault(part: str, right: str, wrong: str) -> ModuleType:
    """The backend, loaded anew with one place of one of its files changed."""
    for name in PARTS:
        sys.modules.pop(f"{BACKEND}.{name}", None)
    spec = importlib.util.find_spec(f"{BACKEND}.{part}")
    assert spec is not None and spec.origin is not None
    source = Path(spec.origin).read_text()
    assert source.count(right) == 1, right
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    exec(compile(source.replace(right, wrong), spec.origin, "exec"), module.__dict__)
    return importlib.import_module(f"{BACKEND}.tensorrt_backend")
