"""The command that measures which encoder layers int8 hurts, for the ``[keep]`` of a recipe.

``python -m omnilive_export.sensitivity --checkpoint DIR`` gives one linear at a time 8 bits for its
weights and activations, float32 for all else, and measures how far that moves the output of its
engine on recorded inputs. It changes no recipe and no pack.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from omnilive.engine.manifest import ENGINE_NAMES
from omnilive.engine.manifest_file import read_partial_manifest
from omnilive.errors import BuildError, ConfigError, OmniLiveError
from omnilive_export.accuracy.cases import Case
from omnilive_export.accuracy.graph_sources import planned_graph
from omnilive_export.accuracy.record import opened
from omnilive_export.accuracy.recording import SMALL, ReferencePack, record
from omnilive_export.accuracy.segments import SegmentedModel
from omnilive_export.cli import has_wide_sums
from omnilive_export.cli import main as build
from omnilive_export.graphs.builder import CONTRIB, PlannedGraph
from omnilive_export.graphs.layer_formats import LayerFormats
from omnilive_export.graphs.ort_ops import OrtGraph
from omnilive_export.plan import plan_pack
from omnilive_export.precision import (
    BLOCK_SIZES,
    FP32,
    INT8_DYNAMIC,
    LARGEST_CODE,
    SAFE_CODE,
    LinearFormat,
    pack_precision,
)
from omnilive_export.reading.checkpoint import CheckpointFolders, find_folders

ENCODERS = ("mem_vit", "mem_proj", "aud_enc", "vlm_vit", "mem_to_vlm")
RECORDED = dataclasses.replace(SMALL, questions=3, spoken=3)
KEPT_SHARE = 0.5
"""Of an engine's squared error: the layers to keep are the fewest that cause so much of it."""


@dataclass(frozen=True)
class Sensitivity:
    """How one layer in 8 bits moves its engine's output.

    Attributes:
        layer: ``engine.layer``.
        error: root mean square of the difference over that of the output, over all cases.
        share: of the sum of the squared errors of the engine's layers.
    """

    layer: str
    error: float
    share: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="omnilive_export.sensitivity", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    parser.add_argument("--engine", action="append", choices=ENCODERS, help="default: all encoders")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    args = parser.parse_args(argv)
    try:
        found = measure(args.checkpoint, tuple(args.engine or ENCODERS))
    except OmniLiveError as e:
        print(f"sensitivity: {e}", file=sys.stderr)
        return e.exit_code
    print(as_text(found))
    if args.json is not None:
        rows = {engine: [dataclasses.asdict(s) for s in ranked] for engine, ranked in found.items()}
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def as_text(found: Mapping[str, Sequence[Sensitivity]]) -> str:
    """A table, the most sensitive layer of each engine first, and the lines of a recipe."""
    lines = [f"{'layer':<34}{'error':>10}{'share':>8}"]
    keep = []
    for ranked in found.values():
        lines += [f"{s.layer:<34}{s.error:>10.2e}{s.share:>8.1%}" for s in ranked]
        keep += [s.layer for s in worth_keeping(ranked)]
    return "\n".join([*lines, "", "[keep]", *(f'"{layer}" = "{FP32}"' for layer in keep)])


def worth_keeping(ranked: Sequence[Sensitivity]) -> list[Sensitivity]:
    """The fewest layers that cause ``KEPT_SHARE`` of the squared error."""
    kept: list[Sensitivity] = []
    for sensitivity in ranked:
        if sum(s.share for s in kept) >= KEPT_SHARE:
            break
        kept.append(sensitivity)
    return kept


def measure(checkpoint: Path, engines: Sequence[str]) -> dict[str, list[Sensitivity]]:
    """The layers of each engine, the most sensitive first.

    Raises:
        OmniLiveError: the checkpoint cannot be read or built.
    """
    with ExitStack() as stack:
        folders = find_folders(checkpoint)
        graphs = _graphs(folders, LayerFormats(), stack)
        wanted = [name for name in engines if name in graphs and name in ENGINE_NAMES]
        if not wanted:
            raise ConfigError(
                f"has none of {', '.join(engines)}",
                where=str(checkpoint),
                mend="Give a checkpoint of the family with that model, or other engines.",
            )
        cases = _recorded(checkpoint, graphs, stack)
        return {
            name: _ranked(name, graphs[name], cases[name], folders, stack)
            for name in wanted
            if name in cases
        }


def _ranked(
    name: str,
    graph: PlannedGraph,
    cases: Sequence[Case],
    folders: CheckpointFolders,
    stack: ExitStack,
) -> list[Sensitivity]:
    errors = {layer: 0.0 for layer in linears(graph)}
    code = LARGEST_CODE if has_wide_sums() else SAFE_CODE
    rounded = LinearFormat(INT8_DYNAMIC, BLOCK_SIZES[0], largest_code=code)
    for layer in errors:
        formats = LayerFormats([(f"{name}.{layer}", rounded)])
        model = SegmentedModel(planned_graph(_graphs(folders, formats, stack)[name]))
        errors[layer] = _error(model, cases)
    total = sum(error**2 for error in errors.values()) or 1.0
    ranked = sorted(errors.items(), key=lambda item: -item[1])
    return [Sensitivity(f"{name}.{layer}", e, e**2 / total) for layer, e in ranked]


def linears(graph: PlannedGraph) -> Iterator[str]:
    """The layers of a float32 graph whose matrices a recipe can choose the format of."""
    for node in graph.nodes:
        if node.op_type != "MatMul" or node.domain == CONTRIB:
            continue
        weight = node.input[1]
        if weight.endswith(".weight") and weight != "patch.weight":
            yield weight.removesuffix(".weight")


def _error(model: SegmentedModel, cases: Sequence[Case]) -> float:
    """Root mean square of the difference over that of what is expected."""
    names = list(cases[0].expected)
    found = model.run([case.feeds for case in cases], names)
    difference = expected = 0.0
    for case, outputs in zip(cases, found, strict=True):
        for output in names:
            wide = case.expected[output].astype(np.float64)
            difference += float(np.square(outputs[output] - wide).sum())
            expected += float(np.square(wide).sum())
    return float(np.sqrt(difference / expected))


def _graphs(
    folders: CheckpointFolders, formats: LayerFormats, stack: ExitStack
) -> dict[str, PlannedGraph]:
    plain = pack_precision(FP32, block=BLOCK_SIZES[0])
    plan = plan_pack(folders, plain, stack, new_graph=partial(OrtGraph, formats=formats))
    return {engine.graph.name: engine.graph for engine in plan.engines}


def _recorded(
    checkpoint: Path, graphs: Mapping[str, PlannedGraph], stack: ExitStack
) -> dict[str, list[Case]]:
    """Cases of every engine; a pack beside them lends its tables and tokenizers."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omnilive-sensitivity-")))
    pack = folder / "pack"
    with redirect_stdout(sys.stderr):
        failed = build(["--checkpoint", str(checkpoint), "--out", str(pack)])
    if failed:
        raise BuildError(
            "gave no pack to read tokenizers from",
            where=str(checkpoint),
            mend="See the message above.",
        )
    models = {name: SegmentedModel(planned_graph(graph)) for name, graph in graphs.items()}
    reference = ReferencePack(opened(pack, read_partial_manifest(pack)), models, ranged=False)
    return record(reference, RECORDED).cases


if __name__ == "__main__":
    raise SystemExit(main())
