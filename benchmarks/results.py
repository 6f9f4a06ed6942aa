"""What a benchmark found, as JSON: figures and counts, the machine and versions.

It measures nothing; it reads facts from the machine and sums samples up.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from measures import MEASURES, Measure, RunSamples, pooled
from omnilive.engine.fingerprint import device_fingerprint
from omnilive.engine.manifest import Manifest
from omnilive.report.statistics import Summary, summarize

FORMAT = 1
PACKAGES = ("omnilive-edge", "numpy", "onnxruntime", "onnxruntime-gpu", "tensorrt", "av", "soxr")

SETTLED = {"p95": 20, "p99": 100}
"""Samples from which a percentile is more than the largest sample in disguise."""


@dataclass(frozen=True)
class Figure:
    """One measure over all runs; ``summary`` is None without samples.

    ``medians`` are those of the single runs: how far they lie apart is the spread between runs.
    """

    measure: Measure
    summary: Summary | None
    medians: tuple[float, ...]


def figures(runs: Sequence[RunSamples]) -> tuple[Figure, ...]:
    """Every measure over ``runs``."""
    samples = pooled(runs)
    found = []
    for measure in MEASURES:
        single = (summarize(run.samples.get(measure.name, ())) for run in runs)
        medians = tuple(s.p50 for s in single if s is not None)
        found.append(Figure(measure, summarize(samples[measure.name]), medians))
    return tuple(found)


def as_json(
    found: Sequence[Figure],
    runs: Sequence[RunSamples],
    manifest: Manifest,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole result, JSON-ready. ``about``: source, preset, threads and the like."""
    return {
        "benchmark": "latency",
        "format": FORMAT,
        "clock": "monotonic",
        **about,
        "runs": [
            {k: v for k, v in dataclasses.asdict(run).items() if k != "samples"} for run in runs
        ],
        "pack": {
            "name": manifest.name,
            "precision": manifest.precision,
            "trained": manifest.trained,
            "builder_version": manifest.builder_version,
            "backends": {name: e.backend for name, e in sorted(manifest.engines.items())},
        },
        "machine": device_fingerprint(),
        "versions": versions(),
        "measures": {f.measure.name: _figure(f) for f in found},
    }


def versions() -> dict[str, str]:
    """Version of each package that the figures depend on, of those installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _figure(figure: Figure) -> dict[str, Any]:
    measure = figure.measure
    values: dict[str, Any] = {
        "title": measure.title,
        "unit": measure.unit,
        "from": measure.starts,
        "to": measure.ends,
        "n": 0,
    }
    if figure.summary is not None:
        summary = dataclasses.asdict(figure.summary)
        del summary["total"]
        values["n"] = summary.pop("count")
        values.update({k: round(v, 6) for k, v in summary.items()})
        values["median_of_each_run"] = [round(m, 6) for m in figure.medians]
    return values
