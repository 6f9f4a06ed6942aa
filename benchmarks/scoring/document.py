"""What a quality run found, as JSON. It measures nothing; it reads facts from the machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from omnilive.engine.fingerprint import device_fingerprint
from results import versions
from scoring.bars import Measure, Verdict, compared, items_of
from scoring.result import Tallies
from scoring.statistics import Estimate, estimate
from scoring.table import Column
from scoring.variants import Variant

FORMAT = 1
DIGITS = 5


def as_json(
    columns: Sequence[Column],
    variants: Sequence[Variant],
    measures: Sequence[Measure],
    verdicts: Sequence[Verdict],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole result, JSON-ready; shares are fractions.

    Args:
        columns: what each variant scored.
        variants: the same variants.
        measures: those to tell of; one without items is null.
        verdicts: the bars.
        about: seed, scale and the like.
    """
    return {
        "benchmark": "quality",
        "format": FORMAT,
        **about,
        "machine": device_fingerprint(),
        "versions": versions(),
        "variants": {v.label: _variant(v) for v in variants},
        "measures": {
            measure.name: {
                "title": measure.title,
                "group": measure.group,
                "bar": measure.bar,
                "bar_is": "least" if measure.at_least else "most",
                "scores": {c.label: _score(c, measure) for c in columns},
            }
            for measure in measures
        },
        "bars": [dataclasses.asdict(verdict) for verdict in verdicts],
    }


def _variant(variant: Variant) -> dict[str, Any]:
    manifest = variant.pack.manifest
    return {
        "role": variant.role,
        "pack": manifest.name,
        "precision": manifest.precision,
        "trained": manifest.trained,
        "preset": variant.preset,
        "ablated": sorted(variant.ablated),
        "identity": variant.identity,
    }


def _score(column: Column, measure: Measure) -> dict[str, Any] | None:
    found = estimate(items_of(column.tallies, measure))
    if found is None:
        return None
    score = _estimate(found)
    score["baseline"] = _value(column.tallies, measure)
    gap = None if column.against is None else compared(column.tallies, column.against, measure)
    if gap is not None:
        score["difference_from_first"] = _rounded(dataclasses.asdict(gap))
    return score


def _value(tallies: Tallies, measure: Measure) -> dict[str, Any] | None:
    found = estimate(items_of(tallies, measure, baseline=True))
    return None if found is None else _estimate(found)


def _estimate(found: Estimate) -> dict[str, Any]:
    return _rounded(dataclasses.asdict(found))


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: round(v, DIGITS) if isinstance(v, float) else v for k, v in values.items()}
