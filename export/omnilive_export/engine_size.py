"""Reads off a planned graph what the cost of running it follows from (``EngineSize``).

Works on the names that the graph builders give their weights, which every dialect shares; it
never reads a value.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Iterable

from omnilive.engine.manifest import EngineSize, PartialManifest
from omnilive_export.graphs.builder import PlannedGraph
from omnilive_export.planned import PlannedEngine

_WEIGHT = re.compile(r"(?P<layer>.+?)\.(?P<part>weight|Plora_A|Plora_B)(\.q)?")
"""A matrix as floats, or its codes; its scales and zero points cost nothing to read."""

_LAYER = re.compile(r"layers\.(\d+)\.")


def with_sizes(manifest: PartialManifest, planned: Iterable[PlannedEngine]) -> PartialManifest:
    """The manifest with the size of every engine that ``planned`` holds the graph of."""
    graphs = {engine.graph.name: engine.graph for engine in planned}
    engines = {
        name: dataclasses.replace(info, size=engine_size(graphs[name])) if name in graphs else info
        for name, info in manifest.engines.items()
    }
    return dataclasses.replace(manifest, engines=engines)


def engine_size(graph: PlannedGraph) -> EngineSize | None:
    """The size of one engine; None for a graph whose weights have other names."""
    matrices: dict[str, int] = {}
    parameters: defaultdict[str, int] = defaultdict(int)
    layers = 0
    for tensor in graph.tensors:
        match = _WEIGHT.fullmatch(tensor.name)
        if match is None or len(tensor.shape) < 2:
            continue
        name = match["layer"] if match["part"] == "weight" else f"{match['layer']}.{match['part']}"
        matrices[name] = tensor.cost
        parameters[_multiplied_with(name)] += tensor.cost
        if found := _LAYER.match(name):
            layers = max(layers, int(found[1]) + 1)
    if layers:
        return _of_layers(graph, matrices, dict(parameters), layers)
    return _of_projector(graph, matrices, dict(parameters))


def _of_layers(
    graph: PlannedGraph, matrices: dict[str, int], parameters: dict[str, int], layers: int
) -> EngineSize | None:
    out, gate, fc1, qkv = (
        matrices.get(f"layers.0.{part}", 0) for part in ("attention_out", "gate", "fc1", "qkv")
    )
    # A decoder's width is that of its input; an encoder packs three projections of width².
    width = _last_size(graph) if graph.kv is not None else math.isqrt(qkv // 3)
    if not (width and out and (gate or fc1)):
        return None
    return EngineSize(
        parameters=parameters,
        layers=layers,
        width=width,
        widest=(gate or fc1) // width,
        attention_width=out // width,
    )


def _of_projector(
    graph: PlannedGraph, matrices: dict[str, int], parameters: dict[str, int]
) -> EngineSize | None:
    width = _last_size(graph)
    first = next(iter(matrices.values()), 0)
    if not (width and first):
        return None
    return EngineSize(parameters, layers=0, width=width, widest=first // width, attention_width=0)


def _multiplied_with(name: str) -> str:
    """The key of ``EngineSize.parameters`` that a matrix counts under."""
    if ".Plora_" in name:
        return "plora"
    if name == "head":
        return "head"
    return "merged" if name.startswith("vision_proj.") else "rows"


def _last_size(graph: PlannedGraph) -> int:
    size = graph.inputs[0].shape[-1]
    return size if isinstance(size, int) else 0
