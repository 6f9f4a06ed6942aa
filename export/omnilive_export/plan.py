"""Plans a whole pack from a checkpoint: every graph and table, and how much each costs.

Nothing is written and no large weight is read here, so a misfit shows before the first byte.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from omnilive.engine.manifest import AudioSpec, MemorySpec, ReasonerSpec
from omnilive_export.graphs.dialect import NewGraph
from omnilive_export.graphs.ort_ops import OrtGraph
from omnilive_export.models.audio import AudioModel, read_audio_model
from omnilive_export.models.memory import MemoryModel, read_memory_model
from omnilive_export.models.reasoner import ReasonerModel, read_reasoner_model
from omnilive_export.models.swapped import (
    with_audio_encoder,
    with_memory_tower,
    with_reasoner_tower,
)
from omnilive_export.plan_parts import (
    audio_part,
    memory_part,
    reasoner_part,
    reasoner_spec,
    sentencepiece_file,
)
from omnilive_export.plan_single import single_part
from omnilive_export.plan_swaps import opened_swaps, swapped_files
from omnilive_export.planned import PackPlan, PlannedPart
from omnilive_export.precision import PackPrecision
from omnilive_export.reading.adapter import AdaptedStore
from omnilive_export.reading.checkpoint import CheckpointFolders
from omnilive_export.reading.tensor_store import Tensors, TensorStore
from omnilive_export.recipe import AUDIO_ENCODER, MEMORY_VIT, REASONER_VIT, ContextLimits

Model = TypeVar("Model", MemoryModel, AudioModel, ReasonerModel)


def plan_pack(
    folders: CheckpointFolders,
    precision: PackPrecision,
    stack: ExitStack,
    *,
    new_graph: NewGraph = OrtGraph,
    limits: ContextLimits | None = None,
    models: Mapping[str, str] | None = None,
) -> PackPlan:
    """Plan the pack of a checkpoint, of those of its models that are there.

    Args:
        folders: the checkpoint.
        precision: formats of the pack.
        stack: closes the checkpoint's files; the plan reads from them until then.
        new_graph: the dialect.
        limits: of the contexts; the checkpoint's own by default.
        models: a recipe's folders that take the place of parts of the checkpoint.

    Raises:
        CheckpointError: a file, key or tensor is missing or odd, or a folder of ``models`` does
            not fit what reads it.
        ConfigError: a folder of ``models`` is not there, or what it is to replace.
    """
    most = limits or ContextLimits()
    swaps = opened_swaps(models or {}, folders, stack)
    parts: list[PlannedPart] = []
    memory: MemoryModel | None = None
    memory_spec: MemorySpec | None = None
    audio_spec: AudioSpec | None = None
    spec: ReasonerSpec | None = None
    if folders.memory is not None:
        store = _opened(folders.memory, stack)
        memory = _limited(read_memory_model(folders.memory, store), most.memory)
        if MEMORY_VIT in swaps:
            memory = with_memory_tower(memory, folders.memory, swaps[MEMORY_VIT])
        memory_spec = memory.manifest_spec()
        parts.append(memory_part(memory, store, precision, new_graph=new_graph))
    if folders.audio is not None:
        store = _opened(folders.audio, stack)
        audio = _limited(read_audio_model(folders.audio, store), most.audio)
        if AUDIO_ENCODER in swaps:
            audio = with_audio_encoder(audio, swaps[AUDIO_ENCODER])
        audio_spec = audio.manifest_spec()
        parts.append(audio_part(audio, store, precision, new_graph=new_graph))
    if folders.reasoner is not None:
        tensors = _reasoner_tensors(folders.reasoner, folders.adapter, stack)
        reasoner = read_reasoner_model(
            folders.reasoner,
            folders.reasoner_fallback,
            tensors,
            memory_hidden=None if memory is None else memory.lm.hidden,
        )
        reasoner = _limited(reasoner, most.reasoner)
        if REASONER_VIT in swaps:
            reasoner = with_reasoner_tower(reasoner, swaps[REASONER_VIT])
        fallback = folders.reasoner_fallback
        spec = reasoner_spec(reasoner, sentencepiece_file(folders.reasoner, fallback))
        part = reasoner_part(
            reasoner,
            tensors,
            precision,
            fallback=fallback,
            max_memory_tokens=_memory_tokens(memory, reasoner),
            new_graph=new_graph,
        )
        parts.append(part)
    if folders.single is not None:
        store = _opened(folders.single, stack)
        parts.append(single_part(folders.single, store, precision, new_graph=new_graph))
    joined = _joined(parts, memory=memory_spec, audio=audio_spec, reasoner=spec)
    return dataclasses.replace(joined, swapped=swapped_files(swaps))


def _limited(model: Model, tokens: int) -> Model:
    """The model with a context of at most ``tokens``; 0 leaves it as it is."""
    if not tokens or tokens >= model.lm.max_positions:
        return model
    return dataclasses.replace(model, lm=dataclasses.replace(model.lm, max_positions=tokens))


def _memory_tokens(memory: MemoryModel | None, reasoner: ReasonerModel) -> int:
    """Most memory tokens there can be: the compressor's context, else what the reasoner takes."""
    return reasoner.lm.max_positions if memory is None else memory.lm.max_positions


def _reasoner_tensors(folder: Path, adapter: Path | None, stack: ExitStack) -> Tensors:
    base = _opened(folder, stack)
    if adapter is None:
        return base
    adapted = AdaptedStore(base, adapter)
    stack.callback(adapted.close)
    return adapted


def _opened(folder: Path, stack: ExitStack) -> TensorStore:
    store = TensorStore(folder)
    stack.callback(store.close)
    return store


def _joined(
    parts: Iterable[PlannedPart],
    *,
    memory: MemorySpec | None,
    audio: AudioSpec | None,
    reasoner: ReasonerSpec | None,
) -> PackPlan:
    parts = list(parts)
    return PackPlan(
        engines=tuple(e for p in parts for e in p.engines),
        tables=tuple(t for p in parts for t in p.tables),
        sources=tuple(sorted({s for p in parts for s in p.sources})),
        trained=all(p.trained for p in parts),
        bpe={name: path for p in parts for name, path in p.bpe.items()},
        sentencepiece={name: path for p in parts for name, path in p.sentencepiece.items()},
        ready_made={name: path for p in parts for name, path in p.ready_made.items()},
        memory=memory,
        audio=audio,
        reasoner=reasoner,
    )
