"""Every cell of the validity table builds and runs on a tiny checkpoint, or is refused."""

from __future__ import annotations

import dataclasses
import itertools
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from omnilive.errors import ConfigError
from omnilive_export.accuracy.cases import arena_feeds
from omnilive_export.accuracy.graph_sources import planned_graph
from omnilive_export.accuracy.segments import SegmentedModel, Values
from omnilive_export.build import BuildRequest, check_calibration
from omnilive_export.graphs.builder import PlannedGraph
from omnilive_export.graphs.layer_formats import LayerFormats
from omnilive_export.graphs.ort_ops import OrtGraph
from omnilive_export.plan import plan_pack
from omnilive_export.precision import CALIBRATED, FP32, INT8_DYNAMIC, METHODS, LinearFormat
from omnilive_export.reading.checkpoint import find_folders
from omnilive_export.recipe import BLOCK_KINDS, GROUPS, KINDS, Recipe
from omnilive_export.tensorrt.dialect import tensorrt_dialect
from omnilive_export.validity import ORT, TABLE, refusals
from omnilive_micropack.checkpoint import write_checkpoint
from omnilive_micropack.dimensions import MICRO

VERSIONS = {"onnxruntime": "1.31.1", "tensorrt": "10.3.0"}
LEAST_COSINE = 0.8
"""Of one group's rounding in int4 blocks of 128 on random weights; wiring faults are near 0."""

PLAIN = LinearFormat(FP32, 32)
ENGINE_OF = {"decoder": "aud_lm", "head": "aud_lm", "plora": "vlm_lm", "encoder": "mem_vit"}


def cells() -> list[tuple[str, LinearFormat]]:
    """One group and its format at a time; the other groups stay float32."""
    found = []
    for group, kind in itertools.product(GROUPS, KINDS):
        if kind not in BLOCK_KINDS:
            found.append((group, LinearFormat(kind, 32)))
            continue
        for block, symmetric, method in itertools.product((32, 64, 128), (True, False), METHODS):
            found.append((group, LinearFormat(kind, block, symmetric, method)))
    return found


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells") / "micro"
    write_checkpoint(folder, MICRO, seed=0)
    return folder


def recipe_of(backend: str, group: str, fmt: LinearFormat) -> Recipe:
    plain = Recipe("cell", "", backend, PLAIN, PLAIN, PLAIN, PLAIN)
    return dataclasses.replace(plain, **{group: fmt})


def test_every_ort_cell_runs_near_its_float_graph_or_is_refused(checkpoint: Path) -> None:
    built = refused = 0
    with ExitStack() as stack:
        reference = _graphs(checkpoint, recipe_of(ORT, "decoder", PLAIN), stack)
        outputs: dict[str, np.ndarray] = {}
        for engine in set(ENGINE_OF.values()):
            outputs[engine] = _first_output(reference[engine])
        for group, fmt in cells():
            recipe = recipe_of(ORT, group, fmt)
            if list(refusals(recipe, VERSIONS)):
                refused += 1
                continue
            if fmt.method == CALIBRATED:
                # No statistics are here: without them the build is refused by its flag.
                with pytest.raises(ConfigError, match="--calibration"):
                    check_calibration(request_of(checkpoint, recipe))
                continue
            engine = ENGINE_OF[group]
            found = _first_output(_graphs(checkpoint, recipe, stack)[engine])
            a, b = found.ravel(), outputs[engine].ravel()
            assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > LEAST_COSINE, (group, fmt)
            built += 1
    assert built and refused


def test_every_tensorrt_cell_plans_its_graphs_or_is_refused(checkpoint: Path) -> None:
    built = refused = 0
    with ExitStack() as stack:
        for group, fmt in cells():
            recipe = recipe_of("tensorrt", group, fmt)
            if list(refusals(recipe, VERSIONS)):
                refused += 1
                continue
            assert ENGINE_OF[group] in _graphs(checkpoint, recipe, stack)
            built += 1
    assert built and refused


def test_int8_with_one_scale_for_a_whole_run_is_for_encoders_only() -> None:
    dynamic = LinearFormat(INT8_DYNAMIC, 32)
    for backend, group in itertools.product(TABLE, GROUPS):
        allowed = not list(refusals(recipe_of(backend, group, dynamic), VERSIONS))
        assert allowed == (backend == ORT and group == "encoder")


def request_of(checkpoint: Path, recipe: Recipe) -> BuildRequest:
    precision = recipe.precision()
    return BuildRequest(checkpoint, Path("unused"), precision, recipe.backend, False, False)


def _graphs(checkpoint: Path, recipe: Recipe, stack: ExitStack) -> dict[str, PlannedGraph]:
    precision = recipe.precision()
    if recipe.backend == ORT:
        new_graph = partial(OrtGraph, formats=LayerFormats())
    else:
        new_graph = tensorrt_dialect(precision)
    plan = plan_pack(find_folders(checkpoint), precision, stack, new_graph=new_graph)
    return {engine.graph.name: engine.graph for engine in plan.engines}


def _first_output(graph: PlannedGraph) -> np.ndarray:
    model = SegmentedModel(planned_graph(graph), threads=1)
    rng = np.random.default_rng(0)
    feeds: Values = {}
    for tensor in graph.inputs:
        if tensor.name == "frames":
            feeds["frames"] = rng.integers(0, 256, (1, *tensor.shape[1:]), dtype=np.uint8)
        elif tensor.name == "inputs_embeds":
            width = tensor.shape[-1]
            feeds["inputs_embeds"] = rng.standard_normal((1, 12, width)).astype(np.float32)
        elif tensor.name in ("logit_rows", "plora_rows"):
            feeds[tensor.name] = np.arange(12)
    name = graph.outputs[0].name
    return model.run([arena_feeds(model.graph, feeds)], [name])[0][name].astype(np.float64)
