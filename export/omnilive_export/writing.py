"""Writes a planned pack into its folder and describes it in a manifest.

It runs in the build's child process; it never publishes the folder it fills.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnilive import __version__
from omnilive.engine.fingerprint import device_fingerprint
from omnilive.engine.kv_layout import is_of_arena
from omnilive.engine.manifest import (
    EngineInfo,
    Manifest,
    PartialManifest,
    TensorInfo,
    TokenizerInfo,
)
from omnilive_export.graphs.weight_file import write_graph
from omnilive_export.planned import PackPlan, PlannedEngine
from omnilive_export.tables import write_table
from omnilive_export.tokenizers import (
    copy_tokenizer,
    write_qwen2_tokenizer,
    write_sentencepiece_tokenizer,
)

Stage = Callable[[str], None]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class PackFacts:
    """What a manifest says beside the plan: the pack's name, precision and backend."""

    name: str
    precision: str
    backend: str


def write_pack(
    plan: PackPlan,
    folder: Path,
    facts: PackFacts,
    source: Future[dict[str, str]],
    *,
    stage: Stage,
    advance: Advance,
) -> PartialManifest:
    """Write every engine, table and tokenizer of ``plan`` into ``folder``.

    Args:
        plan: the pack.
        folder: an existing, empty folder.
        facts: what the manifest says beside it.
        source: hashes of the checkpoint's files, computed meanwhile.
        stage: told the name of each part before it is written.
        advance: told the number of values read for each chunk written.

    Returns:
        The manifest, its ``build`` record still empty.
    """
    # The small files first: what is odd about one is found before minutes of weights.
    stage("tokenizers")
    tokenizers = _write_tokenizers(plan, folder)
    engines = {}
    for engine in plan.engines:
        stage(engine.graph.name)
        engines[engine.graph.name] = _write_engine(engine, folder, facts.backend, advance)
    tables = {}
    for table in plan.tables:
        stage(table.name)
        tables[table.name] = write_table(table, folder, advance=advance)
    stage("hashes of the checkpoint")
    written: dict[str, Any] = {
        "name": facts.name,
        "precision": facts.precision,
        "trained": plan.trained,
        "builder_version": __version__,
        "memory": plan.memory,
        "audio": plan.audio,
        "reasoner": plan.reasoner,
        "engines": engines,
        "tables": tables,
        "tokenizers": tokenizers,
        "source": source.result(),
        "fingerprint": device_fingerprint(),
    }
    whole = None not in (plan.memory, plan.audio, plan.reasoner)
    return Manifest(**written) if whole else PartialManifest(**written)


def with_accuracy(
    manifest: PartialManifest, records: Mapping[str, Mapping[str, Any]]
) -> PartialManifest:
    """The manifest with the accuracy records of ``records``, engine by engine."""
    engines = {
        name: dataclasses.replace(engine, accuracy=records.get(name, engine.accuracy))
        for name, engine in manifest.engines.items()
    }
    return dataclasses.replace(manifest, engines=engines)


def _write_engine(
    engine: PlannedEngine, folder: Path, backend: str, advance: Advance
) -> EngineInfo:
    begun = time.monotonic()
    model, data = write_graph(engine.graph, folder, advance=advance)
    return EngineInfo(
        name=engine.graph.name,
        backend=backend,
        model=model.path,
        files=(model, data),
        precision=dict(engine.precision),
        inputs=_described(engine.graph.inputs),
        outputs=_described(engine.graph.outputs),
        kv=engine.graph.kv,
        profile=dict(engine.graph.profile),
        build_seconds=round(time.monotonic() - begun, 3),
    )


def _described(tensors: tuple[TensorInfo, ...]) -> tuple[TensorInfo, ...]:
    """IO as the manifest lists it: the arena is described by ``kv``."""
    return tuple(t for t in tensors if not is_of_arena(t.name))


def _write_tokenizers(plan: PackPlan, folder: Path) -> dict[str, TokenizerInfo]:
    written = {name: write_qwen2_tokenizer(name, path, folder) for name, path in plan.bpe.items()}
    for name, path in plan.ready_made.items():
        written[name] = copy_tokenizer(name, path, folder)
    for name, model in plan.sentencepiece.items():
        written[name] = write_sentencepiece_tokenizer(name, model, folder)
    return written
