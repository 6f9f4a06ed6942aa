"""What a pack says of its own accuracy, in words. It never decides whether a pack may be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from omnilive.engine.manifest import EngineInfo

OWN_SOURCE = "the float32 graph of the same source in onnxruntime"
"""What a record's ``reference`` says where no other implementation judged the engine."""


def missed(record: Mapping[str, Any]) -> str:
    """The measures of an accuracy record that have a tolerance, with it."""
    told = [
        f"{measure} {record[measure]:.3g} (tolerance {limit:g})"
        for measure, limit in record.get("tolerance", {}).items()
        if isinstance(record.get(measure), float)
    ]
    return ", ".join(told) or "no measures"


def inaccuracies(engines: Mapping[str, EngineInfo]) -> Iterator[tuple[str, str]]:
    """(engine, what to say of it) for each that was measured and missed its tolerance."""
    for name, engine in engines.items():
        if engine.accuracy is not None and engine.accuracy.get("passed") is not True:
            yield name, f"missed its accuracy tolerance: {missed(engine.accuracy)}"
