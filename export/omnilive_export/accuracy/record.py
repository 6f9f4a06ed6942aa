"""The accuracy record of a pack: every engine against the float32 graph of the same source.

No PyTorch: both sides run in onnxruntime, segment by segment, in a process of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import numpy as np

from omnilive.engine.accuracy import OWN_SOURCE
from omnilive.engine.config import EngineConfig
from omnilive.engine.manifest import ACCURACY, EngineInfo, Manifest, PartialManifest
from omnilive.engine.manifest_file import read_partial_manifest
from omnilive.engine.pack import EnginePack
from omnilive_export.accuracy.cases import Case, arena_feeds
from omnilive_export.accuracy.divergence import kl_divergence, top1_agreement
from omnilive_export.accuracy.graph_sources import planned_graph, written_graph
from omnilive_export.accuracy.recording import (
    SMALL,
    WHOLE,
    Recording,
    ReferencePack,
    Scale,
    record,
)
from omnilive_export.accuracy.segments import SegmentedModel
from omnilive_export.kv_int8 import with_int8_arenas
from omnilive_export.plan import plan_pack
from omnilive_export.planned import PackPlan
from omnilive_export.precision import BLOCK_SIZES, FP32, INT8, pack_precision
from omnilive_export.reading.checkpoint import find_folders
from omnilive_export.recipe import LEAST, MEASURES, ContextLimits, Recipe
from omnilive_export.verify.measure import cosine, relative_error, tolerance

LOGITS = "logits"

SMALL_FROM_VALUES = 1_000_000_000
"""Packs of so many weights are measured on few inputs (``recording.SMALL``)."""


def finish(
    folder: Path,
    checkpoint: Path,
    recipe: Recipe | None,
    progress: Callable[[str], None],
    *,
    judged: bool = True,
    scale: Scale | None = None,
) -> PartialManifest:
    """Do to a written pack what needs recorded inputs: scales of int8 arenas, accuracy records.

    Args:
        folder: a pack, whole or partial, manifest included; its hashes are not read. Model files
            of decoders change where the recipe asks for an int8 arena.
        checkpoint: what it was built from.
        recipe: whose limits and tolerances apply; None for those of the formats.
        progress: told what is measured before it is.
        judged: whether to measure how accurate the engines are.
        scale: how much is recorded; follows from the size of the pack by default.

    Returns:
        The manifest as it is now to be written.

    Raises:
        CheckpointError: a folder of the checkpoint is missing.
        EngineError: onnxruntime cannot run an engine.
    """
    manifest = read_partial_manifest(folder)
    with ExitStack() as stack:
        limits = ContextLimits() if recipe is None else recipe.limits
        plain = pack_precision(FP32, block=BLOCK_SIZES[0])
        models = {} if recipe is None else recipe.models
        folders = find_folders(checkpoint)
        plan = plan_pack(folders, plain, stack, limits=limits, models=models)
        chosen = scale or (SMALL if plan.cost >= SMALL_FROM_VALUES else WHOLE)
        progress("recorded inputs")
        graphs = {e.graph.name: SegmentedModel(planned_graph(e.graph)) for e in plan.engines}
        ranged = recipe is not None and recipe.kv == INT8
        reference = ReferencePack(opened(folder, manifest), graphs, ranged=ranged)
        recording = record(reference, chosen)
        graphs.clear()
        engines = with_int8_arenas(folder, manifest.engines, recording.ranges)
        told: dict[str, Any] = {"measured": judged, **_described(chosen, plan)}
        if judged:
            engines = _measured(folder, engines, recording, recipe, progress)
            told["unmeasured"] = sorted(n for n, e in engines.items() if e.accuracy is None)
    build = {**manifest.build, ACCURACY: told}
    return dataclasses.replace(manifest, engines=engines, build=build)


def _measured(
    folder: Path,
    engines: Mapping[str, EngineInfo],
    recording: Recording,
    recipe: Recipe | None,
    progress: Callable[[str], None],
) -> dict[str, EngineInfo]:
    """The engines with their records."""
    found = dict(engines)
    for name, cases in recording.cases.items():
        progress(f"accuracy of {name}")
        model = SegmentedModel(written_graph(folder, engines[name]))
        record_of = _judged(model, cases, _tolerance(engines[name], recipe))
        found[name] = dataclasses.replace(engines[name], accuracy=record_of)
        cases.clear()
    return found


def _tolerance(info: EngineInfo, recipe: Recipe | None) -> dict[str, float]:
    """The recipe's limits, or those of the coarsest of the engine's formats."""
    own = {} if recipe is None else recipe.tolerance_of(info.name)
    return own or tolerance(info.precision)


def _judged(
    model: SegmentedModel, cases: Sequence[Case], limits: Mapping[str, float]
) -> dict[str, Any]:
    names = list(cases[0].expected)
    found = model.run([arena_feeds(model.graph, case.feeds) for case in cases], names)
    pairs = [
        (outputs[name], case.expected[name])
        for case, outputs in zip(cases, found, strict=True)
        for name in names
    ]
    measured: dict[str, float | None] = {
        "relative_error": max(relative_error(a, b) for a, b in pairs),
        "cosine": min(cosine(a, b) for a, b in pairs),
        "kl": None,
        "top1": None,
    }
    if LOGITS in names:
        actual = np.concatenate([outputs[LOGITS][0] for outputs in found])
        expected = np.concatenate([case.expected[LOGITS][0] for case in cases])
        measured["kl"] = kl_divergence(expected, actual)
        measured["top1"] = top1_agreement(expected, actual)
    return {
        "reference": OWN_SOURCE,
        "inputs": [f"{len(cases)} recorded runs"],
        **measured,
        "tolerance": dict(limits),
        "passed": keeps(measured, limits),
    }


def keeps(measured: Mapping[str, float | None], limits: Mapping[str, float]) -> bool:
    """Whether every measure that was taken keeps its limit."""
    for measure_name, limit in limits.items():
        value = measured[measure_name]
        if value is None:
            continue
        if value < limit if MEASURES[measure_name] == LEAST else value > limit:
            return False
    return True


def _described(scale: Scale, plan: PackPlan) -> dict[str, Any]:
    return {
        "seeds": list(scale.seeds),
        "seconds": scale.seconds,
        "questions": scale.questions,
        "spoken": scale.spoken,
        "reduced": plan.cost >= SMALL_FROM_VALUES,
    }


def opened(folder: Path, manifest: PartialManifest) -> EnginePack:
    """Its tables and tokenizers; no engine of it is asked for."""
    return EnginePack(folder, cast(Manifest, manifest), EngineConfig(), {})
